//! `subak standalone` and the commands that find it by its data folder.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{clean, stderr, stdout};

const DAGS: &str = "\
dag_id: greeting
params:
  name: {type: string, default: world}
tasks:
  greet:
    operator: bash
    with:
      command: echo \"hello $NAME\"
      env: {NAME: \"{{ params.name }}\"}
  after: {operator: noop, depends_on: [greet]}
---
dag_id: broken
tasks:
  fails: {operator: bash, with: {command: \"echo no luck; exit 7\"}}
";

/// A folder with DAG files and room for data.
pub(crate) fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    // PostgreSQL runs as another user where the test runs as root.
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(place.path().join("dags")).unwrap();
    fs::write(place.path().join("dags/all.yaml"), DAGS).unwrap();
    place
}

/// A running `subak standalone`. Dropped, it is killed.
pub(crate) struct Standalone {
    child: Child,
    folder: PathBuf,
    ready_after: Duration,
    said: String,
}

impl Standalone {
    /// Starts it and waits until it has said all there is to say.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    /// The same, with more in its environment.
    pub(crate) fn start_with(folder: &Path, env: &[(&str, &str)]) -> Self {
        let mut command = command(folder);
        command.envs(env.iter().copied()).args(["--log", "warn"]);
        Self::ready(folder, command)
    }

    /// Starts it by a command that says how it logs, and waits until it has said all there is to say.
    fn ready(folder: &Path, mut command: Command) -> Self {
        let since = Instant::now();
        let mut child = command
            .args(["standalone", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            said += &(line.unwrap() + "\n");
            if said.contains("\n  data ") {
                break;
            }
        }
        Self { child, folder: folder.to_owned(), ready_after: since.elapsed(), said }
    }

    pub(crate) fn subak(&self, arguments: &[&str]) -> Output {
        command(&self.folder).args(arguments).output().unwrap()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it printed when it was ready.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// Asks it to end, and returns its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        // A failed test must not leave it behind; one that has ended does not mind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command(folder: &Path) -> Command {
    let mut command = clean();
    command.current_dir(folder);
    command
}

#[test]
fn a_run_is_triggered_followed_and_read_from_the_terminal() {
    let place = place();
    let subak = Standalone::start(place.path());
    assert!(subak.said.contains("2 loaded, 0 with errors"), "{}", subak.said);
    assert!(subak.said.contains("/sign-in/link?token="), "{}", subak.said);

    let run =
        subak.subak(&["runs", "trigger", "greeting", "--conf", r#"{"name": "Wayan"}"#, "--wait"]);
    assert_eq!(run.status.code(), Some(0), "{}{}", stdout(&run), stderr(&run));
    assert!(stdout(&run).contains("greeting success in "), "{}", stdout(&run));

    let log = subak.subak(&["runs", "logs", "greeting", "--task", "greet"]);
    assert!(stdout(&log).contains("hello Wayan\n"), "{}", stdout(&log));

    let shown = subak.subak(&["runs", "show", "greeting", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["state"], "success");
    assert_eq!(shown["task_instances"][0]["task_id"], "greet");
    assert_eq!(shown["task_instances"][0]["try_number"], 1);

    let cleared = subak.subak(&["runs", "clear", "greeting", "--task", "greet", "--wait"]);
    assert_eq!(cleared.status.code(), Some(0), "{}{}", stdout(&cleared), stderr(&cleared));
    let shown = subak.subak(&["runs", "show", "greeting", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["task_instances"][0]["try_number"], 2);

    let failed = subak.subak(&["runs", "trigger", "broken", "--wait"]);
    assert_eq!(failed.status.code(), Some(3), "{}{}", stdout(&failed), stderr(&failed));
    // From where it failed: the same again, as nothing was mended.
    let again = subak.subak(&["runs", "clear", "broken", "--failed", "--wait"]);
    assert_eq!(again.status.code(), Some(3), "{}{}", stdout(&again), stderr(&again));
    let nothing = subak.subak(&["runs", "clear", "greeting", "--failed"]);
    assert_eq!(nothing.status.code(), Some(1), "{}", stdout(&nothing));
    assert!(stderr(&nothing).contains("nothing was cleared"), "{}", stderr(&nothing));
    let why = subak.subak(&["explain", "broken", "fails"]);
    assert!(stdout(&why).contains("has ended (failed)"), "{}{}", stdout(&why), stderr(&why));
    let list = stdout(&subak.subak(&["runs", "list", "--state", "failed"]));
    assert!(list.contains("broken") && !list.contains("greeting"), "{list}");

    let unknown = subak.subak(&["runs", "trigger", "no_such_dag"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(stderr(&unknown), "error: DAG `no_such_dag` does not exist\n");

    let workers = stdout(&subak.subak(&["workers", "list"]));
    assert!(workers.contains("default="), "{workers}");
    assert_eq!(subak.stop(), Some(0));
}

#[test]
fn logs_in_json_have_the_fields_that_the_documentation_names() {
    let place = place();
    let log = place.path().join("log");
    let mut command = command(place.path());
    command.args(["--log-format", "json", "--log", "info,subak_server::observe=debug"]);
    command.stderr(fs::File::create(&log).unwrap());
    let subak = Standalone::ready(place.path(), command);
    // Its worker has joined then.
    let run = subak.subak(&["runs", "trigger", "greeting", "--wait"]);
    assert_eq!(run.status.code(), Some(0), "{}{}", stdout(&run), stderr(&run));
    let address = subak.said().split("http://").nth(1).unwrap();
    let address = address.split(['/', ' ', '\n']).next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = "GET /sign-in?next=of-it HTTP/1.1\r\nHost: subak\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let named = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    assert_eq!(subak.stop(), Some(0));

    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        let at = line["timestamp"].as_str().unwrap();
        assert!(at.ends_with('Z') && at.as_bytes()[10] == b'T', "{line}");
        for field in ["level", "message", "target"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
    }
    let said = |message: &str| {
        let found = lines.iter().find(|line| line["message"] == message);
        found.unwrap_or_else(|| panic!("no `{message}` in {text}"))
    };
    // The example is a line of today.
    let document = include_str!("../../../docs/observability.md");
    let example = document.lines().find(|line| line.starts_with("{\"timestamp\"")).unwrap();
    let example: serde_json::Value = serde_json::from_str(example).unwrap();
    let joined = said("joined");
    for (field, value) in example.as_object().unwrap() {
        let found = &joined[field];
        assert_eq!(found.is_string(), value.is_string(), "{field}: {joined}");
        assert_eq!(found.is_number(), value.is_number(), "{field}: {joined}");
        assert_eq!(found.is_boolean(), value.is_boolean(), "{field}: {joined}");
    }
    let read = said("a DAG was read");
    assert!(read["dag.id"].is_string() && read["version"] == 1, "{read}");
    // A request, by the id that its answer had; its query is not among it.
    let of_request = |line: &&serde_json::Value| {
        line["span"]["request.id"] == named && line["message"] == "answered"
    };
    let answered = lines.iter().find(of_request).unwrap_or_else(|| panic!("{named} in {text}"));
    assert_eq!(answered["level"], "DEBUG");
    assert!(!answered["duration_ms"].is_null() && !answered["status"].is_null(), "{answered}");
    assert_eq!(answered["span"]["method"], "GET");
    assert_eq!(answered["span"]["path"], "/sign-in");
    assert!(!text.contains("of-it"), "{text}");
}

#[test]
fn an_existing_data_folder_is_ready_sooner_than_a_new_one() {
    let place = place();
    let first = Standalone::start(place.path());
    let with_initdb = first.ready_after;
    assert_eq!(first.stop(), Some(0));
    // The best of three: other tests run on the same cores.
    let mut times = Vec::new();
    for _ in 0..3 {
        let again = Standalone::start(place.path());
        times.push(again.ready_after);
        assert_eq!(again.stop(), Some(0));
    }
    // On an idle machine a third of a second, where 2 s are allowed; a busy one must not fail here.
    assert!(times.iter().min().unwrap() < &with_initdb, "{times:?}, with initdb {with_initdb:?}");
    assert!(!place.path().join(".data/standalone.json").exists());
}

#[test]
fn runs_are_marked_noted_and_deleted_and_variables_kept() {
    let place = place();
    let subak = Standalone::start(place.path());
    let failed = subak.subak(&["runs", "trigger", "broken", "--run-id", "one", "--wait"]);
    assert_eq!(failed.status.code(), Some(3), "{}{}", stdout(&failed), stderr(&failed));
    let good = |arguments: &[&str]| {
        let output = subak.subak(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    };
    let would = good(&["runs", "clear", "broken", "--task", "fails", "--dry-run"]);
    assert_eq!(would, "broken  one  would clear fails\n");
    let mark = ["runs", "mark", "broken", "one", "--task", "fails", "--success"];
    assert_eq!(good(&mark), "broken  one  marked as success: fails\n");
    assert_eq!(good(&mark), "broken  one  marked as success: nothing\n");
    assert!(good(&["runs", "list", "--state", "success"]).contains("broken"));
    good(&["runs", "note", "broken", "--task", "fails", "--text", "by hand"]);
    assert!(good(&["dags", "versions", "broken"]).contains("all.yaml"));
    assert_eq!(good(&["runs", "delete", "broken", "one"]), "broken  one  is deleted\n");
    let gone = subak.subak(&["runs", "delete", "broken", "one"]);
    assert!(stderr(&gone).contains("no run `one`"), "{}", stderr(&gone));

    good(&["variables", "set", "region", "eu"]);
    good(&["variables", "set", "shop_token", "hunter2"]);
    assert_eq!(good(&["variables", "get", "shop_token"]), "hunter2\n");
    let list = good(&["variables", "list"]);
    assert!(list.contains("region") && list.contains("***") && !list.contains("hunter2"), "{list}");
    good(&["variables", "remove", "region"]);
    let missing = subak.subak(&["variables", "get", "region"]);
    assert!(stderr(&missing).contains("`region` does not exist"), "{}", stderr(&missing));
    assert_eq!(subak.stop(), Some(0));
}

#[test]
fn connections_are_kept_listed_and_removed() {
    let place = place();
    let subak = Standalone::start(place.path());
    let added = subak.subak(&["connections", "add", "users_db", "--host", "db", "--login", "etl"]);
    assert_eq!(added.status.code(), Some(0), "{}", stderr(&added));

    let list = stdout(&subak.subak(&["connections", "list"]));
    assert!(list.contains("users_db") && list.contains("warehouse"), "{list}");

    assert_eq!(subak.subak(&["connections", "remove", "users_db"]).status.code(), Some(0));
    let twice = subak.subak(&["connections", "remove", "users_db"]);
    assert_eq!(twice.status.code(), Some(1));
    assert!(stderr(&twice).contains("`users_db` does not exist"), "{}", stderr(&twice));

    let user = subak.subak(&["users", "add", "ana", "--role", "op"]);
    assert!(stdout(&user).contains("/sign-in/link?token="), "{}", stdout(&user));
    assert_eq!(subak.subak(&["users", "add", "ana"]).status.code(), Some(1));
    assert_eq!(subak.stop(), Some(0));
}

#[test]
fn a_join_token_is_made_listed_and_revoked() {
    let place = place();
    let subak = Standalone::start(place.path());
    let made = subak.subak(&["workers", "certificate", "--folder", "tls"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let token = ["workers", "token", "--tls-certificate", "tls/workers.crt", "--name", "attic"];
    let secret = stdout(&subak.subak(&token));

    let list = stdout(&subak.subak(&["workers", "tokens"]));
    assert!(list.contains("attic") && !list.contains(secret.trim()), "{list}");
    let revoked = subak.subak(&["workers", "revoke", "attic"]);
    assert_eq!(stdout(&revoked), "revoked a token named attic\n", "{}", stderr(&revoked));
    let twice = subak.subak(&["workers", "revoke", "attic"]);
    assert_eq!(twice.status.code(), Some(1));
    assert!(stderr(&twice).contains("no join token is named `attic`"), "{}", stderr(&twice));
    assert_eq!(subak.stop(), Some(0));
}
