//! One run and its tasks, read from where it is.

use anyhow::bail;
use serde_json::Value;
use subak_store::Store;
use subak_store::read::{RunRecord, VersionRecord};

use super::view::{Run, Task};
use super::{Which, version};
use crate::place::At;
use crate::remote::{Server, is_missing};

/// A run to be looked at, once or again and again.
pub(crate) enum Watched<'a> {
    Here { store: &'a Store, run: Box<RunRecord>, version: Box<VersionRecord> },
    Elsewhere { server: &'a Server, dag_id: String, run_id: String },
}

/// A list is read to its end.
const ALL: usize = usize::MAX;

impl<'a> Watched<'a> {
    /// Finds the run.
    pub(crate) async fn find(at: &'a At, which: &Which) -> anyhow::Result<Self> {
        match at {
            At::Database(store) => {
                let run = which.find(store).await?;
                let version = Box::new(version(store, &run).await?);
                Ok(Self::Here { store, run: Box::new(run), version })
            }
            At::Server(server) => {
                let Run { dag_id, run_id, .. } = which.ask(server).await?;
                Ok(Self::Elsewhere { server, dag_id, run_id })
            }
        }
    }

    /// Whether the run's DAG is paused.
    pub(crate) async fn is_paused(&self) -> anyhow::Result<bool> {
        match self {
            Self::Here { store, run, .. } => {
                Ok(store.dag_get(&run.dag_id).await?.is_some_and(|dag| dag.is_paused))
            }
            Self::Elsewhere { server, dag_id, .. } => {
                let dag: Value = server.get(&["dags", dag_id], &[]).await?;
                Ok(dag["is_paused"] == true)
            }
        }
    }

    /// The run and its tasks as they stand. The run is read first: once it has ended, all its tasks have.
    pub(crate) async fn look(&self) -> anyhow::Result<(Run, Vec<Task>)> {
        match self {
            Self::Here { store, run, version } => {
                let which = Which::new(run.dag_id.clone(), Some(run.run_id.clone()));
                let run = which.find(store).await?;
                let tasks = store.instance_list(&run, version).await?;
                Ok((run.into(), tasks.into_iter().map(Task::from).collect()))
            }
            Self::Elsewhere { server, dag_id, run_id } => {
                let path = ["dags", dag_id, "dagRuns", run_id];
                let run = server.get(&path, &[]).await?;
                let path = ["dags", dag_id, "dagRuns", run_id, "taskInstances"];
                let tasks = server.list(&path, "task_instances", &[], ALL).await?;
                Ok((run, tasks.items))
            }
        }
    }
}

impl Which {
    /// Asks a server for the run, or says that there is none.
    pub(crate) async fn ask(&self, server: &Server) -> anyhow::Result<Run> {
        let dag_id = self.dag_id.as_str();
        if let Some(run_id) = &self.run_id {
            let found = server.get(&["dags", dag_id, "dagRuns", run_id], &[]).await;
            return found.map_err(|error| match is_missing(&error) {
                true => error.context(format!("see `subak runs list {dag_id}`")),
                false => error,
            });
        }
        let last = [("order_by", "-id".to_owned())];
        let mut runs = server.list(&["dags", dag_id, "dagRuns"], "dag_runs", &last, 1).await?;
        match runs.items.pop() {
            Some(run) => Ok(run),
            None => {
                bail!("DAG `{dag_id}` has no run yet: start one with `subak runs trigger {dag_id}`")
            }
        }
    }
}
