//! `subak runs mark`.

mod elsewhere;

use anyhow::bail;
use clap::Args;
use serde_json::json;
use subak_core::ids::{Instance, MapIndex, TaskNo};
use subak_server::engine::Mark;
use subak_server::selection::{Selected, select};
use subak_store::Store;

use super::Which;
use super::engine::with_engine;
use super::scope::{ScopeOptions, check_index, named, task_names};
use crate::audit;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::place::{At, Place};

/// Marks tasks of a run, or the run, as ended: what runs is stopped, what failed for want of it goes on.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("state").required(true).args(["success", "failed", "skipped"]),
    after_help = "\
Examples:
  subak runs mark retail_retention --task load --success
  subak runs mark retail_retention --task check --skipped --downstream
  subak runs mark files_of_a_day --task each --map-index 3 --success
  subak runs mark retail_retention manual__2026-11-20T01:02:03+00:00 --failed    the run itself

Without --task the run is marked: --success marks all of its tasks but teardowns, --failed cancels it,
or fails it after all if it has ended."
)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Which,
    /// This task; may be given several times.
    #[arg(long, value_name = "TASK")]
    task: Vec<String>,
    /// Only this instance of a mapped task.
    #[arg(long, value_name = "INDEX", requires = "task")]
    map_index: Option<i32>,
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
    let mark = match (options.success, options.failed) {
        (true, _) => Mark::Success,
        (_, true) => Mark::Failed,
        _ => Mark::Skipped,
    };
    if options.task.is_empty() && options.scope.is_any() {
        bail!("name tasks with --task: a run is marked by itself");
    }
    if options.task.is_empty() && mark == Mark::Skipped {
        bail!("a run is marked as success or failed: name tasks with --task");
    }
    if options.map_index.is_some() && options.scope.is_any() {
        bail!(
            "--map-index names one instance: leave --upstream, --downstream, --past and --future out"
        );
    }
    match options.place.open().await? {
        At::Database(store) => here(&store, &options, mark).await,
        At::Server(server) => elsewhere::mark(&server, &options, mark).await,
    }
}

async fn here(store: &Store, options: &Options, mark: Mark) -> Outcome {
    let run = options.which.find(store).await?;
    if options.task.is_empty() {
        with_engine(store, async |engine| match mark {
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
            Mark::Skipped => Ok(()),
        })
        .await?;
        audit::of_run(store, "patch_dag_run", &run, json!({"new_state": mark.as_str()})).await?;
        output::line(format!("{}  {}  marked as {}", run.dag_id, run.run_id, mark.as_str()))?;
        return Ok(Ended::Success);
    }
    let map_index = options.map_index.map_or(MapIndex::NONE, MapIndex);
    let selected = select(store, &run, Some(&named(&options.task)), options.scope.scope()).await?;
    if options.dry_run {
        for one in &selected {
            check_index(store, one, map_index).await?;
            tell(one, &one.tasks, map_index, &format!("would be marked as {}", mark.as_str()))?;
        }
        return Ok(Ended::Success);
    }
    let mut before = Vec::new();
    for one in selected.iter().filter(|one| !one.tasks.is_empty()) {
        before.push(audit::states(store, one).await?);
    }
    let marked = with_engine(store, async |engine| {
        let mut all = Vec::new();
        for one in &selected {
            if !one.tasks.is_empty() {
                let instances: Vec<Instance> =
                    one.tasks.iter().map(|task| Instance { task: *task, map_index }).collect();
                let run = one.run.run_key;
                all.push(engine.instances_mark(run, &instances, mark, "cli").await?);
            }
        }
        Ok(all)
    })
    .await?;
    let done = selected.iter().filter(|one| !one.tasks.is_empty()).zip(marked);
    for ((one, marked), before) in done.zip(before) {
        let tasks = task_names(one, &marked.tasks);
        let extra = json!({"new_state": mark.as_str(), "task_ids": tasks, "map_index": map_index});
        audit::of_tasks(store, "patch_task_instance", one, before, extra).await?;
        tell(one, &marked.tasks, map_index, &format!("marked as {}", mark.as_str()))?;
        if !marked.cleared.is_empty() {
            tell(one, &marked.cleared, MapIndex::NONE, "judged again")?;
        }
    }
    Ok(Ended::Success)
}

fn tell(one: &Selected, tasks: &[TaskNo], map_index: MapIndex, what: &str) -> std::io::Result<()> {
    let mut names = task_names(one, tasks);
    if !map_index.is_none() {
        names.iter_mut().for_each(|name| name.push_str(&format!("[{}]", map_index.0)));
    }
    let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    output::line(format!("{}  {}  {what}: {names}", one.run.dag_id, one.run.run_id))
}
