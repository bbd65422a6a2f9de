//! What a task's connections keep secret leaves the worker only in the values that tasks hand on.

use std::time::Duration;

use serde_json::{Value, json};
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};
use subak_proto::{Answer, Assignment, Outcome, XCom};

use crate::peer::{Call, Peer, connection};

const LEASE: Duration = Duration::from_secs(60);

/// An assignment whose connection has a secret.
fn with_secret(call: &Call, token: i64, operator: &str, with: Value) -> Assignment {
    let value = json!({"conn_type": "postgres", "password": "hunter22"});
    let connections = vec![connection("warehouse", value)];
    Assignment { connections, ..call.assignment(token, operator, with) }
}

#[tokio::test]
async fn secrets_leave_neither_by_log_nor_by_error() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    let command =
        "printf 'hunt'; sleep 0.05; echo er22; echo aHVudGVyMjI=; echo hunter22 >&2; exit 3";
    call.assign_all(vec![with_secret(&call, 1, "bash", json!({"command": command}))]);
    let report = call.report().await;
    assert_eq!(report.outcome(), Outcome::Failed);
    assert_eq!(report.exit_code, Some(3));
    assert_eq!(report.error, "the process ended with exit code 3: ***");
    let log = call.log(1);
    assert_eq!(log.matches("***").count(), 4, "{log}");
    assert!(!log.contains("hunter22") && !log.contains("aHVudGVy"), "{log}");
    call.answer(1, Answer::Accepted);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_value_is_handed_on_as_it_is_and_shown_without_secrets() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    let code = "import json, os\njson.dump({'url': 'pg://me:hunter22@db'}, open(os.environ['SUBAK_RESULT'], 'w'))";
    call.assign_all(vec![with_secret(&call, 1, "python", json!({"code": code}))]);
    let report = call.report().await;
    assert_eq!(report.outcome(), Outcome::Success, "{}", report.error);
    let handed_on = report.xcoms[0].clone();
    assert_eq!(handed_on.value, br#"{"url":"pg://me:hunter22@db"}"#);
    assert_eq!(handed_on.shown, br#"{"url":"pg://me:***@db"}"#);
    call.keep_log(1, report.log_chunks);
    call.answer(1, Answer::Accepted);

    // The next task has no connection, and keeps quiet all the same.
    let command = "test \"$URL\" = pg://me:hunter22@db && echo it is ${URL#pg://me:}";
    let with = json!({
        "command": command, "env": {"URL": "{{ ti.xcom_pull(task_ids='first')['url'] }}"},
    });
    let mut assignment = call.assignment(2, "bash", with);
    let key = "return_value".to_owned();
    assignment.xcoms = vec![XCom { task_id: "first".to_owned(), map_index: -1, key, ..handed_on }];
    call.assign_all(vec![assignment]);
    let report = call.report().await;
    assert_eq!(report.outcome(), Outcome::Success, "{}", report.error);
    assert!(call.log(2).contains("it is ***@db"), "{}", call.log(2));
    assert_eq!(report.xcoms[0].shown, br#""it is ***@db""#);
    let rendered: Value = serde_json::from_slice(&report.rendered).unwrap();
    assert_eq!(rendered["env"]["URL"], "pg://me:***@db");
    assert!(!rendered.to_string().contains("hunter22"), "{rendered}");
    call.keep_log(2, report.log_chunks);
    call.answer(2, Answer::Accepted);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn secrets_of_a_large_value_are_hidden_where_it_is_read() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    let code = "import json, os\njson.dump(['x' * 70000, 'pg://me:hunter22@db'], open(os.environ['SUBAK_RESULT'], 'w'))";
    call.assign_all(vec![with_secret(&call, 1, "python", json!({"code": code}))]);
    let report = call.report().await;
    assert_eq!(report.outcome(), Outcome::Success, "{}", report.error);
    let handed_on = report.xcoms[0].clone();
    assert_eq!((handed_on.large_bytes, handed_on.items), (70_026, Some(2)));
    // Only what is hidden in it travels.
    assert_eq!(handed_on.value, br#"["hunter22"]"#);
    assert_eq!(handed_on.shown, br#"["***"]"#);
    call.keep_log(1, report.log_chunks);
    call.answer(1, Answer::Accepted);

    let instance = InstanceKey { run: RunKey(1), task: TaskNo(1), map_index: MapIndex::NONE };
    let object = subak_core::xcom::object("", instance, 1);
    let next = |token: i64, object: String| {
        let with = json!({
            "command": "echo it is ${URL#pg://me:}",
            "env": {"URL": "{{ ti.xcom_pull(task_ids='first')[1] }}"},
        });
        let mut assignment = call.assignment(token, "bash", with);
        let key = "return_value".to_owned();
        let named = XCom { task_id: "first".to_owned(), key, object, ..handed_on.clone() };
        assignment.xcoms = vec![named];
        assignment
    };
    let (there, gone) = (next(2, object), next(3, "elsewhere.json".to_owned()));
    call.assign_all(vec![there]);
    let report = call.report().await;
    assert_eq!(report.outcome(), Outcome::Success, "{}", report.error);
    assert!(call.log(2).contains("it is ***@db"), "{}", call.log(2));
    call.keep_log(2, report.log_chunks);
    call.answer(2, Answer::Accepted);

    // A worker that does not share the storage says so, and another one may do better.
    call.assign_all(vec![gone]);
    let report = call.report().await;
    assert_eq!(report.outcome(), Outcome::Failed);
    assert!(report.error.contains("SUBAK_STORAGE"), "{}", report.error);
    call.keep_log(3, report.log_chunks);
    call.answer(3, Answer::Accepted);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn first_rows_and_statistics_are_shown_without_secrets() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    let file = peer.folder.path().join("keys.csv");
    std::fs::write(&file, "name,key\nnorth,hunter22\n").unwrap();
    call.assign_all(vec![with_secret(&call, 1, "csv.read", json!({"path": file}))]);
    let report = call.report().await;
    assert_eq!(report.outcome(), Outcome::Success, "{}", report.error);
    let preview: Value = serde_json::from_slice(&report.datasets[0].preview).unwrap();
    assert_eq!(preview, json!([{"name": "north", "key": "***"}]));
    let stats = String::from_utf8(report.datasets[0].stats.clone()).unwrap();
    assert!(!stats.contains("hunter22"), "{stats}");
    call.keep_log(1, report.log_chunks);
    call.answer(1, Answer::Accepted);
    worker.end().await.unwrap();
}
