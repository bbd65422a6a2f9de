//! `subak dags test`: a run without a server.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use crate::{clean, stderr, stdout};

fn run(dag: &str, arguments: &[&str]) -> Output {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("dag.yaml"), dag).unwrap();
    let mut command = clean();
    command.current_dir(place.path()).args(["dags", "test", "dag.yaml"]).args(arguments);
    command.output().unwrap()
}

#[test]
fn results_pass_from_task_to_task() {
    let dag = "\
dag_id: relay
params:
  name: {type: string}
tasks:
  first: {operator: bash, with: {command: 'echo \"I am $NAME\"', env: {NAME: '{{ params.name }}'}}}
  gate: {operator: empty, depends_on: [first]}
  second:
    operator: bash
    depends_on: [gate, first]
    with: {command: 'echo \"heard: $HEARD\"', env: {HEARD: \"{{ ti.xcom_pull('first') }}\"}}
";
    let output = run(dag, &["--conf", r#"{"name": "Made"}"#]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert!(text.contains("second | heard: I am Made\n"), "{text}");
    assert!(text.contains("relay success in "), "{text}");

    let without = run(dag, &[]);
    assert_eq!(without.status.code(), Some(1));
    assert!(stderr(&without).contains("param \"name\" has no default"), "{}", stderr(&without));
}

#[test]
fn a_failure_is_tried_again_cascades_and_is_the_exit_code() {
    let dag = "\
dag_id: sad
tasks:
  fails: {operator: bash, retries: 1, retry_delay: 0, with: {command: exit 3}}
  never: {operator: noop, depends_on: [fails]}
  cleans_up: {operator: noop, depends_on: [fails], trigger_rule: all_done}
";
    let output = run(dag, &["--quiet"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert_eq!(text.matches("fails\n    ").count(), 2, "{text}");
    assert!(text.contains("upstream_failed"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("success") && line.ends_with("cleans_up")));
    assert!(text.contains("sad failed in "), "{text}");
}

#[test]
fn a_missing_connection_names_its_variable() {
    let dag = "\
dag_id: needs
tasks:
  ask: {operator: sql, with: {connection: sales_db, sql: SELECT 1}}
";
    let output = run(dag, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("SUBAK_CONN_SALES_DB"), "{}", stderr(&output));
}

/// Each file goes through the group by itself; then each row is a task.
const FILES: &str = "\
dag_id: files
task_groups:
  file: {expand: {path: \"{{ ti.xcom_pull('list') }}\"}}
tasks:
  list: {operator: files.list, with: {path: 'in/*.csv'}}
  read: {operator: csv.read, task_group: file, with: {path: '{{ group.path }}'}}
  save:
    operator: csv.write
    task_group: file
    with: {input: \"{{ tasks['file.read'].output }}\", path: 'out-{{ ti.map_index }}.csv'}
  all: {operator: csv.read, depends_on: [file], with: {path: 'out-*.csv'}}
  each:
    operator: bash
    partial: {command: 'echo \"it is $name\"'}
    expand: {env: '{{ tasks.all.output }}'}
  nothing: {operator: files.list, with: {path: 'in/*.txt'}}
  over_nothing:
    operator: bash
    partial: {command: 'true'}
    expand: {cwd: \"{{ ti.xcom_pull('nothing') }}\"}
";

#[test]
fn groups_are_mapped_over_files_and_tasks_over_rows() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("in")).unwrap();
    fs::write(place.path().join("in/a.csv"), "name\nMade\n").unwrap();
    fs::write(place.path().join("in/b.csv"), "name\nNyoman\nKetut\n").unwrap();
    fs::write(place.path().join("dag.yaml"), FILES).unwrap();
    let mut command = clean();
    let output =
        command.current_dir(place.path()).args(["dags", "test", "dag.yaml"]).output().unwrap();
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    let written = |name: &str| fs::read_to_string(place.path().join(name)).unwrap();
    assert_eq!(written("out-0.csv"), "name\nMade\n");
    assert_eq!(written("out-1.csv"), "name\nNyoman\nKetut\n");
    for (index, name) in ["Made", "Nyoman", "Ketut"].iter().enumerate() {
        assert!(text.contains(&format!("each [{index}] | it is {name}\n")), "{text}");
    }
    let skipped = |line: &str| line.starts_with("skipped") && line.ends_with("over_nothing");
    assert!(text.lines().any(skipped), "{text}");
}

/// Five invoices of two months: one customer comes twice, one is unknown.
const INVOICES: &str = "\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,\"HOLDER, \"\"WHITE\"\"\",6,12/1/2010 8:26,2.55,17850,United Kingdom
536366,71053,LANTERN,6,12/1/2010 8:28,3.39,17850,United Kingdom
C536379,D,Discount,-1,12/1/2010 9:41,27.5,14527,United Kingdom
536544,21773,BOX,1,12/1/2010 14:32,2.51,,United Kingdom
539993,22386,BAG,10,1/4/2011 10:00,1.95,13313,France
";

/// Prints the table.
const LOOK: &str = "\
dag_id: look
tasks:
  ask: {operator: sql, with: {connection: warehouse, sql: TABLE retail_retention}}
  say: {operator: bash, depends_on: [ask], with: {command: 'echo \"$ROWS\"', env: {ROWS: \"{{ ti.xcom_pull('ask') | tojson }}\"}}}
";

#[tokio::test(flavor = "multi_thread")]
async fn the_retail_pipeline_needs_no_more_than_its_target_database() {
    let postgres = subak_postgres::PrivatePostgres::temporary().await.unwrap();
    postgres.create_database("shop").await.unwrap();
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("in.csv"), INVOICES).unwrap();
    fs::write(place.path().join("look.yaml"), LOOK).unwrap();
    let dag = concat!(env!("CARGO_MANIFEST_DIR"), "/../dags/retail_retention.yaml");
    let test = |arguments: &[&str]| {
        let mut command = clean();
        command.current_dir(place.path()).args(["dags", "test"]).args(arguments);
        command.env("SUBAK_CONN_WAREHOUSE", postgres.url("shop"));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
        stdout(&output)
    };
    // Twice: the second run leaves the same.
    for _ in 0..2 {
        let text = test(&[dag, "--conf", r#"{"input": "in.csv", "output": "out.csv"}"#]);
        assert!(text.contains("retail_retention success in "), "{text}");
        let written = fs::read_to_string(place.path().join("out.csv")).unwrap();
        let months = "InvoiceYear,InvoiceMonth,unique_customers\n2010,12,2\n2011,1,1\n";
        assert_eq!(written, months);
        let table = test(&["look.yaml"]);
        for row in [
            r#"{"invoice_month": 12, "invoice_year": 2010, "unique_customers": 2}"#,
            r#"{"invoice_month": 1, "invoice_year": 2011, "unique_customers": 1}"#,
        ] {
            let said = table.replace("\":", "\": ").replace(":  ", ": ").replace(",\"", ", \"");
            assert!(said.contains(row), "{said}");
        }
    }
    postgres.stop().await;
}

#[test]
fn a_terminal_shows_a_bar_and_the_exit_code_is_the_runs() {
    let dag = "\
dag_id: bar
tasks:
  first: {operator: bash, with: {command: echo said}}
  second: {operator: bash, depends_on: [first], with: {command: exit 4}}
";
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("dag.yaml"), dag).unwrap();
    let mut command = Command::new("script");
    let inside = concat!(env!("CARGO_BIN_EXE_subak"), " dags test dag.yaml");
    command.args(["-qec", inside, "/dev/null"]).current_dir(place.path()).env("TERM", "xterm");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("1/2") && text.contains('\u{1b}'), "{text:?}");
    assert!(text.contains("first | said") && text.contains("bar failed in "), "{text:?}");
}

#[test]
fn branches_skip_and_teardowns_clean_up() {
    let dag = "\
dag_id: choosy
params: {size: 7}
tasks:
  make: {operator: noop, setup: true}
  pick:
    operator: branch
    depends_on: [make]
    with: {choose: \"{{ 'large' if params.size > 5 else 'small' }}\"}
  large: {operator: bash, depends_on: [pick], with: {command: 'exit 3'}}
  small: {operator: noop, depends_on: [pick]}
  wish: {operator: noop, when: \"{{ params.size > 9 }}\"}
  away: {operator: noop, depends_on: [large, small], teardown: {setups: [make]}}
";
    let output = run(dag, &["--quiet"]);
    let text = stdout(&output);
    let is = |state: &str, task: &str| {
        text.lines().any(|line| line.starts_with(state) && line.ends_with(task))
    };
    assert!(is("skipped", "small") && is("skipped", "wish") && is("failed", "large"), "{text}");
    assert!(is("success", "away"), "{text}");
    assert_eq!(output.status.code(), Some(3), "{text}");

    let failing = "\
dag_id: hasty
fail_fast: true
tasks:
  fails: {operator: bash, with: {command: exit 1}}
  hangs: {operator: bash, with: {command: sleep 600}}
  never: {operator: noop, depends_on: [hangs]}
";
    let output = run(failing, &["--quiet"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.lines().any(|line| line.starts_with("skipped") && line.ends_with("never")));
}

/// `work` never ends, and says that it has begun; what `away` does is left open.
const ENDLESS: &str = "\
dag_id: endless
tasks:
  make: {operator: noop, setup: true}
  work: {operator: bash, depends_on: [make], with: {command: echo works; sleep 600}}
  never: {operator: noop, depends_on: [work]}
  away: {operator: bash, depends_on: [never], teardown: {setups: [make]}, with: {command: AWAY}}
";

#[test]
fn out_of_time_or_interrupted_teardowns_go_on() {
    let timed = format!("{ENDLESS}dagrun_timeout: 1s\n").replace("AWAY", "echo tidy");
    let output = run(&timed, &[]);
    let text = stdout(&output);
    let is = |state: &str, task: &str| {
        text.lines().any(|line| line.starts_with(state) && line.ends_with(task))
    };
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(is("failed", "work") && is("skipped", "never") && is("success", "away"), "{text}");
    assert!(text.contains("stopped: dagrun_timeout") && text.contains("away | tidy"), "{text}");

    // Interrupted once it cleans up, and twice it ends.
    let place = tempfile::tempdir().unwrap();
    let hangs = ENDLESS.replace("AWAY", "echo tidies; sleep 600");
    fs::write(place.path().join("dag.yaml"), hangs).unwrap();
    let mut command = clean();
    command.current_dir(place.path()).args(["dags", "test", "dag.yaml"]);
    // Lines go to standard output where no bar is drawn.
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    for begun in ["work | works", "away | tidies"] {
        assert!(lines.any(|line| line == begun), "{begun}");
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }
    assert!(lines.any(|line| line.starts_with("endless failed in ")));
    assert_eq!(child.wait().unwrap().code(), Some(3));
}
