//! Makes the runs of schedules that are due: exactly one a tick, by the schedule's row lock and the
//! unique logical date.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use serde_json::json;
use subak_core::dag::model::{Dag, OnOverlap, Schedule};
use subak_core::ids::DagId;
use subak_core::schedule::{Interval, Tick, Timetable};
use subak_core::state::RunType;
use subak_store::engine::EngineTx;
use subak_store::{DagHead, LockedSchedule, StoreError};
use tracing::{error, info};

use super::timers::AFTER_ERROR;
use crate::engine::{CancelError, Engine, Trigger, TriggerError, cancel};

/// Schedules that one look takes.
const SCHEDULES_MOST: i64 = 500;

/// Runs that one look makes of one schedule; what is left is due at the next look.
const RUNS_MOST: usize = 100;

/// How long a `@continuous` DAG rests at most after failures.
const REST_MOST: TimeDelta = TimeDelta::minutes(5);

/// Takes the schedules that are due at `now`, the database's time if left out. Returns how long to
/// wait if one of them failed.
pub(in crate::engine) async fn look(
    engine: &Engine,
    now: Option<DateTime<Utc>>,
) -> anyhow::Result<Duration> {
    let core = &engine.core;
    let mut wait = Duration::ZERO;
    for dag in core.asked(core.store.schedules_due(SCHEDULES_MOST, now)).await? {
        if let Err(error) = tick(engine, dag, now).await {
            error!(error = format!("{error:#}"), dag, "schedule: will try again");
            wait = AFTER_ERROR;
        }
    }
    Ok(wait)
}

/// Makes the due runs of one DAG and moves its schedule on. A crash in between finds the runs made,
/// and moves the schedule on the next time.
async fn tick(engine: &Engine, dag: i32, now: Option<DateTime<Utc>>) -> anyhow::Result<()> {
    let core = &engine.core;
    let locked = async {
        let mut tx = core.store.engine_begin().await?;
        let Some(head) = tx.schedule_lock(dag, now).await? else { return Ok(None) };
        let plan = core.caches.plan(dag, head.version).await?;
        Ok(Some((tx, head, plan)))
    };
    let Some((mut tx, head, plan)) = core.within(locked).await? else { return Ok(()) };
    let model = plan.dag.as_ref();
    let Some(timetable) = Timetable::of(model, head.version_at)? else {
        let none = async {
            tx.schedule_advance(dag, head.last(), None, None).await?;
            tx.commit().await
        };
        return core.asked(none).await;
    };
    if model.schedule == Some(Schedule::Continuous) {
        let paused = core.asked(pause_after_failures(&mut tx, &head)).await?;
        if let Some(until) = paused {
            let next = timetable.next(head.last(), until);
            let waits = async {
                tx.schedule_advance(dag, head.last(), next, Some(until)).await?;
                tx.commit().await
            };
            return core.asked(waits).await;
        }
    }
    let due = due(model, &timetable, &head);
    let (made, last) = overlap(model, &head, &due);
    if model.on_overlap == OnOverlap::CancelRunning {
        make_room(engine, dag, made.len(), head.room).await?;
    }
    let asked = made.iter().map(|tick| engine.run_trigger(trigger(&head.dag_id, tick)));
    for answer in join_all(asked).await {
        match answer {
            Ok(_) | Err(TriggerError::Exists(_) | TriggerError::DagNotFound(_)) => {}
            Err(TriggerError::Internal(error)) => return Err(error),
            Err(error) => {
                error!(dag.id = head.dag_id, error = %error, "a scheduled run was not made");
            }
        }
    }
    let next = timetable.next(last, head.now);
    // A run that is due waits for one of max_active_runs to end: nobody need look before.
    let is_full = usize::try_from(head.room).unwrap_or(0) <= made.len();
    let is_due = next.is_some_and(|tick| tick.run_after <= head.now);
    let waits = is_due && is_full && model.on_overlap == OnOverlap::Queue;
    let due_at = next.filter(|_| !waits).map(|tick| tick.run_after);
    let advanced = async {
        tx.schedule_advance(dag, last, next, due_at).await?;
        tx.commit().await
    };
    core.asked(advanced).await?;
    // One may have ended meanwhile.
    if waits && core.asked(core.store.schedules_release()).await? {
        engine.timers_wake();
    }
    Ok(())
}

