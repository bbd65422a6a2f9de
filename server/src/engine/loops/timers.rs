//! Sleeps to the earliest due timer of any kind, then takes what is due: retries, deadlines of runs, runs
//! that wait for their time, schedules, the outbox.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use subak_core::ids::{InstanceKey, RunKey};
use subak_core::state::{TaskEvent, TaskState};
use subak_store::engine::{EngineTx, LiveRetry};
use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{cron, outbox};
use crate::engine::creation::come_due;
use crate::engine::work::Work;
use crate::engine::{CancelError, Core, Engine, cancel};

/// Timers that other servers set are found this late at most, and those of commands whose news were lost.
const LONGEST: Duration = Duration::from_secs(5);

/// A pause after an error, so that a database that is away is not asked in a tight loop.
pub(super) const AFTER_ERROR: Duration = Duration::from_secs(1);

/// A pause after a look that took nothing though something is due: somebody else is at it.
const AFTER_NOTHING: Duration = Duration::from_millis(50);

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

/// Takes what is due; returns how long nothing will be. What fails is left for the next look, and
/// holds up nothing else.
async fn tick(engine: &Engine) -> anyhow::Result<Duration> {
    let core = &engine.core;
    let next = core.asked(core.store.timer_next()).await?;
    core.beat_micros.store(next.now.timestamp_micros(), Ordering::Relaxed);
    let Some(due_at) = next.due_at else { return Ok(LONGEST) };
    if let Ok(wait) = (due_at - next.now).to_std()
        && !wait.is_zero()
    {
        return Ok(wait.min(LONGEST));
    }
    let mut look = Look::default();
    look.all_retries(engine, core.asked(core.store.timers_due(MOST)).await?).await;
    for run in core.asked(core.store.deadlines_due(MOST)).await? {
        look.note(match cancel::cancel(core, run, "dagrun_timeout").await {
            Ok(()) | Err(CancelError::Ended(_) | CancelError::NotFound) => Ok(true),
            Err(CancelError::Internal(error)) => Err(error),
        });
    }
    let later = core.asked(core.store.runs_due(MOST)).await?;
    if !later.is_empty() {
        look.note(come_due(core, later).await);
    }
    let schedules = cron::look(engine, None).await;
    let wait = schedules.as_ref().copied().unwrap_or_default();
    look.note(schedules.map(|_| false));
    look.note(outbox::work_off(core).await);
    Ok(look.pause().max(wait))
}

/// What came of one look.
#[derive(Debug, Default)]
struct Look {
    took: bool,
    failed: bool,
}

impl Look {
    /// Whether something was done, or why not.
    fn note(&mut self, done: anyhow::Result<bool>) {
        match done {
            Ok(took) => self.took |= took,
            Err(error) => {
                error!(error = format!("{error:#}"), "timers: will try again");
                self.failed = true;
            }
        }
    }

    /// All in one transaction; if that fails, each run in one of its own.
    async fn all_retries(&mut self, engine: &Engine, due: Vec<InstanceKey>) {
        if due.is_empty() {
            return;
        }
        let done = retries(engine, due.clone()).await;
        if done.is_ok() {
            return self.note(done);
        }
        let mut by_run: BTreeMap<RunKey, Vec<InstanceKey>> = BTreeMap::new();
        for key in due {
            by_run.entry(key.run).or_default().push(key);
        }
        for keys in by_run.into_values() {
            self.note(retries(engine, keys).await);
        }
    }

    fn pause(&self) -> Duration {
        match self {
            Self { failed: true, .. } => AFTER_ERROR,
            Self { took: true, .. } => Duration::ZERO,
            Self { took: false, .. } => AFTER_NOTHING,
        }
    }
}

/// Makes due retries ready. The rows were found by a plain read: their runs are locked now, and the
/// rows are looked at again. Runs that somebody else holds come at the next look.
async fn retries(engine: &Engine, due: Vec<InstanceKey>) -> anyhow::Result<bool> {
    let core = &engine.core;
    let Some((tx, work)) = core.within(readied(core, due)).await? else { return Ok(false) };
    core.commit(tx, work).await?;
    Ok(true)
}

async fn readied(
    core: &Core,
    due: Vec<InstanceKey>,
) -> anyhow::Result<Option<(EngineTx<'static>, Work<'_>)>> {
    let keys: Vec<RunKey> = due.iter().map(|key| key.run).collect();
    core.caches.warm(&keys).await?;
    let mut tx = core.store.engine_begin().await?;
    let locked = tx.runs_lock_free(&keys).await?;
    let ours: Vec<InstanceKey> =
        due.into_iter().filter(|key| locked.iter().any(|run| run.key == key.run)).collect();
    if ours.is_empty() {
        return Ok(None);
    }
    let mut work = Work::new(core, &mut tx, locked).await?;
    for held in tx.live_lock_due(&ours).await? {
        let live = held.live;
        let run = live.key.run;
        let ahead = work.ahead(run);
        let (state, waits_pool) = work.admit(run, live.key.task, live.pool.as_deref());
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
            task: live.key.task,
            state,
            try_number: live.try_number,
            failed: live.failed,
            lost: live.lost,
            delay: None,
            waits_pool,
            ahead,
            priority: live.priority,
            queue: live.queue,
            pool: live.pool,
        });
    }
    Ok(Some((tx, work)))
}
