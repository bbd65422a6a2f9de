//! Through real processes: workers that are drained; a task that runs meanwhile.

use std::path::{Path, PathBuf};

use subak_core::ids::RunKey;
use subak_testkit::peek;
use subak_testkit::stack::{Stack, StackOptions};

use crate::{stderr, stdout};

/// Runs until a file appears, and says so all the time.
const WAITS: &str = "\
dag_id: waits
tasks:
  wait: {operator: bash, with: {command: 'echo began; n=0; until [ -e GO ]; do n=$((n+1)); echo $n; sleep 0.05; done'}}
";

pub(crate) async fn stack(servers: usize, workers: usize) -> Stack {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_subak"));
    let options = StackOptions {
        servers,
        workers,
        slots: Some(2),
        lease_secs: 60,
        ..StackOptions::small(binary)
    };
    Stack::start(options).await.unwrap()
}

/// Starts a run whose task runs until `go` is there.
pub(crate) async fn running(stack: &Stack, go: &Path) -> RunKey {
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
