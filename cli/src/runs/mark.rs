//! `subak runs mark`.

use anyhow::bail;
use clap::Args;
use subak_core::ids::TaskNo;
use subak_server::engine::Mark;
use subak_server::selection::{Selected, select};

use super::Which;
use super::engine::with_engine;
use super::scope::{ScopeOptions, named, task_names};
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output;

/// Marks tasks of a run, or the run, as ended: what runs is stopped, what failed for want of it goes on.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("state").required(true).args(["success", "failed", "skipped"]),
    after_help = "\
Examples:
  subak runs mark retail_retention --task load --success
  subak runs mark retail_retention --task check --skipped --downstream
  subak runs mark retail_retention manual__2026-11-20T01:02:03+00:00 --failed    the run itself

Without --task the run is marked: --success marks all of its tasks but teardowns, --failed cancels it,
or fails it after all if it has ended."
)]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    #[command(flatten)]
    which: Which,
    /// This task; may be given several times.
    #[arg(long, value_name = "TASK")]
    task: Vec<String>,
    #[arg(long)]
    success: bool,
    #[arg(long)]
    failed: bool,
    #[arg(long)]
    skipped: bool,
    #[command(flatten)]
    scope: ScopeOptions,
    /// Only says what would be marked.
    #[arg(long, requires = "task")]
    dry_run: bool,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let run = options.which.find(&store).await?;
    let mark = match (options.success, options.failed) {
        (true, _) => Mark::Success,
        (_, true) => Mark::Failed,
        _ => Mark::Skipped,
    };
    if options.task.is_empty() {
        if options.scope.is_any() {
            bail!("name tasks with --task: a run is marked by itself");
        }
        with_engine(&store, async |engine| match mark {
            Mark::Success => {
                engine.tasks_mark(run.run_key, None, mark, "cli").await?;
                Ok(())
            }
            Mark::Failed => {
                if !engine.run_fail(run.run_key, "cli").await? {
                    engine.run_cancel(run.run_key, "marked as failed by cli").await?;
                }
                Ok(())
            }
            Mark::Skipped => bail!("a run is marked as success or failed: name tasks with --task"),
        })
        .await?;
        output::line(format!("{}  {}  marked as {}", run.dag_id, run.run_id, mark.as_str()))?;
        return Ok(Ended::Success);
    }
    let selected = select(&store, &run, Some(&named(&options.task)), options.scope.scope()).await?;
    if options.dry_run {
        for one in &selected {
            tell(one, &one.tasks, &format!("would be marked as {}", mark.as_str()))?;
        }
        return Ok(Ended::Success);
    }
    let marked = with_engine(&store, async |engine| {
        let mut all = Vec::new();
        for one in &selected {
            if !one.tasks.is_empty() {
                let tasks = Some(one.tasks.as_slice());
                all.push(engine.tasks_mark(one.run.run_key, tasks, mark, "cli").await?);
            }
        }
        Ok(all)
    })
    .await?;
    for (one, marked) in selected.iter().filter(|one| !one.tasks.is_empty()).zip(marked) {
        tell(one, &marked.tasks, &format!("marked as {}", mark.as_str()))?;
        if !marked.cleared.is_empty() {
            tell(one, &marked.cleared, "judged again")?;
        }
    }
    Ok(Ended::Success)
}

fn tell(one: &Selected, tasks: &[TaskNo], what: &str) -> std::io::Result<()> {
    let names = task_names(one, tasks);
    let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    output::line(format!("{}  {}  {what}: {names}", one.run.dag_id, one.run.run_id))
}
