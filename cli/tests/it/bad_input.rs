//! Whatever is wrong with the input: one clear message, which says where, why and what to do.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use subak_postgres::{PrivatePostgres, TcpPort};
use tempfile::TempDir;

use crate::{clean, stderr, stdout};

/// Columns of the good file, and how its rows are read.
const READ: &str = "\
dag_id: sales
tasks:
  extract:
    operator: csv.read
    with:
      path: sales.csv
      columns: {day: date, shop: string, amount: integer}
";

/// Two rows that are right.
const ROWS: &str = "day,shop,amount\n2026-11-20,north,12\n2026-11-21,south,7\n";

/// What makes `extract` read its rows.
const COUNT: &str = "
  count:
    operator: aggregate
    with: {input: '{{ tasks.extract.output }}', sql: 'SELECT max(day) AS day, sum(amount) AS n FROM extract'}
";

const LOAD: &str = "
  load:
    operator: postgres.load
    with:
      connection: shop
      input: '{{ tasks.extract.output }}'
      table: sales
";

struct Case {
    place: TempDir,
    connection: Option<String>,
}

impl Case {
    fn new(dag: &str, rows: Option<&str>) -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("sales.yaml"), dag).unwrap();
        if let Some(rows) = rows {
            fs::write(place.path().join("sales.csv"), rows).unwrap();
        }
        Self { place, connection: None }
    }

    fn connected(mut self, url: &str) -> Self {
        self.connection = Some(url.to_owned());
        self
    }

    fn command(&self, mut command: Command) -> Output {
        command.current_dir(self.place.path());
        if let Some(url) = &self.connection {
            command.env("SUBAK_CONN_SHOP", url);
        }
        command.output().unwrap()
    }

    fn run(&self) -> Output {
        let mut command = clean();
        command.args(["dags", "test", "sales.yaml", "--quiet"]);
        self.command(command)
    }

    /// The one message, with what differs from run to run taken out.
    fn message(&self, output: &Output) -> String {
        let (out, err) = (stdout(output), stderr(output));
        assert!(!output.status.success(), "{out}{err}");
        // Of a run: the line below the task that failed. Before a run: all that is printed.
        let mut messages: Vec<String> = out
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .map(|line| line.replace(" | ", "\n"))
            .collect();
        if !out.contains(" failed in ") {
            messages = [out, err].into_iter().filter(|text| !text.is_empty()).collect();
        }
        assert_eq!(messages.len(), 1, "{messages:#?}");
        messages[0].replace(&self.place.path().display().to_string(), "DIR")
    }
}

#[test]
fn a_dag_file_is_refused_with_every_place() {
    for (name, dag) in [
        (
            "cycle",
            "dag_id: sales\ntasks:\n  a: {operator: noop, depends_on: [c]}\n  b: {operator: noop, depends_on: [a]}\n  c: {operator: noop, depends_on: [b]}\n",
        ),
        ("unknown_operator", &READ.replace("csv.read", "csv.raed")),
        ("typo_in_a_key", &READ.replace("operator: csv.read", "operator: csv.read\n    retrys: 2")),
        ("unknown_param", &READ.replace("sales.csv", "'{{ params.file }}'")),
    ] {
        let case = Case::new(dag, Some(ROWS));
        insta::assert_snapshot!(format!("dag_{name}"), case.message(&case.run()));
    }
}

