//! Tasks as they arrive, read once: a thousand tries of one task are a thousand equal byte strings.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use subak_core::dag::model::Task;
use subak_core::template::has_templates;
use subak_task::ErasedOperator;

use crate::registry::Registry;

/// Tasks kept; beyond that the cache starts anew.
const TASKS_KEPT: usize = 4_096;

/// A task, and what can be known of it before it runs.
pub(crate) struct PreparedTask {
    pub(crate) task: Task,
    /// `None`: this worker does not know the operator.
    pub(crate) operator: Option<Arc<dyn ErasedOperator>>,
    pub(crate) has_templates: bool,
}

impl PreparedTask {
    /// Looks the task's operator up.
    pub(crate) fn new(task: Task, registry: &Registry) -> Self {
        let operator = registry.get(&task.operator).cloned();
        let has_templates = task.when.is_some() || has_templates(&task.with);
        Self { task, operator, has_templates }
    }

    /// Whether the operator never waits.
    pub(crate) fn is_immediate(&self) -> bool {
        self.operator.as_ref().is_some_and(|operator| operator.immediate())
    }
}

/// The tasks read so far, by their bytes.
#[derive(Default)]
pub(crate) struct TaskCache {
    tasks: HashMap<Bytes, Arc<PreparedTask>>,
}

impl TaskCache {
    /// Reads a task.
    pub(crate) fn get(
        &mut self,
        bytes: &Bytes,
        registry: &Registry,
    ) -> Result<Arc<PreparedTask>, serde_json::Error> {
        if let Some(task) = self.tasks.get(bytes) {
            return Ok(Arc::clone(task));
        }
        let task = Arc::new(PreparedTask::new(serde_json::from_slice(bytes)?, registry));
        if self.tasks.len() >= TASKS_KEPT {
            self.tasks.clear();
        }
        // Copied, because the bytes may be part of a large message that would stay with them.
        self.tasks.insert(Bytes::copy_from_slice(bytes), Arc::clone(&task));
        Ok(task)
    }
}
