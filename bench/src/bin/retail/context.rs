//! A task's context without a worker: nothing is shipped anywhere.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use subak_task::{
    BadRow, DeadLetterSink, LogSink, Pipe, ProcessGroups, ProgressSink, StateStore, TaskContext,
    TaskError, TaskIdentity,
};
use tokio_util::sync::CancellationToken;

/// Bytes that a task may hold: the worker's default.
const MEMORY_BYTES: usize = 512 << 20;

/// Returns the context of a task that keeps its files under `folder`.
pub(crate) fn of_task(task: &str, folder: &Path) -> anyhow::Result<TaskContext> {
    let scratch = folder.join("scratch");
    std::fs::create_dir_all(&scratch)?;
    let nothing = Arc::new(Nothing);
    Ok(TaskContext {
        identity: Arc::new(TaskIdentity {
            installation: "bench".to_owned(),
            dag_id: "retail_retention".to_owned(),
            run_id: "bench".to_owned(),
            run_uuid: "00000000-0000-0000-0000-000000000000".to_owned(),
            task_id: task.to_owned(),
            map_index: -1,
            try_number: 1,
            resets: 0,
        }),
        cancel: CancellationToken::new(),
        log: nothing.clone(),
        progress: nothing.clone(),
        state: nothing.clone(),
        dead_letters: nothing.clone(),
        datasets: subak_tasks_data::reader(),
        processes: nothing,
        connections: Arc::new(BTreeMap::new()),
        scratch,
        storage: format!("{}/{task}/", folder.display()),
        memory_bytes: MEMORY_BYTES,
        env: Arc::new(BTreeMap::new()),
    })
}

/// Takes everything and keeps nothing.
struct Nothing;

impl LogSink for Nothing {
    fn line(&self, line: &str) {
        if std::env::var_os("VERBOSE").is_some() {
            // A closed terminal is no reason to stop.
            let _ = writeln!(std::io::stderr(), "  {line}");
        }
    }

    fn bytes(&self, _: Pipe, _: &[u8]) {}
}

impl ProgressSink for Nothing {
    fn progress(&self, _: u64, _: u64, _: &str) {}
}

impl ProcessGroups for Nothing {
    fn started(&self, _: i32) {}

    fn ended(&self, _: i32) {}
}

#[async_trait]
impl StateStore for Nothing {
    async fn get(&self, _: &str) -> Result<Option<Value>, TaskError> {
        Ok(None)
    }

    async fn put(&self, _: &str, _: &Value) -> Result<(), TaskError> {
        Ok(())
    }

    async fn delete(&self, _: &str) -> Result<(), TaskError> {
        Ok(())
    }
}

#[async_trait]
impl DeadLetterSink for Nothing {
    async fn send(&self, _: Vec<BadRow>) -> Result<(), TaskError> {
        Ok(())
    }
}
