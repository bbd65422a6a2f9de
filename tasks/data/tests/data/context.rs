//! A try's context that remembers what it was told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use subak_task::{
    BadRow, DatasetRef, DeadLetterSink, FileAccess, LogSink, Pipe, ProcessGroups, ProgressSink,
    StateStore, TaskContext, TaskError, TaskIdentity, TaskOutput,
};
use tokio_util::sync::CancellationToken;

/// A folder with tasks in it; dropped with the test.
pub(crate) struct Tasks {
    folder: tempfile::TempDir,
    pub recorded: Arc<Recorded>,
    pub cancel: CancellationToken,
    pub memory_bytes: usize,
}

/// What tries said.
#[derive(Default)]
pub(crate) struct Recorded {
    pub lines: Mutex<Vec<String>>,
    pub dead_letters: Mutex<Vec<BadRow>>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            recorded: Arc::default(),
            cancel: CancellationToken::new(),
            memory_bytes: 256 << 20,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs one task.
    pub(crate) async fn run(
        &self,
        operator: &str,
        task: &str,
        with: Value,
    ) -> Result<TaskOutput, TaskError> {
        let operators = subak_tasks_data::operators();
        let found = operators.iter().find(|known| known.name() == operator).unwrap();
        found.run_with(with, &self.context(task)).await
    }

    /// Runs one task and returns the message it fails with.
    pub(crate) async fn fail(&self, operator: &str, task: &str, with: Value) -> String {
        let error = self.run(operator, task, with).await.unwrap_err();
        let folder = format!("{}/", self.folder.path().display());
        error.message.replace(&folder, "")
    }

    /// Reads a CSV file and returns its dataset.
    pub(crate) async fn csv(&self, path: &Path) -> DatasetRef {
        self.run("csv.read", "extract", json!({"path": path})).await.unwrap().dataset.unwrap().0
    }

    pub(crate) fn context(&self, task: &str) -> TaskContext {
        let scratch = self.path("scratch");
        std::fs::create_dir_all(&scratch).unwrap();
        TaskContext {
            identity: Arc::new(TaskIdentity {
                installation: "test".to_owned(),
                dag_id: "test".to_owned(),
                run_id: "manual".to_owned(),
                run_uuid: "6a3d7d1c".to_owned(),
                task_id: task.to_owned(),
                map_index: -1,
                try_number: 1,
                resets: 0,
                load_again: false,
            }),
            cancel: self.cancel.clone(),
            yields: CancellationToken::new(),
            is_continuous: false,
            slot: Arc::new(subak_task::Uncounted),
            topics: Arc::new(subak_task::NoTopics),
            log: self.recorded.clone(),
            progress: self.recorded.clone(),
            state: self.recorded.clone(),
            dead_letters: self.recorded.clone(),
            datasets: subak_tasks_data::reader(),
            processes: self.recorded.clone(),
            connections: Arc::new(BTreeMap::new()),
            files: Arc::new(FileAccess::everywhere()),
            scratch,
            storage: format!("file://{}/", self.path(&format!("storage/{task}")).display()),
            pipeline: subak_task::Pipeline::none(),
            counts: Arc::default(),
            memory_bytes: self.memory_bytes,
            env: Arc::new(BTreeMap::new()),
        }
    }
}

/// The rows of a task's dataset.
pub(crate) async fn rows(output: &TaskOutput) -> Vec<Value> {
    let dataset = &output.dataset.as_ref().unwrap().0;
    subak_tasks_data::preview(dataset, usize::MAX, &FileAccess::everywhere()).await.unwrap()
}

/// The reference of a task's dataset, as `input:` has it once rendered.
pub(crate) fn input(output: &TaskOutput) -> Value {
    serde_json::to_value(&output.dataset.as_ref().unwrap().0).unwrap()
}

impl LogSink for Recorded {
    fn line(&self, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
    }

    fn bytes(&self, _: Pipe, _: &[u8]) {}
}

impl ProgressSink for Recorded {
    fn progress(&self, _: u64, _: u64, _: &str) {}
}

impl ProcessGroups for Recorded {
    fn started(&self, _: i32) {}

    fn ended(&self, _: i32) {}
}

#[async_trait::async_trait]
impl StateStore for Recorded {
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

#[async_trait::async_trait]
impl DeadLetterSink for Recorded {
    async fn send(&self, rows: Vec<BadRow>) -> Result<(), TaskError> {
        self.dead_letters.lock().unwrap().extend(rows);
        Ok(())
    }
}
