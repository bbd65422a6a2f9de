//! Tries without a server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use subak_core::template::RunContext;
use subak_worker::local::{Connection, LocalEnd, LocalOutcome, LocalRunner, LocalStop, LocalTry};

use crate::peer::task;

fn runner(folder: &tempfile::TempDir) -> LocalRunner {
    let keeper = vec![env!("CARGO_BIN_EXE_subak-worker-alone").into(), "keeper".into()];
    LocalRunner::new(folder.path().to_owned(), keeper).unwrap()
}

fn a_try(operator: &str, with: Value) -> LocalTry {
    let secret = json!({"conn_type": "postgres", "password": "hunter22"});
    let connection: Connection = serde_json::from_value(secret).unwrap();
    LocalTry {
        task: serde_json::from_slice(&task(operator, with)).unwrap(),
        context: RunContext {
            dag_id: "etl".to_owned(),
            run_id: "test".to_owned(),
            params: json!({"shop": "north"}),
            conf: json!({}),
            map_index: -1,
            try_number: 1,
            ..RunContext::default()
        },
        connections: BTreeMap::from([("warehouse".to_owned(), connection)]),
    }
}

async fn run(this: LocalTry, stop: &LocalStop) -> (LocalEnd, String) {
    let folder = tempfile::tempdir().unwrap();
    let lines = Arc::new(Mutex::new(String::new()));
    let shown = Arc::clone(&lines);
    let line = move |line: &str| {
        let mut shown = shown.lock().unwrap();
        shown.push_str(line);
        shown.push('\n');
    };
    let end = runner(&folder).run(this, line, |_, _, _| {}, stop).await;
    let log = lines.lock().unwrap().clone();
    (end, log)
}

#[tokio::test]
async fn a_local_try_renders_runs_and_masks() {
    let command = "echo $SUBAK_DAG_ID; echo hunter22 >&2; echo \"shop $SHOP\"";
    let with = json!({"command": command, "env": {"SHOP": "{{ params.shop }}"}});
    let (end, log) = run(a_try("bash", with), &LocalStop::default()).await;
    assert_eq!((end.outcome, end.error.as_str()), (LocalOutcome::Success, ""));
    assert_eq!(end.value, Some(json!("shop north")));
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["***", "etl", "shop north"]);
}

#[tokio::test]
async fn a_local_try_fails_in_words_and_stops_when_told() {
    let never = LocalStop::default();
    let (end, _) = run(a_try("bash", json!({"command": "exit 2"})), &never).await;
    assert_eq!((end.outcome, end.exit_code), (LocalOutcome::Failed, Some(2)));
    let (end, _) = run(a_try("noop", json!({"x": 1})), &never).await;
    assert_eq!(end.outcome, LocalOutcome::FailedPermanently);
    let stopped = LocalStop::default();
    stopped.give("dagrun_timeout");
    stopped.give("cancelled");
    let (end, _) = run(a_try("bash", json!({"command": "sleep 60"})), &stopped).await;
    assert_eq!(end.outcome, LocalOutcome::Stopped);
    assert!(end.error.contains("dagrun_timeout"), "{}", end.error);
}
