//! Rejected records, progress and the server's order to drain.

use std::time::Duration;

use serde_json::json;
use subak_proto::server_message::Message as Say;
use subak_proto::{Answer, DeadLetterAck, DeadLetters, Drain, Outcome, worker_message};

use crate::peer::{Call, Peer};

const LEASE: Duration = Duration::from_secs(60);

/// The rejected records and the report, in the order in which they come.
async fn result(call: &mut Call) -> (Vec<DeadLetters>, subak_proto::Report) {
    let mut letters = Vec::new();
    loop {
        match call.next().await.expect("the worker has gone") {
            worker_message::Message::DeadLetters(message) => letters.push(message),
            worker_message::Message::Reports(mut reports) => {
                return (letters, reports.reports.remove(0));
            }
            _ => {}
        }
    }
}

fn reads(peer: &Peer, name: &str, rows: &str) -> serde_json::Value {
    let file = peer.folder.path().join(name);
    std::fs::write(&file, format!("n,word\n{rows}")).unwrap();
    json!({"path": file, "columns": {"n": "integer"}, "on_bad_row": "dead_letter"})
}

#[tokio::test]
async fn unkept_dead_letters_come_again_after_a_restart_before_the_result() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    call.assign(1, "csv.read", reads(&peer, "a.csv", "1,a\nx,b\n3,c\ny,d\n"));
    let (sent, report) = result(&mut call).await;
    assert_eq!((report.outcome(), report.rows_rejected), (Outcome::Success, 2), "{report:?}");
    assert_eq!(report.dead_letter_chunks, sent.len() as u64);
    let positions: Vec<i64> =
        sent.iter().flat_map(|message| &message.letters).map(|letter| letter.position).collect();
    assert_eq!(positions, [3, 5]);
    assert_eq!(sent[0].letters[0].raw, b"x,b");

    // Neither is answered, and the worker's process ends.
    worker.kill().await;
    drop(call);
    let (worker, mut call) = peer.worker().await;
    call.welcome(8, LEASE);
    let (again, same) = result(&mut call).await;
    assert_eq!(again, sent);
    assert_eq!(same.r#try, report.r#try);
    let r#try = report.r#try;
    call.send(Say::DeadLetterAck(DeadLetterAck { r#try, up_to: sent.len() as u64 }));
    call.answer_ref(r#try.unwrap(), Answer::Accepted);
    call.keep_log(1, report.log_chunks);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_record_beyond_the_messages_limit_is_cut_and_says_so() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    let large = "z".repeat(5 << 20);
    call.assign(1, "csv.read", reads(&peer, "a.csv", &format!("x,{large}\n2,b\n")));
    let (sent, report) = result(&mut call).await;
    assert_eq!(report.outcome(), Outcome::Success, "{}", report.error);
    let letter = &sent[0].letters[0];
    assert_eq!(letter.raw.len(), 1 << 20);
    let last = letter.reasons.last().unwrap();
    assert!(last.contains("only the first 1048576 are kept"), "{last}");
    call.answer(1, Answer::Accepted);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_reader_says_how_far_it_is_and_what_it_counted() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    let mut with = reads(&peer, "a.csv", "1,a\n2,b\n");
    with["on_bad_row"] = json!("fail");
    call.assign(1, "csv.read", with);
    let report = call.report().await;
    let dataset: serde_json::Value = serde_json::from_slice(&report.datasets[0].value).unwrap();
    call.answer(1, Answer::Accepted);
    call.assign(2, "aggregate", json!({"input": dataset, "sql": "SELECT sum(n) AS n FROM task"}));
    let mut progress = None;
    let report = loop {
        match call.next().await.expect("the worker has gone") {
            worker_message::Message::Progress(said) => progress = Some(said),
            worker_message::Message::Reports(mut reports) => break reports.reports.remove(0),
            _ => {}
        }
    };
    assert_eq!(progress.map(|said| said.note).as_deref(), Some("read"));
    let counted: Vec<_> = report.scans.iter().map(|scan| (&*scan.task_id, scan.rows)).collect();
    assert_eq!(counted, [("task", 2)], "{report:?}");
    call.answer(2, Answer::Accepted);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_worker_drains_at_the_servers_word() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    call.send(Say::Drain(Drain { reason: "an upgrade".to_owned() }));
    // Nothing runs here, so it ends at once; its own word may or may not arrive before.
    while let Some(message) = call.next().await {
        assert!(matches!(message, worker_message::Message::Draining(_)), "{message:?}");
    }
    worker.end().await.unwrap();
}
