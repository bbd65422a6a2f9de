//! Through real processes: workers that are drained, servers that end while tasks run.

use std::path::{Path, PathBuf};

use subak_core::ids::RunKey;
use subak_testkit::peek;
use subak_testkit::stack::{Stack, StackOptions};

use crate::{stderr, stdout};

/// Runs until a file appears.
const WAITS: &str = "\
dag_id: waits
tasks:
  wait: {operator: bash, with: {command: 'echo began; until [ -e GO ]; do sleep 0.05; done'}}
";

async fn stack(servers: usize, workers: usize) -> Stack {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_subak"));
    let options = StackOptions { binary, servers, workers, slots: Some(2), lease_secs: 60 };
    Stack::start(options).await.unwrap()
}

/// Starts a run whose task runs until `go` is there.
async fn running(stack: &Stack, go: &Path) -> RunKey {
    stack.add_dag("waits", &WAITS.replace("GO", &go.display().to_string())).await.unwrap();
    let run = stack.trigger("waits", "first").await.unwrap();
    let begun = stack.until("the task to run", async || {
        Ok(peek::log_text(&stack.store, run).await?.contains("began"))
    });
    begun.await.unwrap();
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_worker_ends_once_its_task_has() {
    let mut stack = stack(2, 1).await;
    let go = stack.folder().join("go");
    let run = running(&stack, &go).await;
    let drained = stack.subak(&["workers", "drain", "worker-0"]).await.unwrap();
    assert!(drained.status.success(), "{}", stderr(&drained));
    assert!(stdout(&drained).contains("worker-0 takes no more tasks"), "{}", stdout(&drained));
    let listed = stdout(&stack.subak(&["workers", "list"]).await.unwrap());
    assert!(listed.contains("draining"), "{listed}");
    let unknown = stack.subak(&["workers", "drain", "nobody"]).await.unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("subak workers list"), "{}", stderr(&unknown));

    // A run that comes now waits for another worker.
    let second = stack.trigger("waits", "second").await.unwrap();
    let mut worker = stack.take_worker(0);
    assert_eq!(worker.ended().unwrap(), None, "{}", worker.log_tail());
    std::fs::write(&go, "").unwrap();
    assert_eq!(stack.ended(run).await.unwrap(), "success", "{}", stack.logs());
    let mut status = None;
    let ended = stack.until("the worker to end", async || {
        status = worker.ended()?;
        Ok(status.is_some())
    });
    ended.await.unwrap();
    assert!(status.is_some_and(|status| status.success()), "{status:?} {}", worker.log_tail());
    // At once, not when its lease is over.
    stack.joined().await.unwrap();
    assert_eq!(peek::run_state(&stack.store, second).await.unwrap(), "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_hands_its_workers_over() {
    let mut stack = stack(2, 1).await;
    let go = stack.folder().join("go");
    let run = running(&stack, &go).await;
    let before = stack.store.workers().await.unwrap().remove(0);
    let place = usize::from(before.server == "server-1");
    let mut server = stack.end_server(place).unwrap();
    let moved = stack.until("the worker to move", async || {
        let now = stack.store.workers().await?.remove(0);
        Ok(now.session == before.session && now.server != before.server)
    });
    moved.await.unwrap();
    let gone = stack.until("the server to end", async || Ok(server.ended()?.is_some()));
    gone.await.unwrap();
    std::fs::write(&go, "").unwrap();
    assert_eq!(stack.ended(run).await.unwrap(), "success", "{}", stack.logs());
    assert_eq!(peek::history(&stack.store, run).await.unwrap(), ["wait#1 success"]);
}
