//! `subak dags test`: a run without a server.

use std::fs;

use crate::{clean, stderr, stdout};

fn run(dag: &str, arguments: &[&str]) -> std::process::Output {
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
