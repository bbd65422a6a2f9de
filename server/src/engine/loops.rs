//! The engine's loops. Each compares what is with what should be and takes one step; a wake-up that
//! is lost costs time, never correctness. All of them run on every server: row locks keep them apart.

mod claims;
pub(super) mod cron;
mod hygiene;
mod outbox;
mod reaper;
mod starts;
mod stops;
mod timers;

use subak_core::ids::RunKey;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use cron::first_tick;
pub(super) use hygiene::before_all;

use super::{Engine, TryReport};

/// What the engine's transactions ask of the loops.
pub(super) struct Asked {
    pub(super) starts: mpsc::Receiver<i32>,
    pub(super) stops: mpsc::Receiver<RunKey>,
    pub(super) yields: mpsc::Receiver<i32>,
    pub(super) failed: mpsc::Receiver<TryReport>,
}

/// Starts all of them.
pub(super) fn start(
    engine: &Engine,
    asked: Asked,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
) {
    tasks.spawn(timers::run(engine.clone(), stop.clone()));
    tasks.spawn(claims::run(engine.clone(), stop.clone()));
    tasks.spawn(reaper::run(engine.clone(), stop.clone()));
    tasks.spawn(hygiene::run(engine.clone(), stop.clone()));
    tasks.spawn(starts::run(engine.clone(), asked.starts, stop.clone()));
    tasks.spawn(stops::run(engine.clone(), asked.stops, asked.yields, stop.clone()));
    tasks.spawn(super::pools::run(engine.clone(), stop.clone()));
    tasks.spawn(crate::notices::run(engine.clone(), stop.clone()));
    tasks.spawn(failures(engine.clone(), asked.failed, stop));
}

/// Ends tries that never reached their worker.
async fn failures(
    engine: Engine,
    mut failed: mpsc::Receiver<TryReport>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let report = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            report = failed.recv() => match report {
                Some(report) => report,
                None => return Ok(()),
            },
        };
        // What can't be recorded now, the reaper or the worker's heartbeat finds.
        engine.reports().report(report).await;
    }
}
