//! Sleeps to the earliest due timer of any kind, then takes what is due: retries, deadlines of runs,
//! schedules, the outbox.

use std::sync::atomic::Ordering;
use std::time::Duration;

use subak_core::ids::{InstanceKey, RunKey};
use subak_core::state::{TaskEvent, TaskState};
use subak_store::engine::LiveRetry;
use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{cron, outbox};
use crate::engine::work::Work;
use crate::engine::{CancelError, Engine, cancel};

/// Timers that other servers set are found this late at most.
const LONGEST: Duration = Duration::from_secs(5);

/// A pause after an error, so that a database that is away is not asked in a tight loop.
pub(super) const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Rows that one look takes.
const MOST: i64 = 500;

pub(super) async fn run(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let sleep = match tick(&engine).await {
            Ok(sleep) => sleep,
            Err(error) => {
                error!(error = format!("{error:#}"), "timers: will try again");
                AFTER_ERROR
            }
        };
        select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = engine.core.timers.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// Takes what is due; returns how long nothing will be.
async fn tick(engine: &Engine) -> anyhow::Result<Duration> {
    let core = &engine.core;
    let next = core.store.timer_next().await?;
    core.beat_micros.store(next.now.timestamp_micros(), Ordering::Relaxed);
    let Some(due_at) = next.due_at else { return Ok(LONGEST) };
    if let Ok(wait) = (due_at - next.now).to_std()
        && !wait.is_zero()
    {
        return Ok(wait.min(LONGEST));
    }
    let due = core.store.timers_due(MOST).await?;
    if !due.is_empty() {
        retries(engine, due).await?;
    }
    for run in core.store.deadlines_due(MOST).await? {
        match cancel::cancel(core, run, "dagrun_timeout").await {
            Ok(()) | Err(CancelError::Ended(_) | CancelError::NotFound) => {}
            Err(CancelError::Internal(error)) => return Err(error),
        }
    }
    let wait = cron::look(engine, None).await?;
    outbox::work_off(core).await?;
    Ok(wait)
}

/// Makes due retries ready. The rows were found by a plain read: their runs are locked now, and the
/// rows are looked at again. Runs that somebody else holds come at the next look.
async fn retries(engine: &Engine, due: Vec<InstanceKey>) -> anyhow::Result<()> {
    let core = &engine.core;
    let mut tx = core.store.engine_begin().await?;
    let keys: Vec<RunKey> = due.iter().map(|key| key.run).collect();
    let locked = tx.runs_lock_free(&keys).await?;
    let ours: Vec<InstanceKey> =
        due.into_iter().filter(|key| locked.iter().any(|run| run.key == key.run)).collect();
    if ours.is_empty() {
        return Ok(());
    }
    let mut work = Work::new(core, locked).await?;
    for held in tx.live_lock_due(&ours).await? {
        let live = held.live;
        let run = live.key.run;
        let state = work.reactivate(run);
        let event = match state {
            TaskState::Queued => TaskEvent::Readied,
            _ => TaskEvent::HeldBack,
        };
        TaskState::on(Some(live.state), event)?;
        if state == TaskState::Queued {
            work.left_ready(&live.queue);
        }
        work.after.changed.insert(run);
        work.apply.live_retry.push(LiveRetry {
            ctid: live.ctid,
            state,
            try_number: live.try_number,
            failed: live.failed,
            lost: live.lost,
            delay: None,
        });
    }
    core.commit(tx, work).await
}
