//! The next scheduled run of a DAG, as Airflow's `CronTriggerTimetable` finds it.

use chrono::{DateTime, Utc};

use super::Cron;

/// A scheduled run: its instant is logical date, both ends of the data interval and the time from
/// which it may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick {
    pub logical_date: DateTime<Utc>,
    pub data_interval_start: DateTime<Utc>,
    pub data_interval_end: DateTime<Utc>,
    pub run_after: DateTime<Utc>,
}

impl Tick {
    /// The run of one instant of the schedule.
    #[must_use]
    pub fn at(instant: DateTime<Utc>) -> Self {
        Self {
            logical_date: instant,
            data_interval_start: instant,
            data_interval_end: instant,
            run_after: instant,
        }
    }
}

/// Returns the next run of a schedule; it may lie in the future, then it is not due yet.
///
/// `last` is the logical date of the last scheduled run. Without `catchup` runs before the most
/// recent instant of the schedule are left out; a DAG that never ran and has no `start_date` begins
/// with the next instant, so the answer is to be kept: asked again later it would be a later one.
#[must_use]
pub fn next_run(
    cron: &Cron,
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
    catchup: bool,
    last: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<Tick> {
    let at_or_after =
        |instant: DateTime<Utc>| cron.next_after(instant - chrono::TimeDelta::nanoseconds(1));
    let at_or_before =
        |instant: DateTime<Utc>| cron.previous_before(instant + chrono::TimeDelta::nanoseconds(1));
    let next = if catchup {
        match (last, start_date) {
            (Some(last), _) => cron.next_after(last)?,
            (None, start) => at_or_after(start?)?,
        }
    } else {
        let after_last = match (last, start_date) {
            (Some(last), _) => Some(cron.next_after(last)?),
            // A DAG that never ran and has no start waits for the next instant.
            (None, None) => Some(at_or_after(now)?),
            (None, Some(_)) => None,
        };
        let after_start = match start_date {
            Some(start) => Some(at_or_after(start)?),
            None => None,
        };
        // The latest of them: the most recent instant counts as soon as the DAG is unpaused.
        [at_or_before(now), after_last, after_start].into_iter().flatten().max()?
    };
    (end_date.is_none_or(|end| next <= end)).then(|| Tick::at(next))
}
