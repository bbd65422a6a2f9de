//! Ends tries that workers of this server hold although their run was cancelled, they were cleared, or
//! another task failed in a DAG that fails fast, by whichever server: at once when that one says so,
//! and by a slow look. Asks tries without an end to end well, too, in the same two ways.

use std::collections::BTreeSet;
use std::time::Duration;

use subak_core::decide::PlanTask;
use subak_core::ids::RunKey;
use subak_proto as proto;
use subak_store::engine::Fence;
use tokio::select;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::engine::assign::try_ref;
use crate::engine::{Core, Engine};

/// A stop or a yield that was not heard of comes this late at most. Nothing is asked while nothing runs.
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
                Some(_) => {
                    // One look is for all of which there is news.
                    while yields.try_recv().is_ok() {}
                    yield_old(core).await;
                    continue;
                }
                None => return Ok(()),
            },
            _ = look.tick() => {
                yield_old(core).await;
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

/// Asks tries without an end, of this server's workers, to end well at their next checkpoint, where there
/// is a newer version of their DAG, it is paused, or its file is gone. News only hasten the look, which compares: a run that
/// has begun with the newest version by then goes on. Who has not ended by the next look is asked again.
async fn yield_old(core: &Core) {
    let asking = async {
        let endless = endless(core).await?;
        if endless.is_empty() {
            return anyhow::Ok(());
        }
        let runs: Vec<RunKey> = endless.iter().map(|fence| fence.instance.run).collect();
        let old = core.asked(core.store.runs_to_yield(&runs)).await?;
        for fence in endless.iter().filter(|fence| old.contains(&fence.instance.run)) {
            let order = proto::Yield {
                r#try: Some(try_ref(fence)),
                reason: "its DAG has a newer version, is paused, or has no file any more"
                    .to_owned(),
            };
            core.sessions.send(fence.session, proto::server_message::Message::Yield(order));
        }
        Ok(())
    };
    if let Err(error) = asking.await {
        warn!(error = format!("{error:#}"), "tries could not be asked to yield");
    }
}

/// Tries of this server's workers that run, or wait, for as long as it takes.
async fn endless(core: &Core) -> anyhow::Result<Vec<Fence>> {
    let runs = core.sessions.runs();
    let facts = core.within(core.caches.facts(runs.iter().copied())).await?;
    let mut held = core.sessions.held_of(&runs);
    held.retain(|fence| {
        let plan = facts.get(&fence.instance.run).map(|facts| &facts.plan);
        let task = plan.and_then(|plan| Some(plan.spec(plan.task(fence.instance.task)?)));
        task.is_some_and(|task| task.continuous)
    });
    Ok(held)
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
