//! The row of a new run, and what is known of the run once it is made.

use chrono::{DateTime, Utc};
use subak_core::decide::{Plan, Shape};
use subak_core::ids::{RunKey, run_id};
use subak_core::schedule::Timetable;
use subak_core::state::RunState;
use subak_store::RunFacts;
use subak_store::engine::{LockedRun, NewRun};
use uuid::Uuid;

use super::batch::Pending;
use super::{Trigger, TriggerError};

/// The run's `dagrun_timeout`.
pub(super) fn timeout_micros(plan: &Plan) -> Option<i64> {
    plan.dag.dagrun_timeout.and_then(|timeout| i64::try_from(timeout.as_micros()).ok())
}

impl Pending {
    /// The run is there already.
    pub(super) fn exists(&self) -> TriggerError {
        let trigger = &self.trigger;
        let dag = &trigger.dag_id;
        let of_time = || Some(run_id(trigger.run_type.as_str(), trigger.run_after?));
        let which = match (trigger.run_id.clone().or_else(of_time), trigger.logical_date) {
            (Some(id), Some(_)) => {
                format!("a run `{id}` of DAG `{dag}`, or one with its logical date,")
            }
            (Some(id), None) => format!("a run `{id}` of DAG `{dag}`"),
            (None, Some(date)) => {
                format!("a run of DAG `{dag}` with the logical date `{}`", date.to_rfc3339())
            }
            (None, None) => format!("this run of DAG `{dag}`"),
        };
        TriggerError::Exists(format!("{which} already exists"))
    }

    /// The row to be made.
    pub(super) fn new_run(
        &self,
        dag: i32,
        version: i32,
        plan: &Plan,
        starts: bool,
        now: DateTime<Utc>,
    ) -> NewRun {
        let state = if starts { RunState::Running } else { RunState::Queued };
        NewRun { uuid: self.uuid, state, ..new_run(&self.trigger, (dag, version), plan, now) }
    }
}

/// The row of a run that waits for its turn.
pub(in crate::engine) fn new_run(
    trigger: &Trigger,
    (dag, version): (i32, i32),
    plan: &Plan,
    now: DateTime<Utc>,
) -> NewRun {
    let run_after = trigger.run_after.unwrap_or(now);
    // A schedule that can't be read has stopped its DAG's file before.
    let timetable = Timetable::of(&plan.dag, now).ok().flatten();
    let around = |date| timetable.as_ref().map_or((date, date), |t| t.interval_at(date));
    let interval = trigger.data_interval.or_else(|| trigger.logical_date.map(around));
    let named = trigger.run_id.clone();
    NewRun {
        uuid: Uuid::now_v7(),
        dag,
        version,
        run_id: named.unwrap_or_else(|| run_id(trigger.run_type.as_str(), run_after)),
        run_type: trigger.run_type,
        triggered_by: trigger.triggered_by.clone(),
        triggered_user: trigger.user.clone(),
        state: RunState::Queued,
        logical_date: trigger.logical_date,
        data_interval_start: interval.map(|(start, _)| start),
        data_interval_end: interval.map(|(_, end)| end),
        run_after,
        conf: trigger.conf.clone(),
        note: trigger.note.clone(),
        timeout_micros: timeout_micros(plan),
        tasks_open: Shape::of_plan(plan).size(plan),
        tasks_active: 0,
        tasks_held: 0,
        backfill: None,
        waits_until: trigger.waits_until(now),
    }
}

/// Views of a run that was just made.
pub(super) trait Made {
    fn locked(&self, key: RunKey) -> LockedRun;
    fn facts(&self, key: RunKey) -> RunFacts;
}

impl Made for NewRun {
    /// Nobody else can see the row yet: it is as good as locked.
    fn locked(&self, key: RunKey) -> LockedRun {
        LockedRun {
            key,
            dag: self.dag,
            version: self.version,
            state: self.state,
            cancelled: false,
            tasks_open: self.tasks_open,
            tasks_active: self.tasks_active,
            tasks_held: self.tasks_held,
            leaves_failed: 0,
            has_resets: false,
            backfill: self.backfill.map(|(backfill, _)| backfill),
            waits: self.waits_until.is_some(),
            awaited: false,
            // It would be queued.
            is_paused: false,
        }
    }

    fn facts(&self, key: RunKey) -> RunFacts {
        RunFacts {
            run_key: key.0,
            uuid: self.uuid,
            dag: self.dag,
            version: self.version,
            run_id: self.run_id.clone(),
            run_type: self.run_type.as_str().to_owned(),
            logical_date: self.logical_date,
            data_interval_start: self.data_interval_start,
            data_interval_end: self.data_interval_end,
            run_after: self.run_after,
            conf: self.conf.clone(),
        }
    }
}
