//! `subak runs clear`.

use anyhow::bail;
use clap::Args;
use subak_core::ids::TaskNo;
use subak_core::state::TaskState;
use subak_server::selection::{Selected, select};
use subak_store::Store;
use subak_store::read::InstanceRecord;

use super::Which;
use super::engine::with_engine;
use super::follow::follow;
use super::scope::{ScopeOptions, named, task_names};
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output;

/// Clears tasks of a run: what they did no longer counts, and they run again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs clear retail_retention                    all tasks of the last run
  subak runs clear retail_retention --task load        one task, and what failed for want of it
  subak runs clear retail_retention --task check --downstream --dry-run
  subak runs clear retail_retention --failed           goes on from where it failed
  subak runs clear retail_retention --task load --wait")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    #[command(flatten)]
    which: Which,
    /// Only this task; may be given several times.
    #[arg(long, value_name = "TASK")]
    task: Vec<String>,
    #[command(flatten)]
    scope: ScopeOptions,
    /// Only tasks that failed, and those that never ran because of them.
    #[arg(long)]
    failed: bool,
    /// Only tasks that run.
    #[arg(long, conflicts_with = "failed")]
    running: bool,
    /// Only says what would be cleared.
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Rows that the tasks have appended to tables (`postgres.load`) are appended once more.
    #[arg(long)]
    load_again: bool,
    /// Follows the run to its end.
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let run = options.which.find(&store).await?;
    let tasks = named(&options.task);
    let tasks = Some(tasks.as_slice()).filter(|tasks| !tasks.is_empty());
    let mut selected = select(&store, &run, tasks, options.scope.scope()).await?;
    let is_whole = tasks.is_none() && !options.failed && !options.running;
    for one in &mut selected {
        if !is_whole {
            options.narrow(&store, one).await?;
        }
    }
    if selected.iter().all(|one| one.tasks.is_empty()) {
        match options.failed {
            true => bail!("no task of run `{}` has failed: nothing was cleared", run.run_id),
            false => bail!("none of these tasks runs: nothing was cleared"),
        }
    }
    if options.dry_run {
        for one in &selected {
            let names = task_names(one, &one.tasks).join(", ");
            output::line(format!("{}  {}  would clear {names}", one.run.dag_id, one.run.run_id))?;
        }
        return Ok(Ended::Success);
    }
    let cleared = with_engine(&store, async |engine| {
        let mut cleared = Vec::new();
        for one in selected.iter().filter(|one| !one.tasks.is_empty()) {
            let chosen = if is_whole { None } else { Some(one.tasks.as_slice()) };
            let done = match options.load_again {
                true => engine.tasks_clear_and_load_again(one.run.run_key, chosen).await?,
                false => engine.tasks_clear(one.run.run_key, chosen).await?,
            };
            cleared.push((&one.run, done.tasks.len()));
        }
        Ok(cleared)
    })
    .await?;
    if cleared.iter().all(|(_, tasks)| *tasks == 0) {
        bail!("nothing of the run was cleared: none of these tasks has run");
    }
    for (run, tasks) in cleared {
        output::line(format!("{}  {}  {tasks} cleared", run.dag_id, run.run_id))?;
    }
    if options.wait {
        return follow(&store, &run.dag_id, &run.run_id).await;
    }
    Ok(Ended::Success)
}

impl Options {
    /// Leaves out the tasks that the options are not about.
    async fn narrow(&self, store: &Store, one: &mut Selected) -> anyhow::Result<()> {
        if !self.failed && !self.running {
            return Ok(());
        }
        let has_failed = |it: &InstanceRecord| {
            matches!(it.state, Some(TaskState::Failed | TaskState::UpstreamFailed))
        };
        let mut all = store.instance_list(&one.run, &one.version).await?;
        all.retain(|it| (!self.failed || has_failed(it)) && (!self.running || it.is_held()));
        one.tasks.retain(|task| all.iter().any(|it| TaskNo(it.task) == *task));
        Ok(())
    }
}
