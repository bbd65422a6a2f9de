//! `subak runs clear`.

mod elsewhere;

use anyhow::bail;
use clap::Args;
use serde_json::json;
use subak_core::ids::{Instance, MapIndex, TaskNo};
use subak_core::state::TaskState;
use subak_server::selection::{Selected, select};
use subak_store::Store;
use subak_store::read::InstanceRecord;

use super::Which;
use super::engine::with_engine;
use super::follow::follow;
use super::scope::{ScopeOptions, check_index, named, task_names};
use super::view::Run;
use crate::audit;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::place::{At, Place};

/// Clears tasks of a run: what they did no longer counts, and they run again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs clear retail_retention                    all tasks of the last run
  subak runs clear retail_retention --task load        one task, and what failed for want of it
  subak runs clear retail_retention --task check --downstream --dry-run
  subak runs clear files_of_a_day --task each --map-index 3
  subak runs clear retail_retention --failed           goes on from where it failed
  subak runs clear retail_retention --task load --wait")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Which,
    /// Only this task; may be given several times.
    #[arg(long, value_name = "TASK")]
    task: Vec<String>,
    /// Only this instance of a mapped task.
    #[arg(long, value_name = "INDEX", requires = "task", conflicts_with_all = ["failed", "running"])]
    map_index: Option<i32>,
    #[command(flatten)]
    scope: ScopeOptions,
    /// Only what failed, of mapped tasks instance by instance, and what never ran because of it.
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
    if options.map_index.is_some() && options.scope.is_any() {
        bail!(
            "--map-index names one instance: leave --upstream, --downstream, --past and --future out"
        );
    }
    let at = options.place.open().await?;
    let cleared = match &at {
        At::Database(store) => here(store, &options).await?,
        At::Server(server) => elsewhere::clear(server, &options).await?,
    };
    for line in &cleared.lines {
        output::line(line)?;
    }
    match options.wait {
        true => follow(&at, &cleared.run.dag_id, &cleared.run.run_id).await,
        false => Ok(Ended::Success),
    }
}

/// What was cleared, or would be.
struct Cleared {
    run: Run,
    /// One for each run.
    lines: Vec<String>,
}

impl Options {
    fn nothing(&self, run_id: &str) -> anyhow::Error {
        match (self.map_index, self.task.as_slice()) {
            (Some(index), [task]) => {
                anyhow::anyhow!("task `{task}` has no instance {index}: nothing was cleared")
            }
            (Some(index), _) => {
                anyhow::anyhow!("none of these tasks has an instance {index}: nothing was cleared")
            }
            (None, _) if self.failed => {
                anyhow::anyhow!("no task of run `{run_id}` has failed: nothing was cleared")
            }
            (None, _) => anyhow::anyhow!("none of these tasks runs: nothing was cleared"),
        }
    }
}

async fn here(store: &Store, options: &Options) -> anyhow::Result<Cleared> {
    let run = options.which.find(store).await?;
    let tasks = named(&options.task);
    let tasks = Some(tasks.as_slice()).filter(|tasks| !tasks.is_empty());
    let mut selected = select(store, &run, tasks, options.scope.scope()).await?;
    let is_whole = tasks.is_none() && !options.failed && !options.running;
    let mut chosen = Vec::new();
    for one in &mut selected {
        chosen.push(options.instances(store, one).await?);
    }
    if selected.iter().all(|one| one.tasks.is_empty()) {
        return Err(options.nothing(&run.run_id));
    }
    if options.dry_run {
        let line = |one: &Selected| {
            let names = task_names(one, &one.tasks).join(", ");
            format!("{}  {}  would clear {names}", one.run.dag_id, one.run.run_id)
        };
        let lines = selected.iter().map(line).collect();
        return Ok(Cleared { run: run.into(), lines });
    }
    let mut before = Vec::new();
    for one in selected.iter().filter(|one| !one.tasks.is_empty()) {
        before.push(audit::states(store, one).await?);
    }
    let cleared = with_engine(store, async |engine| {
        let mut cleared = Vec::new();
        let all = selected.iter().zip(&chosen);
        for (one, chosen) in all.filter(|(one, _)| !one.tasks.is_empty()) {
            let (run, again) = (one.run.run_key, options.load_again);
            let done = match (is_whole, again) {
                (true, true) => engine.tasks_clear_and_load_again(run, None).await?,
                (true, false) => engine.tasks_clear(run, None).await?,
                (false, again) => engine.instances_clear(run, chosen, again).await?,
            };
            cleared.push((one, done.tasks.len()));
        }
        Ok(cleared)
    })
    .await?;
    if cleared.iter().all(|(_, tasks)| *tasks == 0) {
        bail!("nothing of the run was cleared: none of these tasks has run");
    }
    let mut lines = Vec::new();
    for ((one, tasks), before) in cleared.into_iter().zip(before) {
        let run = &one.run;
        let extra = json!({"tasks": tasks, "load_again": options.load_again});
        audit::of_tasks(store, "clear_task_instances", one, before, extra).await?;
        lines.push(format!("{}  {}  {tasks} cleared", run.dag_id, run.run_id));
    }
    Ok(Cleared { run: run.into(), lines })
}

impl Options {
    /// Leaves out the tasks that the options are not about; returns the instances that they are about.
    async fn instances(&self, store: &Store, one: &mut Selected) -> anyhow::Result<Vec<Instance>> {
        if !self.failed && !self.running {
            let map_index = self.map_index.map_or(MapIndex::NONE, MapIndex);
            check_index(store, one, map_index).await?;
            let whole = one.tasks.iter().map(|task| Instance { task: *task, map_index });
            return Ok(whole.collect());
        }
        let has_failed = |it: &InstanceRecord| {
            matches!(it.state, Some(TaskState::Failed | TaskState::UpstreamFailed))
        };
        let mut all = store.instance_list(&one.run, &one.version).await?;
        all.retain(|it| (!self.failed || has_failed(it)) && (!self.running || it.is_held()));
        all.retain(|it| one.tasks.contains(&TaskNo(it.task)));
        one.tasks.retain(|task| all.iter().any(|it| TaskNo(it.task) == *task));
        let instance =
            |it: &InstanceRecord| Instance { task: TaskNo(it.task), map_index: it.map_index };
        Ok(all.iter().map(instance).collect())
    }
}
