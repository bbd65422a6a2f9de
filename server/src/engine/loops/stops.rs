//! Ends tries that workers of this server hold although their run was cancelled, they were cleared, or
//! another task failed in a DAG that fails fast, by whichever server: at once when that one says so,
//! and by a slow look.

use std::collections::BTreeSet;
use std::time::Duration;

use subak_core::decide::PlanTask;
use subak_core::ids::RunKey;
use tokio::select;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::engine::{Core, Engine};

/// A stop that was not heard of comes this late at most. Nothing is asked while nothing runs.
const LOOK: Duration = Duration::from_secs(5);

pub(super) async fn run(
    engine: Engine,
    mut asked: mpsc::Receiver<RunKey>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let core = &engine.core;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let mut wanted = BTreeSet::new();
        let held = select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            run = asked.recv() => match run {
                Some(run) => {
                    wanted.insert(run);
                    core.sessions.runs()
                }
                None => return Ok(()),
            },
            _ = look.tick() => {
                wanted = core.sessions.runs();
                wanted.clone()
            }
        };
        while let Ok(run) = asked.try_recv() {
            wanted.insert(run);
        }
        wanted.retain(|run| held.contains(run));
        if let Err(error) = end(core, wanted).await {
            warn!(error = format!("{error:#}"), "tries to stop could not be looked for");
        }
    }
}

async fn end(core: &Core, runs: BTreeSet<RunKey>) -> anyhow::Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    let held = core.sessions.held_of(&runs);
    let ended = core.asked(core.store.tries_ended(&held)).await?;
    let restarting = core.asked(core.store.tries_to_stop(&Vec::from_iter(runs))).await?;
    for to_stop in ended.into_iter().chain(restarting) {
        if let Some((dag, version)) = to_stop.unless_cleaning {
            let plan = core.caches.plan(dag, version).await?;
            // A cancel lets teardowns go on.
            if plan.task(to_stop.fence.instance.task).is_some_and(PlanTask::cleans_up) {
                continue;
            }
        }
        core.stop_tries(&[to_stop.fence], &to_stop.cause);
    }
    Ok(())
}
