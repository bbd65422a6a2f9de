//! A worker that is told to drain, or to go to another server.

use std::time::Duration;

use serde_json::json;
use subak_proto::{Answer, Drain, Leave, Outcome, server_message, worker_message};

use crate::peer::Peer;

const LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_worker_that_is_told_to_drain_lets_its_tries_take_their_time() {
    let mut peer = Peer::start();
    let mut config = peer.config();
    // What a signal would give them.
    config.drain = Duration::ZERO;
    let (worker, mut call) = peer.worker_with(config).await;
    call.welcome(7, LEASE);
    let gate = call.assign_gated(1, peer.folder.path()).await;
    for _ in 0..2 {
        call.send(server_message::Message::Drain(Drain { reason: "drained".to_owned() }));
    }
    let Some(worker_message::Message::Draining(_)) = call.next().await else { panic!() };
    call.assign(2, "noop", json!({}));
    let Some(worker_message::Message::Refused(_)) = call.next().await else { panic!() };
    gate.open().await;
    let report = call.report().await;
    assert_eq!(report.outcome(), Outcome::Success, "{}", report.error);
    call.keep_log(1, report.log_chunks);
    call.answer(1, Answer::Accepted);
    worker.ended().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_is_told_to_leave_takes_its_tries_to_the_next_server() {
    let (mut one, mut two) = (Peer::start(), Peer::start());
    let mut config = one.config();
    config.servers.push(two.url());
    let worker = crate::peer::Running::start(config);
    // Which one it begins with is drawn.
    let mut call = tokio::select! {
        call = one.accept() => call,
        call = two.accept() => { std::mem::swap(&mut one, &mut two); call }
    };
    call.welcome(7, LEASE);
    let gate = call.assign_gated(1, one.folder.path()).await;
    call.send(server_message::Message::Leave(Leave { reason: "the server ends".to_owned() }));
    let mut call = two.accept().await;
    assert_eq!(call.hello.session, 7);
    let held: Vec<i64> = call.hello.held.iter().map(|held| held.token).collect();
    assert_eq!(held, [1]);
    call.welcome(7, LEASE);
    gate.open().await;
    let report = call.report().await;
    assert_eq!(report.outcome(), Outcome::Success, "{}", report.error);
    call.keep_log(1, report.log_chunks);
    call.answer(1, Answer::Accepted);
    worker.end().await.unwrap();
}
