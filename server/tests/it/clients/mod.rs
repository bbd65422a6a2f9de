//! Airflow's own clients against a whole server, listening as it does for everybody.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;
use subak_core::decide::TryEnd;
use subak_proto::Assignment;
use subak_server::engine::{EmbeddedWorker, Outcome, Told, TryReport, XComReport, fence};
use subak_server::{Server, ServerConfig};
use subak_store::access::Role;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::surface::site::log;
use crate::world::{LEASE, key, whole_server};

const USER: &str = "ana";
const PASSWORD: &str = "correct horse battery";

const SHOP: &str = "
dag_id: shop
tags: [retail]
params:
  most: {type: integer, minimum: 1, default: 10}
tasks:
  first: {operator: noop, retry_delay: 1, owner: airflow, outlets: ['s3://shop/first']}
  each: {operator: bash, depends_on: [first], expand: {command: ['true', 'false']}}
  last: {operator: noop, depends_on: [first, each], inlets: ['s3://shop/first']}
";

/// A server with DAGs and a worker.
struct Served {
    url: String,
    /// A token of somebody who may only look.
    viewer: String,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    dags: tempfile::TempDir,
}

impl Served {
    async fn start() -> anyhow::Result<Self> {
        let dags = tempfile::tempdir()?;
        std::fs::write(dags.path().join("shop.yaml"), SHOP)?;
        // Its schedule makes no run by itself: it begins long after the tests.
        let idle = "{dag_id: idle, schedule: '@daily', start_date: 2090-01-01, tasks: {rest: {operator: noop}}}";
        std::fs::write(dags.path().join("idle.yaml"), idle)?;
        std::fs::write(dags.path().join("broken.yaml"), "dag_id: [")?;
        let store = subak_testkit::postgres::database().await?.store;
        let config = ServerConfig {
            http: Some("127.0.0.1:0".parse()?),
            dags: Some(dags.path().to_owned()),
            ..whole_server("served", LEASE)
        };
        let password = secrecy::SecretString::from(PASSWORD);
        store.user_create(USER, Some(&password), Role::Admin).await?;
        let viewer = store.user_create("vera", None, Role::Viewer).await?;
        let viewer = store.api_token_create(&viewer, "looks", None, None).await?;
        let viewer = viewer.expose().to_owned();
        let server = Server::start(config, store, Some(Arc::new(key()))).await?;
        let url = format!("http://{}", server.http().context("a listener has an address")?);
        let worker = server.engine().join("worker", &[("default", 2)], LEASE * 1_800).await?;
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(server.run(stop.clone()));
        tasks.spawn(work(worker, stop.clone()));
        Ok(Self { url, viewer, stop, tasks, dags })
    }

    /// Runs a script of this folder with the clients' Python, with the server's address, a user's name,
    /// the password, the folder of the DAGs, and a viewer's token. What it says is shown if it fails.
    async fn script(&self, name: &str) -> anyhow::Result<()> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients").join(name);
        let home = tempfile::tempdir()?;
        let mut client = Command::new(python()?);
        client.arg(script).args([&self.url, USER, PASSWORD]).arg(self.dags.path());
        client.arg(&self.viewer);
        client.kill_on_drop(true);
        client.env("HOME", home.path()).env("AIRFLOW_HOME", home.path().join("airflow"));
        let done = client.output().await?;
        let (told, wrong) =
            (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        anyhow::ensure!(done.status.success(), "{name}: {}\n{told}\n{wrong}", done.status);
        Ok(())
    }

    async fn end(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// The Python that `scripts/setup.sh test` has given the clients.
fn python() -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let python = cache.or_else(home).context("no home")?.join("subak/clients/bin/python");
    let at = python.display();
    anyhow::ensure!(python.is_file(), "`{at}` is missing: `scripts/setup.sh test` installs it");
    Ok(python)
}

/// Ends tries: the second instance of `each` fails.
async fn work(mut worker: EmbeddedWorker, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let told = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            told = worker.next() => told,
        };
        if told.is_empty() {
            return Ok(());
        }
        for told in told {
            if let Told::Run(assignment) = told {
                worker.report(report(&assignment)).await;
            }
        }
    }
}

fn report(assignment: &Assignment) -> TryReport {
    let try_ref = assignment.r#try.as_ref().expect("an assignment names its try");
    let (outcome, error) = match (assignment.task_id.as_str(), try_ref.map_index) {
        ("each", 1) => (Outcome::Failed(TryEnd::Permanent), Some("exit code 1".to_owned())),
        _ => (Outcome::Success, None),
    };
    let bare = TryReport::bare(fence(try_ref), outcome, error);
    if assignment.task_id != "first" {
        return bare;
    }
    let key = "return_value".to_owned();
    let xcom = XComReport { key, value: json!("hello 12"), ..XComReport::default() };
    TryReport { xcoms: vec![xcom], log: Some(log(b"hello 12\n")), ..bare }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_client_reads_what_it_has_written() -> anyhow::Result<()> {
    let served = Served::start().await?;
    served.script("client.py").await?;
    served.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_of_airflow_works() -> anyhow::Result<()> {
    let served = Served::start().await?;
    served.script("airflowctl.py").await?;
    served.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_does_what_its_description_says() -> anyhow::Result<()> {
    let served = Served::start().await?;
    served.script("schema.py").await?;
    served.end().await
}

/// Every operation of the API is in the document; what else there is are pages.
#[test]
fn every_route_of_the_api_is_described() {
    let document = subak_server::router::openapi();
    let mut seen = 0;
    for (method, path, _) in subak_server::router::route_table() {
        let is_api = path.starts_with("/api/") || path.starts_with("/auth/");
        let described = &document["paths"][path][method.as_str().to_lowercase()];
        assert_eq!(described.is_object(), is_api, "{method} {path}");
        if is_api {
            seen += 1;
            assert!(described["responses"].as_object().is_some_and(|it| it.len() > 1), "{path}");
        }
    }
    assert!(seen > 128, "{seen} operations");
}
