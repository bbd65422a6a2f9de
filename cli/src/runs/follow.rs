//! Watches a run to its end: a bar while it goes on, a line for each task that ends.

use std::collections::BTreeSet;
use std::time::Duration;

use subak_core::state::{RunState, TaskState};
use subak_store::Store;
use subak_store::read::InstanceRecord;

use super::show::name;
use super::{Which, version};
use crate::clock;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::progress::Progress;

/// Between two looks at the run.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Shows the run until it ends.
pub(crate) async fn follow(store: &Store, dag_id: &str, run_id: &str) -> Outcome {
    let which = Which { dag_id: dag_id.to_owned(), run_id: Some(run_id.to_owned()) };
    let pinned = version(store, &which.find(store).await?).await?;
    let progress = Progress::new(pinned.model.tasks.len());
    let mut shown = BTreeSet::new();
    loop {
        // The run is read first: once it has ended, all its tasks have.
        let run = which.find(store).await?;
        let instances = store.instance_list(&run, &pinned).await?;
        progress.of(instances.len());
        for instance in &instances {
            let key = (instance.task, instance.map_index, instance.try_number);
            if instance.state.is_some_and(TaskState::is_final) && shown.insert(key) {
                progress.ended(&line(instance));
            }
        }
        let running = instances.iter().filter(|instance| instance.is_held()).map(name);
        progress.running(&running.collect::<Vec<_>>());
        if run.state.is_final() {
            progress.finish();
            let took = output::took(run.started_at, run.ended_at, clock::now());
            output::line(format!("{dag_id} {} in {took}", run.state))?;
            return Ok(match run.state {
                RunState::Success => Ended::Success,
                _ => Ended::RunFailed,
            });
        }
        // A map of thousands is read less often.
        let thousands = u32::try_from(instances.len() / 1_000).unwrap_or(u32::MAX);
        tokio::time::sleep(LOOK_EVERY * thousands.saturating_add(1)).await;
    }
}

fn line(instance: &InstanceRecord) -> String {
    let state = instance.state.map_or("-", TaskState::as_str);
    let took = output::took(instance.started_at, instance.ended_at, clock::now());
    let error = instance.error.as_deref().map(|error| format!("\n    {error}")).unwrap_or_default();
    format!("{state:<16} {took:>8}  {}{error}", name(instance))
}
