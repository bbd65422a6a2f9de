//! `subak runs`: DAG runs, made, watched and ended.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use subak_store::Store;
use subak_store::read::{Orders, RunFilter, RunRecord, VersionRecord};

use crate::exit::Outcome;

mod cancel;
mod clear;
mod delete;
pub(crate) mod engine;
pub(crate) mod follow;
mod list;
mod logs;
pub(crate) mod look;
mod mark;
mod note;
mod scope;
mod show;
pub(crate) mod trigger;
pub(crate) mod view;
mod xcom;

pub(crate) use engine::with_engine;

/// Triggers, watches and ends runs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Trigger(trigger::Options),
    List(list::Options),
    Show(show::Options),
    Logs(logs::Options),
    Xcom(xcom::Options),
    Cancel(cancel::Options),
    Clear(clear::Options),
    Mark(mark::Options),
    Note(note::Options),
    Delete(delete::Options),
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Trigger(options) => trigger::run(options).await,
        Command::List(options) => list::run(options).await,
        Command::Show(options) => show::run(options).await,
        Command::Logs(options) => logs::run(options).await,
        Command::Xcom(options) => xcom::run(options).await,
        Command::Cancel(options) => cancel::run(options).await,
        Command::Clear(options) => clear::run(options).await,
        Command::Mark(options) => mark::run(options).await,
        Command::Note(options) => note::run(options).await,
        Command::Delete(options) => delete::run(options).await,
    }
}

/// Names one run.
#[derive(Debug, Clone, Args)]
pub(crate) struct Which {
    dag_id: String,
    /// The run id; left out: the DAG's last run.
    run_id: Option<String>,
}

impl Which {
    pub(crate) fn new(dag_id: String, run_id: Option<String>) -> Self {
        Self { dag_id, run_id }
    }

    /// Returns the run, or says that there is none.
    pub(crate) async fn find(&self, store: &Store) -> anyhow::Result<RunRecord> {
        let dag_id = &self.dag_id;
        if let Some(run_id) = &self.run_id {
            return store.run_get(dag_id, run_id).await?.with_context(|| {
                format!("DAG `{dag_id}` has no run `{run_id}`: see `subak runs list {dag_id}`")
            });
        }
        let last = RunFilter {
            dag_id: Some(dag_id.clone()),
            orders: Orders::descending(),
            ..RunFilter::default()
        };
        if let Some(run) = store.run_list(&last, 1, 0).await?.items.pop() {
            return Ok(run);
        }
        if store.dag_get(dag_id).await?.is_none() {
            bail!("DAG `{dag_id}` does not exist: `subak dags list` shows those that do");
        }
        bail!("DAG `{dag_id}` has no run yet: start one with `subak runs trigger {dag_id}`");
    }
}

/// Returns the version that a run is pinned to.
pub(crate) async fn version(store: &Store, run: &RunRecord) -> anyhow::Result<VersionRecord> {
    store
        .version_get(run.dag, run.version)
        .await?
        .with_context(|| format!("version {} of DAG `{}` is gone", run.version, run.dag_id))
}
