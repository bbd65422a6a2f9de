//! Streams that break, leases that run out, reports that nobody answers.

use std::time::{Duration, Instant};

use serde_json::json;
use subak_proto::{Answer, Outcome, digest};

use crate::peer::{Peer, Running, gone};

const LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_broken_stream_is_resumed_with_the_tries_it_held() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    let gate = call.assign_gated(1, peer.folder.path()).await;
    call.assign(2, "noop", json!({}));
    assert_eq!(call.report().await.r#try.unwrap().token, 2);
    drop(call);

    let mut call = peer.accept().await;
    assert_eq!((call.hello.session, call.hello.former_session), (7, 0));
    let mut held: Vec<i64> = call.hello.held.iter().map(|try_ref| try_ref.token).collect();
    held.sort_unstable();
    assert_eq!(held, [1, 2]);
    let queue = &call.hello.queues[0];
    assert_eq!(queue.free, queue.slots - 2);
    call.welcome(7, LEASE);
    let report = call.report().await;
    assert_eq!(report.r#try.unwrap().token, 2, "repeated until answered");
    call.answer(2, Answer::Accepted);
    assert!(call.log(1).contains("waits"), "the log is sent again");

    gate.open().await;
    let report = call.report().await;
    assert_eq!((report.r#try.unwrap().token, report.outcome()), (1, Outcome::Success));
    call.keep_log(1, report.log_chunks);
    call.answer(1, Answer::Accepted);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn tries_of_a_session_that_has_ended_are_stopped() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    call.assign(1, "bash", json!({"command": "echo $$ .; sleep 60"}));
    call.log_has(1, " .").await;
    let pid = call.log(1).split(' ').next().unwrap().parse().unwrap();
    drop(call);
    let mut call = peer.accept().await;
    call.welcome(8, LEASE);
    let report = call.report().await;
    assert_eq!((report.r#try.unwrap().session, report.outcome()), (7, Outcome::Stopped));
    gone(pid).await;
    call.answer_ref(report.r#try.unwrap(), Answer::Superseded);
    call.assign(2, "noop", json!({}));
    assert_eq!(call.report().await.r#try.unwrap().session, 8);
    call.answer(2, Answer::Accepted);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_report_goes_again_after_later_and_without_an_answer() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, Duration::from_secs(12));
    call.assign(1, "noop", json!({}));
    let first = call.report().await;
    call.answer(1, Answer::Later);
    assert_eq!(call.report().await, first);
    assert_eq!(call.report().await, first, "nobody answered");
    call.answer(1, Answer::Accepted);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn tries_end_at_two_thirds_of_a_lease_that_nobody_renews() {
    let mut peer = Peer::start();
    let lease = Duration::from_secs(3);
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, lease);
    call.assign(
        1,
        "bash",
        json!({"command": "trap '' TERM; echo $$ .; while :; do sleep 9; done"}),
    );
    call.log_has(1, " .").await;
    let pid: u32 = call.log(1).split(' ').next().unwrap().parse().unwrap();
    // One answered heartbeat, then silence: not even the next server's Hello is answered.
    let beat = call.heartbeat().await;
    let answered = Instant::now();
    call.send(subak_proto::server_message::Message::HeartbeatAck(subak_proto::HeartbeatAck {
        sequence: beat.sequence,
        digest_matches: true,
        now_micros: 0,
    }));
    call.answers_heartbeats = false;
    let _silent = peer.accept().await;
    assert!(crate::peer::lives(pid));
    gone(pid).await;
    let took = answered.elapsed();
    assert!(took > lease * 6 / 10, "too early: {took:?}");
    assert!(took < lease * 11 / 12, "too late: {took:?}");
    let mut call = peer.accept().await;
    call.welcome(7, lease);
    let report = call.report().await;
    assert_eq!(report.outcome(), Outcome::WorkerLost);
    call.answer(1, Answer::Superseded);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn the_digest_names_what_is_held() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, Duration::from_secs(6));
    assert_eq!(call.heartbeat().await.count, 0);
    call.assign(5, "noop", json!({}));
    call.assign(6, "noop", json!({}));
    while call.chunks.len() < 2 {
        call.reports().await;
    }
    call.answer(5, Answer::Accepted);
    let beat = loop {
        let beat = call.heartbeat().await;
        if beat.count == 1 {
            break beat;
        }
    };
    assert_eq!(beat.digest, digest(&[6]));
    call.answer(6, Answer::Accepted);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn what_was_not_answered_before_the_end_is_reported_under_its_own_session() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, LEASE);
    call.assign(1, "noop", json!({}));
    let report = call.report().await;
    worker.end().await.unwrap();

    let worker = Running::start(peer.config());
    let mut call = peer.accept().await;
    assert_eq!((call.hello.session, call.hello.former_session), (0, 0), "first its results");
    call.welcome(8, LEASE);
    let again = call.report().await;
    assert_eq!(again, report);
    call.answer_ref(report.r#try.unwrap(), Answer::Accepted);

    let mut call = peer.accept().await;
    assert_eq!((call.hello.session, call.hello.former_session), (8, 7));
    call.welcome(8, LEASE);
    call.assign(2, "noop", json!({}));
    assert_eq!(call.report().await.r#try.unwrap().token, 2);
    call.answer(2, Answer::Accepted);
    worker.end().await.unwrap();
    let left = std::fs::read_dir(peer.state_folder().join("spool")).unwrap().count();
    assert_eq!(left, 0);
}
