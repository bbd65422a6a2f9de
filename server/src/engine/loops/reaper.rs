//! Ends the tries of dead worker sessions.
//!
//! Death is the commit that marks the session, not the clock: an expired session that is not yet
//! marked may renew. After its own start or an outage of the database this waits one full lease
//! before it marks anybody: workers could not renew then.

use std::time::{Duration, Instant};

use subak_core::decide::TryEnd;
use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::engine::{Answer, Engine, Outcome, TryReport};

/// Tries that one look ends.
const MOST: i64 = 500;

/// Looks between two for the tries of every dead session, however long dead.
const LOOKS_BETWEEN_ALL: u32 = 100;

/// Looks in a lease: a session is found dead this much late at most.
const LOOKS: u32 = 12;

pub(super) async fn run(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    let lease = engine.core.config.lease;
    let period = (lease / LOOKS).clamp(Duration::from_millis(50), Duration::from_secs(5));
    let mut holds_off_until = Instant::now() + lease;
    let mut looks = 0_u32;
    loop {
        select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(period) => {}
        }
        let all = looks.is_multiple_of(LOOKS_BETWEEN_ALL);
        looks = looks.wrapping_add(1);
        if let Err(error) = tick(&engine, Instant::now() >= holds_off_until, all).await {
            error!(error = format!("{error:#}"), "reaper: will try again");
            holds_off_until = Instant::now() + lease;
        }
    }
}

/// Marks sessions whose lease is over, and ends what dead ones hold. The second part runs in every
/// look: a server may have died between the two.
async fn tick(engine: &Engine, may_mark: bool, all: bool) -> anyhow::Result<()> {
    let core = &engine.core;
    if may_mark {
        let lost = core.asked(core.store.sessions_expire()).await?;
        core.tally.lost(lost.len());
        for (session, worker) in lost {
            info!(worker.session = session, worker.name = worker, "a worker is lost");
        }
    }
    let orphans = core.asked(core.store.tries_orphaned(MOST, all)).await?;
    let reports = orphans.into_iter().map(|try_| {
        let error = Some("the worker was lost while it ran this try".to_owned());
        let outcome = Outcome::Failed(TryEnd::WorkerLost);
        engine.reports().report(TryReport::bare(try_.fence(), outcome, error))
    });
    for answer in futures::future::join_all(reports).await {
        anyhow::ensure!(answer != Answer::Later, "tries of a lost worker could not be ended");
    }
    Ok(())
}
