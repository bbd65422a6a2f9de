//! Starts queued runs of DAGs that have room, and lets schedules go on that waited for it: when a run
//! ends, a DAG is unpaused, or by a slow look.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::select;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::engine::Engine;
use crate::engine::creation::start_queued;

/// Runs whose wake-up was lost, because their server died, start this late at most.
const LOOK: Duration = Duration::from_secs(15);

pub(super) async fn run(
    engine: Engine,
    mut asked: mpsc::Receiver<i32>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let core = &engine.core;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let mut dags = BTreeSet::new();
        select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            dag = asked.recv() => match dag {
                Some(dag) => drop(dags.insert(dag)),
                None => return Ok(()),
            },
            _ = look.tick() => match core.asked(core.store.dags_waiting()).await {
                Ok(waiting) => dags.extend(waiting),
                Err(error) => error!(error = format!("{error:#}"), "looking for queued runs"),
            },
        }
        while let Ok(dag) = asked.try_recv() {
            dags.insert(dag);
        }
        for dag in dags {
            if let Err(error) = start_queued(core, dag).await {
                error!(error = format!("{error:#}"), "queued runs could not be started");
            }
        }
        match core.asked(core.store.schedules_release()).await {
            Ok(true) => engine.timers_wake(),
            Ok(false) => {}
            Err(error) => error!(error = format!("{error:#}"), "looking for schedules that wait"),
        }
    }
}
