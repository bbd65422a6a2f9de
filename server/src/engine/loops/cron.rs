//! Makes the run of a schedule that is due: exactly one a tick, by the schedule's row lock and the
//! unique logical date.

use chrono::{DateTime, Utc};
use serde_json::json;
use subak_core::dag::model::{Dag, Schedule};
use subak_core::ids::DagId;
use subak_core::schedule::{Cron, Tick, next_run};
use subak_core::state::RunType;
use subak_store::DagHead;

use crate::engine::{Engine, Trigger, TriggerError};

/// Makes the due run of one DAG and moves its schedule on. A crash in between finds the run made, and
/// moves the schedule on the next time.
pub(super) async fn tick(engine: &Engine, dag: i32) -> anyhow::Result<()> {
    let core = &engine.core;
    let mut tx = core.store.engine_begin().await?;
    let Some((head, now)) = tx.schedule_lock(dag).await? else { return Ok(()) };
    let plan = core.caches.plan(dag, head.version).await?;
    let model = plan.dag.as_ref();
    let next = |last: Option<DateTime<Utc>>| next_tick(model, last, now);
    let since = begins_after(model, &head);
    // Without catchup, ticks that were missed since are left out but for the newest.
    let Some(due) = next(since)?.filter(|tick| tick.run_after <= now) else {
        let later = next(since)?.map(|tick| tick.run_after);
        tx.schedule_advance(dag, head.last_tick, later).await?;
        return Ok(tx.commit().await?);
    };
    let trigger = Trigger {
        dag_id: DagId(head.dag_id.clone()),
        run_id: None,
        run_type: RunType::Scheduled,
        triggered_by: "timetable".to_owned(),
        user: None,
        logical_date: Some(due.logical_date),
        data_interval: Some((due.data_interval_start, due.data_interval_end)),
        run_after: Some(due.run_after),
        conf: json!({}),
        note: None,
    };
    match engine.run_trigger(trigger).await {
        Ok(_) | Err(TriggerError::Exists { .. }) => {}
        Err(error) => {
            tracing::error!(dag.id = head.dag_id, error = %error, "a scheduled run was not made");
        }
    }
    let later = next(Some(due.logical_date))?.map(|tick| tick.run_after);
    tx.schedule_advance(dag, Some(due.logical_date), later).await?;
    tx.commit().await?;
    Ok(())
}

/// When a DAG's next run is due, for a version that was just saved.
pub(crate) fn first_due(
    model: &Dag,
    head: &DagHead,
    now: DateTime<Utc>,
) -> anyhow::Result<Option<DateTime<Utc>>> {
    Ok(next_tick(model, begins_after(model, head), now)?.map(|tick| tick.run_after))
}

/// What the next tick comes after. A schedule that never ran and has a start begins there, or without
/// catchup with its most recent tick, at once; one without a start begins with the DAG itself: begun
/// with "now", its first tick would always lie ahead.
fn begins_after(model: &Dag, head: &DagHead) -> Option<DateTime<Utc>> {
    head.last_tick.or_else(|| model.start_date.is_none().then_some(head.created_at))
}

fn next_tick(
    model: &Dag,
    last: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> anyhow::Result<Option<Tick>> {
    let Some(Schedule::Cron(expression)) = &model.schedule else { return Ok(None) };
    let cron = Cron::parse(expression)?;
    Ok(next_run(&cron, model.start_date, model.end_date, model.catchup, last, now))
}
