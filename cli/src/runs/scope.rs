//! What is meant beside the tasks that are named.

use clap::Args;
use serde_json::{Value, json};
use subak_core::ids::{MapIndex, TaskId, TaskNo};
use subak_server::selection::{Scope, Selected};
use subak_store::Store;

/// More tasks, and other runs.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ScopeOptions {
    /// Also all tasks before them.
    #[arg(long)]
    upstream: bool,
    /// Also all tasks after them.
    #[arg(long)]
    downstream: bool,
    /// Also in runs of earlier logical dates.
    #[arg(long)]
    past: bool,
    /// Also in runs of later logical dates.
    #[arg(long)]
    future: bool,
}

impl ScopeOptions {
    pub(crate) fn scope(self) -> Scope {
        let Self { upstream, downstream, past, future } = self;
        Scope { upstream, downstream, past, future }
    }

    /// The same, as the API spells it.
    pub(crate) fn included(self) -> Value {
        json!({
            "include_upstream": self.upstream,
            "include_downstream": self.downstream,
            "include_past": self.past,
            "include_future": self.future,
        })
    }

    pub(crate) fn is_any(self) -> bool {
        self.scope() != Scope::default()
    }
}

/// Task ids as they were given.
pub(crate) fn named(tasks: &[String]) -> Vec<TaskId> {
    tasks.iter().map(|task| TaskId(task.clone())).collect()
}

/// The ids of tasks of a run.
pub(crate) fn task_names(one: &Selected, tasks: &[TaskNo]) -> Vec<String> {
    let numbers = &one.version.numbers;
    let of = |no: &TaskNo| numbers.iter().find(|(_, number)| **number == no.0);
    tasks.iter().filter_map(of).map(|(task, _)| task.to_string()).collect()
}

/// Refuses a map index that one of the tasks does not have.
pub(crate) async fn check_index(
    store: &Store,
    one: &Selected,
    map_index: MapIndex,
) -> anyhow::Result<()> {
    if map_index.is_none() {
        return Ok(());
    }
    for task in task_names(one, &one.tasks) {
        let task = TaskId(task);
        let found = store.instance_one(&one.run, &one.version, &task, map_index).await?;
        anyhow::ensure!(found.is_some(), "task `{task}` has no instance {}", map_index.0);
    }
    Ok(())
}