#[test]
fn a_template_that_fails_in_a_run_names_its_place() {
    let dag = "\
dag_id: sales
tasks:
  first: {operator: bash, with: {command: echo one}}
  second:
    operator: bash
    with: {command: 'echo $WORD', env: {WORD: \"{{ ti.xcom_pull('first').size.x }}\"}}
";
    let case = Case::new(dag, None);
    insta::assert_snapshot!("template_in_a_run", case.message(&case.run()));
}

#[test]
fn a_file_is_refused_with_row_and_column() {
    let dag = format!("{READ}{COUNT}");
    for (name, rows) in [
        ("missing", None),
        ("bad_date", Some(ROWS.replace("2026-11-21", "2026-11-31"))),
        ("bad_number", Some(ROWS.replace(",7", ",seven"))),
        ("too_few_columns", Some(ROWS.replace(",7", ""))),
        ("no_such_column", Some(ROWS.replace("amount", "amuont"))),
    ] {
        let case = Case::new(&dag, rows.as_deref());
        insta::assert_snapshot!(format!("file_{name}"), case.message(&case.run()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_named_with_what_is_wrong() {
    let postgres =
        PrivatePostgres::temporary_with(|options| options.tcp(TcpPort::Free)).await.unwrap();
    postgres.create_database("shop").await.unwrap();
    let url = postgres.tcp_url("shop").unwrap();
    let wrong = url.replace(postgres.password(), "wrong-password");
    let vacant = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = format!("postgres://subak:secret@127.0.0.1:{vacant}/shop");
    for (name, url, port) in [
        ("missing_table", &url, postgres.tcp_port().unwrap()),
        ("wrong_password", &wrong, postgres.tcp_port().unwrap()),
        ("away", &away, vacant),
    ] {
        let case = Case::new(&format!("{READ}{LOAD}"), Some(ROWS)).connected(url);
        let message = tokio::task::block_in_place(|| case.message(&case.run()));
        assert!(!message.contains("wrong-password") && !message.contains("secret"), "{message}");
        let message = message.replace(&port.to_string(), "PORT");
        insta::assert_snapshot!(format!("database_{name}"), message);
    }
    postgres.stop().await;
}

#[test]
fn a_missing_connection_is_named_with_its_variable() {
    let case = Case::new(&format!("{READ}{LOAD}"), Some(ROWS));
    insta::assert_snapshot!("database_no_connection", case.message(&case.run()));
}

/// Writes more than there is room for.
fn large() -> Case {
    let rows: String = (0..200_000).map(|n| format!("2026-11-20,shop {n},{n}\n")).collect();
    let write = "
  write:
    operator: csv.write
    with: {input: '{{ tasks.extract.output }}', path: room/out.csv}
";
    let case = Case::new(&format!("{READ}{write}"), Some(&format!("day,shop,amount\n{rows}")));
    fs::create_dir(case.place.path().join("room")).unwrap();
    case
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash", env!("CARGO_BIN_EXE_subak")]);
    command.env("SUBAK_LOG", "warn");
    command
}

#[test]
fn a_file_beyond_the_limit_leaves_the_old_one() {
    let case = large();
    let out = case.place.path().join("room/out.csv");
    fs::write(&out, "old").unwrap();
    let limited = "trap '' XFSZ; ulimit -f 1024; exec \"$1\" dags test sales.yaml --quiet";
    let output = case.command(shell(limited));
    insta::assert_snapshot!("disk_limit", case.message(&output));
    assert_eq!(fs::read_to_string(&out).unwrap(), "old");
    assert_eq!(left_in(&case.place.path().join("room")), ["out.csv"]);
}

/// In a mount namespace of its own, where the machine allows one.
#[test]
fn a_full_disk_is_said_and_leaves_the_old_file() {
    let namespace = ["--mount", "--map-root-user"];
    let mount = "mount -t tmpfs -o size=1m tmpfs room";
    let case = large();
    let mut probe = Command::new("unshare");
    probe.args(namespace).args(["bash", "-c", mount]).current_dir(case.place.path());
    if !probe.output().is_ok_and(|output| output.status.success()) {
        eprintln!("no mount namespace here: only the limit on files is tested");
        return;
    }
    let script = format!(
        "{mount} && echo old > room/out.csv && \"$1\" dags test sales.yaml --quiet; code=$?
         [ \"$(cat room/out.csv)\" = old ] && [ \"$(ls -A room)\" = out.csv ] || echo 'not clean'
         exit $code"
    );
    let mut command = Command::new("unshare");
    command.args(namespace).arg("bash").args(["-c", &script, "bash"]);
    command.arg(env!("CARGO_BIN_EXE_subak"));
    let output = case.command(command);
    assert!(!stdout(&output).contains("not clean"), "{}", stdout(&output));
    insta::assert_snapshot!("disk_full", case.message(&output));
}

fn left_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
