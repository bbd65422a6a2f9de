//! A server that listens off loopback: who may join, and how the others are told.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use subak_postgres::PrivatePostgres;
use subak_store::Store;

use crate::{clean, stderr, stdout};

const PATIENCE: Duration = Duration::from_secs(60);

/// PostgreSQL, and a folder for everything else.
struct Place {
    folder: tempfile::TempDir,
    postgres: PrivatePostgres,
    store: Store,
}

/// A process that ends with the test.
struct Running(Child, PathBuf);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn log(&self) -> String {
        fs::read_to_string(&self.1).unwrap()
    }

    /// Waits until its log has this text.
    async fn says(&self, text: &str) {
        let since = Instant::now();
        while !self.log().contains(text) {
            assert!(since.elapsed() < PATIENCE, "no `{text}` in:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Place {
    async fn new() -> Self {
        let postgres = PrivatePostgres::temporary().await.unwrap();
        postgres.create_database("subak").await.unwrap();
        let store = Store::connect(&postgres.url("subak")).await.unwrap();
        store.migrate().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("dags")).unwrap();
        fs::create_dir(folder.path().join("work")).unwrap();
        Self { folder, postgres, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn subak(&self, arguments: &[&str]) -> Command {
        let mut command = clean();
        command.args(arguments).current_dir(self.folder.path());
        command.env("SUBAK_SECRET_KEY", "00".repeat(32));
        command
    }

    fn with_database(&self, arguments: &[&str]) -> Command {
        let mut command = self.subak(arguments);
        command.env("SUBAK_DATABASE_URL", self.postgres.url("subak"));
        command
    }

    fn start(&self, mut command: Command, name: &str) -> Running {
        let log = self.path(&format!("{name}.log"));
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Running(child, log)
    }

    fn server(&self, port: u16, certificate: &Path) -> Running {
        let listen = format!("0.0.0.0:{port}");
        let mut command = self.with_database(&["server", "--listen", "127.0.0.1:0"]);
        command.args(["--workers-listen", &listen, "--tls-certificate"]).arg(certificate);
        command.arg("--tls-key").arg(certificate.with_extension("key"));
        self.start(command, "server")
    }

    /// A certificate of its own, and a token that names it.
    fn token(&self, name: &str) -> (PathBuf, String) {
        let made = self.subak(&["workers", "certificate", "--folder", name]).output().unwrap();
        let certificate = self.path(stdout(&made).trim());
        let mut command = self.with_database(&["workers", "token", "--tls-certificate"]);
        let output = command.arg(&certificate).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        (certificate, stdout(&output).trim().to_owned())
    }

    fn worker(&self, name: &str, url: &str, token: Option<&str>) -> Command {
        let mut command = self.subak(&["worker", "--name", name, "--server", url, "--state", name]);
        command.args(["--work-dir", "work"]);
        if let Some(token) = token {
            command.env("SUBAK_JOIN_TOKEN", token);
        }
        command
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let since = Instant::now();
        while !holds().await {
            assert!(since.elapsed() < PATIENCE, "waited for {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn vacant_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

/// A relative path is below the worker's work folder, whatever asks for it.
const RELATIVE: &str = "\
dag_id: relative
tasks:
  read: {operator: csv.read, with: {path: in.csv}}
  write: {operator: csv.write, with: {input: '{{ tasks.read.output }}', path: out/out.csv}}
  script: {operator: python, with: {script: script.py}}
  shell: {operator: bash, with: {command: cat word, cwd: sub}}
";

#[tokio::test(flavor = "multi_thread")]
async fn only_a_worker_with_the_token_joins_and_runs_tasks() {
    let place = Place::new().await;
    for (file, text) in [
        ("work/in.csv", "n\n1\n"),
        (
            "work/script.py",
            "import json, os\njson.dump(7, open(os.environ['SUBAK_RESULT'], 'w'))\n",
        ),
        ("work/sub/word", "found\n"),
        ("dags/relative.yaml", RELATIVE),
    ] {
        fs::create_dir_all(place.path(file).parent().unwrap()).unwrap();
        fs::write(place.path(file), text).unwrap();
    }
    let port = vacant_port();
    let url = format!("https://127.0.0.1:{port}");
    let (certificate, token) = place.token("ours");
    let (_, foreign) = place.token("theirs");
    let server = place.server(port, &certificate);
    server.says("the server runs").await;

    // A secret that was never given out, for the right certificate.
    let mut wrong: subak_proto::JoinToken = token.parse().unwrap();
    wrong.secret = "0".repeat(wrong.secret.len());
    let mut command = place.worker("guesser", &url, Some(&wrong.to_string()));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("the join token is unknown, expired or revoked"),
        "{}",
        stderr(&output)
    );
    // No token, and no encryption where the address is not this machine.
    for (url, error) in [
        (url.clone(), "needs a join token"),
        (format!("http://203.0.113.7:{port}"), "plain http is for loopback only"),
    ] {
        let output = place.worker("stranger", &url, None).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(error), "{}", stderr(&output));
    }
    // Another server's certificate; plain text to a port that speaks TLS.
    let misled = place.start(place.worker("misled", &url, Some(&foreign)), "misled");
    misled.says("the server's certificate is not the one that the join token names").await;
    let plain = format!("http://127.0.0.1:{port}");
    let plain = place.start(place.worker("plain", &plain, None), "plain");
    plain.says("no connection, trying again").await;
    assert!(place.store.workers().await.unwrap().is_empty());

    let worker = place.start(place.worker("ours", &url, Some(&token)), "worker");
    place
        .until("the worker to join", async || {
            let workers = place.store.workers().await.unwrap();
            workers.iter().map(|worker| worker.worker.as_str()).eq(["ours"])
        })
        .await;
    let trigger = ["runs", "trigger", "relative", "--wait"];
    let output = place.with_database(&trigger).output().unwrap();
    let logs = place.with_database(&["runs", "logs", "relative"]).output().unwrap();
    assert!(output.status.success(), "{}{}", stdout(&logs), worker.log());
    assert_eq!(fs::read_to_string(place.path("work/out/out.csv")).unwrap(), "n\n1\n");
    assert!(stdout(&logs).contains("found\n"), "{}", stdout(&logs));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_serves_nobody_off_loopback_without_encryption() {
    let place = Place::new().await;
    let mut command = place.with_database(&["server", "--workers-listen", "0.0.0.0:0"]);
    let output = command.args(["--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("workers can't join at 0.0.0.0:0 without TLS"),
        "{}",
        stderr(&output)
    );
}
