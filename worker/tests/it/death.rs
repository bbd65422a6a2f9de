//! A worker's process that dies in the middle.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use subak_proto::{Answer, Outcome};

use crate::peer::{Peer, gone, lives};

const LEASE: Duration = Duration::from_secs(60);

/// A worker that does not outlive a test that fails.
struct Alone(Child);

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn alone(peer: &Peer) -> Alone {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subak-worker-alone"));
    command.arg(peer.url()).arg(peer.state_folder()).stdin(Stdio::null());
    Alone(command.spawn().unwrap())
}

#[tokio::test]
async fn nothing_that_a_killed_worker_started_lives_on() {
    let mut peer = Peer::start();
    let worker = alone(&peer);
    let mut call = peer.accept().await;
    call.welcome(7, LEASE);
    // A child, a grandchild, and one that has left the process group.
    let command = "(sleep 60 & echo grandchild $!; wait) & setsid sleep 61 & \
                   echo child $! shell $$ .; wait";
    call.assign(1, "bash", json!({"command": command}));
    call.log_has(1, " .\n").await;
    call.log_has(1, "grandchild").await;
    let log = call.log(1);
    let pids: Vec<u32> = log.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(pids.len() == 3 && pids.iter().all(|pid| lives(*pid)), "{log}");
    drop(worker);
    for pid in pids {
        gone(pid).await;
    }
}

#[tokio::test]
async fn a_finished_process_is_reported_by_the_next_worker_of_the_folder() {
    let mut peer = Peer::start();
    let worker = alone(&peer);
    let mut call = peer.accept().await;
    call.welcome(7, LEASE);
    call.assign(1, "bash", json!({"command": "echo one; sleep 0.3; echo two"}));
    let report = call.report().await;
    let log = call.log(1);
    assert_eq!(log, "one\ntwo\n");
    drop(worker);

    let worker = alone(&peer);
    let mut call = peer.accept().await;
    call.welcome(8, LEASE);
    let again = call.report().await;
    assert_eq!(again, report);
    assert_eq!(again.outcome(), Outcome::Success);
    assert_eq!(call.log(1), log, "its log comes again too");
    call.answer_ref(report.r#try.unwrap(), Answer::Accepted);
    let call = peer.accept().await;
    assert_eq!((call.hello.session, call.hello.former_session), (8, 7));
    drop(worker);
}

#[tokio::test]
async fn a_folder_has_one_worker() {
    let mut peer = Peer::start();
    let worker = alone(&peer);
    peer.accept().await.welcome(7, LEASE);
    let other = tokio::task::spawn_blocking({
        let (url, folder) = (peer.url(), peer.state_folder());
        move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_subak-worker-alone"));
            command.arg(url).arg(folder).output().unwrap()
        }
    });
    let output = other.await.unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("another worker uses the state folder"), "{error}");
    drop(worker);
}
