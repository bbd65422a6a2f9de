//! Watches a run to its end: a bar while it goes on, a line for each task that ends.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use subak_core::state::{RunState, TaskState};

use super::Which;
use super::look::Watched;
use super::view::Task;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::place::At;
use crate::progress::Progress;
use crate::remote::may_pass;

/// Between two looks at the run, in the database and at a server.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Between two looks at whether the DAG is paused.
const PAUSED_EVERY: Duration = Duration::from_secs(5);

/// Looks that fail one after the other while a server is away or starts anew.
const FAILED_LOOKS_MOST: u32 = 10;

/// Shows the run until it ends.
pub(crate) async fn follow(at: &At, dag_id: &str, run_id: &str) -> Outcome {
    let which = Which::new(dag_id.to_owned(), Some(run_id.to_owned()));
    let watched = Watched::find(at, &which).await?;
    let every = if matches!(at, At::Database(_)) { LOOK_EVERY } else { ASK_EVERY };
    let progress = Progress::new(0);
    let mut shown = BTreeSet::new();
    let mut failed = 0;
    let mut looked: Option<Instant> = None;
    let mut is_told = false;
    loop {
        let since = Instant::now();
        let (run, tasks) = match watched.look().await {
            Ok(seen) => seen,
            // The run goes on whether it is watched or not.
            Err(error)
                if matches!(at, At::Server(_))
                    && may_pass(&error)
                    && failed < FAILED_LOOKS_MOST =>
            {
                failed += 1;
                tokio::time::sleep(every * failed).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        failed = 0;
        progress.of(tasks.len());
        for task in &tasks {
            let key = (task.task_id.clone(), task.map_index, task.try_number);
            if task.is_final() && shown.insert(key) {
                progress.ended(&line(task));
            }
        }
        let running = tasks.iter().filter(|task| task.is_held()).map(Task::name);
        progress.running(&running.collect::<Vec<_>>());
        if run.state.is_final() {
            progress.finish();
            output::line(format!("{dag_id} {} in {}", run.state, run.took()))?;
            return Ok(match run.state {
                RunState::Success => Ended::Success,
                _ => Ended::RunFailed,
            });
        }
        if !is_told && looked.is_none_or(|at| at.elapsed() >= PAUSED_EVERY) {
            looked = Some(Instant::now());
            // Where that can't be seen now, it is looked at again.
            if watched.is_paused().await.unwrap_or(false) {
                is_told = true;
                progress.above(&format!(
                    "DAG `{dag_id}` is paused: the run waits for `subak dags unpause {dag_id}`"
                ));
            }
        }
        // A map of thousands is read less often.
        tokio::time::sleep(every.max(since.elapsed() * 2)).await;
    }
}

fn line(task: &Task) -> String {
    let state = task.state.map_or("-", TaskState::as_str);
    let error = task.error.as_deref().map(|error| format!("\n    {error}")).unwrap_or_default();
    format!("{state:<16} {:>8}  {}{error}", task.took(), task.name())
}
