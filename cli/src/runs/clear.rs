//! `subak runs clear`.

use anyhow::{Context, bail};
use clap::Args;
use subak_core::ids::{TaskId, TaskNo};

use super::engine::with_engine;
use super::follow::follow;
use super::{Which, version};
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output;

/// Clears tasks of a run: what they did no longer counts, and they run again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs clear retail_retention                    all tasks of the last run
  subak runs clear retail_retention --task load        one task, and what failed for want of it
  subak runs clear retail_retention --task load --wait")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    #[command(flatten)]
    which: Which,
    /// Only this task; may be given several times.
    #[arg(long, value_name = "TASK")]
    task: Vec<String>,
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
    let numbers = version(&store, &run).await?.numbers;
    let number = |task: &String| {
        numbers
            .get(&TaskId(task.clone()))
            .map(|number| TaskNo(*number))
            .with_context(|| format!("DAG `{}` has no task `{task}`", run.dag_id))
    };
    let tasks = options.task.iter().map(number).collect::<anyhow::Result<Vec<_>>>()?;
    let chosen = if tasks.is_empty() { None } else { Some(tasks.as_slice()) };
    let cleared = with_engine(&store, async |engine| {
        Ok(match options.load_again {
            true => engine.tasks_clear_and_load_again(run.run_key, chosen).await?,
            false => engine.tasks_clear(run.run_key, chosen).await?,
        })
    })
    .await?;
    if cleared.tasks.is_empty() {
        bail!("nothing of the run was cleared: none of these tasks has run");
    }
    output::line(format!("{}  {}  {} cleared", run.dag_id, run.run_id, cleared.tasks.len()))?;
    if options.wait {
        return follow(&store, &run.dag_id, &run.run_id).await;
    }
    Ok(Ended::Success)
}
