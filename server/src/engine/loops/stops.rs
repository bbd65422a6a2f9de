//! Ends tries that workers of this server hold although their run was cancelled, they were cleared, or
//! another task failed in a DAG that fails fast, by whichever server: at once when that one says so,
//! and by a slow look. Asks tries without an end to end well, too.

use std::collections::BTreeSet;
use std::time::Duration;

use subak_core::decide::PlanTask;
use subak_core::ids::RunKey;
use subak_proto as proto;
use tokio::select;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::engine::assign::try_ref;
use crate::engine::{Core, Engine};

/// Runs of a DAG whose tries are asked to yield: a `@continuous` one has one.
const RUNS_MOST: i64 = 100;

/// A stop that was not heard of comes this late at most. Nothing is asked while nothing runs.
const LOOK: Duration = Duration::from_secs(5);

pub(super) async fn run(
    engine: Engine,
    mut asked: mpsc::Receiver<RunKey>,
    mut yields: mpsc::Receiver<i32>,
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
            dag = yields.recv() => match dag {
                Some(dag) => {
                    if let Err(error) = yield_all(core, dag).await {
                        warn!(error = format!("{error:#}"), dag, "tries could not be asked to yield");
                    }
                    continue;
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

/// Asks every try of a DAG that a worker of this server holds to end well at its next checkpoint; only
/// those without an end do.
async fn yield_all(core: &Core, dag: i32) -> anyhow::Result<()> {
    let runs = core.asked(core.store.runs_unfinished(dag, RUNS_MOST)).await?;
    for fence in core.sessions.held_of(&runs.into_iter().collect()) {
        let order = proto::Yield {
            r#try: Some(try_ref(&fence)),
            reason: "its DAG has a newer version, or is paused".to_owned(),
        };
        core.sessions.send(fence.session, proto::server_message::Message::Yield(order));
    }
    Ok(())
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
