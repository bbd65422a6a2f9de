//! Tries through the stream.

use std::time::Duration;

use serde_json::json;
use subak_core::xcom::KEPT_BYTES;
use subak_proto::{Answer, Outcome, worker_message};

use crate::peer::{Peer, gone, lives};

const LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_batch_of_noops_is_reported_together_with_its_logs() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    assert_eq!((call.hello.session, call.hello.former_session), (0, 0));
    assert_eq!(call.hello.queues[0].free, call.hello.queues[0].slots);
    call.welcome(7, LEASE);
    call.assign_all((1..=10).map(|token| call.assignment(token, "noop", json!({}))).collect());
    let reports = call.reports().await;
    assert_eq!(reports.len(), 10);
    for report in &reports {
        assert_eq!(report.outcome(), Outcome::Success);
        assert_eq!(report.log_chunks, 1);
        assert!(report.function_ended_micros >= report.function_started_micros);
        let token = report.r#try.unwrap().token;
        assert_eq!(call.log(token), "noop: nothing to do\n");
        call.answer(token, Answer::Accepted);
    }
    worker.end().await.unwrap();
}

#[tokio::test]
async fn bash_runs_and_its_last_line_is_the_xcom() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    let command = "echo one; echo \"$SUBAK_TASK_ID $SHOP {{ ds }}\"; echo warn >&2";
    let with = json!({"command": command, "env": {"SHOP": "{{ params.shop }}"}});
    call.assign(1, "bash", with);
    let report = call.report().await;
    assert_eq!(report.error, "");
    assert_eq!(report.outcome(), Outcome::Success);
    assert_eq!(report.xcoms[0].value, br#""task north 2023-11-14""#);
    let log = call.log(1);
    assert!(log.contains("one\n") && log.contains("warn\n"), "{log}");
    assert_eq!(report.log_chunks, call.chunks[&1].len() as u64);
    call.keep_log(1, report.log_chunks);
    call.answer(1, Answer::Accepted);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_value_lies_below_the_storage_as_soon_as_it_is_longer_than_64_kib() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    // As JSON a text has two quotes.
    for (token, length, large) in [(1, KEPT_BYTES - 2, 0), (2, KEPT_BYTES - 1, KEPT_BYTES + 1)] {
        let code = format!(
            "import json, os\njson.dump('x' * {length}, open(os.environ['SUBAK_RESULT'], 'w'))"
        );
        call.assign(token, "python", json!({"code": code}));
        let report = call.report().await;
        assert_eq!(report.outcome(), Outcome::Success, "{}", report.error);
        let handed_on = &report.xcoms[0];
        assert_eq!((handed_on.large_bytes, handed_on.value.is_empty()), (large as u64, large > 0));
        call.keep_log(token, report.log_chunks);
        call.answer(token, Answer::Accepted);
    }
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_duplicate_assignment_runs_once() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    let mark = peer.folder.path().join("mark");
    let command = format!("echo x >> {}", mark.display());
    for _ in 0..3 {
        call.assign(1, "bash", json!({"command": command}));
    }
    let first = call.report().await;
    // While its report waits, an assignment brings the report again; afterwards nothing.
    call.assign(1, "bash", json!({"command": command}));
    assert_eq!(call.report().await, first);
    call.answer(1, Answer::Accepted);
    call.assign(1, "bash", json!({"command": command}));
    call.assign(2, "noop", json!({}));
    assert_eq!(call.report().await.r#try.unwrap().token, 2);
    call.answer(2, Answer::Accepted);
    worker.end().await.unwrap();
    assert_eq!(std::fs::read_to_string(mark).unwrap(), "x\n");
}

#[tokio::test]
async fn assignments_beyond_the_free_slots_are_refused() {
    let mut peer = Peer::start();
    let mut config = peer.config();
    config.queues[0].slots = 1;
    let (worker, mut call) = peer.worker_with(config).await;
    call.welcome(7, LEASE);
    let bash = |token| call.assignment(token, "bash", json!({"command": "sleep 60"}));
    call.assign_all(vec![bash(1), bash(2)]);
    let Some(worker_message::Message::Refused(refused)) = call.next().await else { panic!() };
    assert_eq!(refused.tries, [call.try_ref(2)]);
    call.stop(1);
    assert_eq!(call.report().await.outcome(), Outcome::Stopped);
    call.answer(1, Answer::Accepted);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_the_whole_group_even_if_it_ignores_term() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    let command = "trap '' TERM; sleep 60 & echo pids $$ $! .; while :; do sleep 60; done";
    call.assign(1, "bash", json!({"command": command}));
    call.log_has(1, " .\n").await;
    let log = call.log(1);
    let pids: Vec<u32> = log.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(pids.len() == 2 && pids.iter().all(|pid| lives(*pid)), "{log}");
    call.stop(1);
    let report = call.report().await;
    assert_eq!(report.outcome(), Outcome::Stopped);
    assert_eq!(report.error, "stopped: cancelled");
    for pid in pids {
        gone(pid).await;
    }
    call.keep_log(1, report.log_chunks);
    call.answer(1, Answer::Accepted);
    worker.end().await.unwrap();
    let log = call.log(1);
    assert!(log.ends_with("\nstopped: cancelled\n"), "it is said once: {log}");
}

#[tokio::test]
async fn a_try_ends_at_its_timeout() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    let mut assignment = call.assignment(1, "bash", json!({"command": "sleep 60"}));
    assignment.timeout_micros = 100_000;
    call.assign_all(vec![assignment]);
    let report = call.report().await;
    assert_eq!(report.outcome(), Outcome::Failed);
    assert!(report.error.contains("execution_timeout"), "{}", report.error);
    call.answer(1, Answer::Accepted);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_draining_worker_takes_nothing_and_ends_when_its_tries_have() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    let gate = call.assign_gated(1, peer.folder.path()).await;
    worker.stop();
    let Some(worker_message::Message::Draining(_)) = call.next().await else { panic!() };
    call.assign(2, "noop", json!({}));
    let Some(worker_message::Message::Refused(_)) = call.next().await else { panic!() };
    gate.open().await;
    let report = call.report().await;
    assert_eq!(report.outcome(), Outcome::Success);
    call.keep_log(1, report.log_chunks);
    call.answer(1, Answer::Accepted);
    worker.end().await.unwrap();
}