/// Until when a `@continuous` DAG rests because its last runs have failed: a second after the first
/// failure, twice as long after each further one, five minutes at most. A newer version starts at once.
async fn pause_after_failures(
    tx: &mut EngineTx<'_>,
    head: &LockedSchedule,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let (failed, last) = tx.failures_in_a_row(head.dag, head.version_at).await?;
    let Some(last) = last else { return Ok(None) };
    let rest = TimeDelta::seconds(1 << failed.saturating_sub(1).min(9)).min(REST_MOST);
    Ok(Some(last + rest).filter(|until| *until > head.now))
}

/// The runs that are due, in order.
fn due(model: &Dag, timetable: &Timetable, head: &LockedSchedule) -> Vec<Tick> {
    // Of a @continuous DAG the next one would be due again and again.
    let most = if model.schedule == Some(Schedule::Continuous) { 1 } else { RUNS_MOST };
    let next = |last| timetable.next(last, head.now).filter(|tick| tick.run_after <= head.now);
    std::iter::successors(next(head.last()), |tick| next(Some(tick.interval())))
        .take(most)
        .collect()
}

/// Which of the due runs are made, and the interval after which the schedule goes on.
fn overlap(model: &Dag, head: &LockedSchedule, due: &[Tick]) -> (Vec<Tick>, Option<Interval>) {
    let room = usize::try_from(head.room).unwrap_or(0);
    let interval = |tick: Option<&Tick>| tick.map(Tick::interval).or(head.last());
    match model.on_overlap {
        OnOverlap::Queue => {
            let made = &due[..room.min(due.len())];
            (made.to_vec(), interval(made.last()))
        }
        OnOverlap::Skip => {
            if due.len() > room {
                let skipped = due.len() - room;
                info!(dag.id = head.dag_id, skipped, "runs left out: max_active_runs are active");
            }
            (due[..room.min(due.len())].to_vec(), interval(due.last()))
        }
        OnOverlap::CancelRunning => {
            let most = usize::try_from(model.max_active_runs).unwrap_or(usize::MAX);
            (due[due.len().saturating_sub(most)..].to_vec(), interval(due.last()))
        }
    }
}

/// Cancels the oldest runs of a DAG until as many as are wanted have room.
async fn make_room(engine: &Engine, dag: i32, wanted: usize, room: i32) -> anyhow::Result<()> {
    let wanted = i64::try_from(wanted).unwrap_or(i64::MAX) - i64::from(room);
    if wanted <= 0 {
        return Ok(());
    }
    let core = &engine.core;
    for run in core.asked(core.store.runs_unfinished(dag, wanted)).await? {
        match cancel::cancel(core, run, "on_overlap").await {
            Ok(()) | Err(CancelError::Ended(_) | CancelError::NotFound) => {}
            Err(CancelError::Internal(error)) => return Err(error),
        }
    }
    Ok(())
}

fn trigger(dag_id: &str, tick: &Tick) -> Trigger {
    Trigger {
        dag_id: DagId(dag_id.to_owned()),
        run_id: None,
        run_type: RunType::Scheduled,
        triggered_by: "timetable".to_owned(),
        user: None,
        logical_date: Some(tick.logical_date),
        data_interval: Some(tick.interval()),
        run_after: Some(tick.run_after),
        conf: json!({}),
        note: None,
    }
}

/// The next run of a DAG whose file was just saved.
pub(crate) fn first_tick(
    model: &Dag,
    head: &DagHead,
    now: DateTime<Utc>,
) -> anyhow::Result<Option<Tick>> {
    let timetable = Timetable::of(model, head.version_at)?;
    Ok(timetable.and_then(|timetable| timetable.next(head.last_interval(), now)))
}
