//! The next scheduled run of a DAG, as Airflow's timetables find it.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::instants::Instants;
use super::{CronError, ZonedCron};
use crate::dag::model::{Dag, DataInterval, Schedule};

/// A scheduled run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick {
    pub logical_date: DateTime<Utc>,
    pub data_interval_start: DateTime<Utc>,
    pub data_interval_end: DateTime<Utc>,
    /// It is due from then on.
    pub run_after: DateTime<Utc>,
}

/// From where to where the data of a run reach.
pub type Interval = (DateTime<Utc>, DateTime<Utc>);

/// When the runs of a DAG are due, and which data they are about.
#[derive(Debug, Clone)]
pub struct Timetable {
    kind: Kind,
    start: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
    catchup: bool,
    /// What is due before is not this schedule's: when it was saved.
    since: DateTime<Utc>,
}

#[derive(Debug, Clone)]
enum Kind {
    /// A run at each instant, with an interval of no length.
    Point(Instants),
    /// A run at each instant, about the time since the one before.
    Previous(Instants),
    Once,
    Continuous,
}

impl Timetable {
    /// The timetable of a DAG; `None`: it is only triggered by hand.
    ///
    /// `since` is when the schedule was saved. A DAG without `start_date` begins with it.
    pub fn of(dag: &Dag, since: DateTime<Utc>) -> Result<Option<Self>, CronError> {
        let Some(schedule) = &dag.schedule else { return Ok(None) };
        let instants = match schedule {
            Schedule::Once => Err(Kind::Once),
            Schedule::Continuous => Err(Kind::Continuous),
            Schedule::Cron(cron) => Ok(crons(std::slice::from_ref(cron), dag.timezone)?),
            Schedule::Crons(all) => Ok(crons(all, dag.timezone)?),
            Schedule::Every(step) => Ok(Instants::Every {
                anchor: dag.start_date.unwrap_or(since),
                step: TimeDelta::from_std(*step).unwrap_or(TimeDelta::MAX),
            }),
            Schedule::Dates(dates) => Ok(Instants::Dates(dates.clone())),
        };
        let kind = match (instants, dag.data_interval) {
            (Ok(instants), DataInterval::Point) => Kind::Point(instants),
            (Ok(instants), DataInterval::Previous) => Kind::Previous(instants),
            (Err(kind), _) => kind,
        };
        let (start, end) = (dag.start_date, dag.end_date);
        Ok(Some(Self { kind, start, end, catchup: dag.catchup, since }))
    }

    /// Returns the next run; it may lie in the future, then it is not due yet.
    ///
    /// `last` is the data interval of the last scheduled run. Without `catchup` runs before the most
    /// recent one are left out.
    #[must_use]
    pub fn next(&self, last: Option<Interval>, now: DateTime<Utc>) -> Option<Tick> {
        let interval = last;
        let last = last.map(|(_, end)| end);
        let within = |instant: &DateTime<Utc>| self.end.is_none_or(|end| *instant <= end);
        match &self.kind {
            Kind::Point(instants) => {
                let instants = anchored(instants, last);
                self.next_point(&instants, last, now).filter(within).map(Tick::at)
            }
            Kind::Previous(instants) => {
                let instants = anchored(instants, last);
                let start = self.next_start(&instants, interval, now).filter(within)?;
                Some(Tick::over(start, instants.end_of(start)?))
            }
            // It runs at its start, with catchup or without.
            Kind::Once => {
                let at = self.start.unwrap_or(self.since);
                last.is_none().then_some(at).filter(within).map(Tick::at)
            }
            Kind::Continuous => {
                let start = last.or(self.start).unwrap_or(self.since);
                Some(now.max(start)).filter(within).map(|end| Tick::over(start, end))
            }
        }
    }

    /// Returns the runs whose logical dates lie between two instants, these included, as catch-up would
    /// make them one after the other; what is due behind `now` is left out. `None`: a schedule without
    /// instants, `@once` and `@continuous`.
    pub fn between(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Option<impl Iterator<Item = Tick>> {
        if matches!(self.kind, Kind::Once | Kind::Continuous) {
            return None;
        }
        let span = Self { start: Some(from), end: Some(to), catchup: true, ..self.clone() };
        let next = move |last| span.next(last, now).filter(|tick| tick.run_after <= now);
        Some(std::iter::successors(next(None), move |tick| next(Some(tick.interval()))))
    }

    /// Returns the data interval of a run made by hand with this logical date.
    #[must_use]
    pub fn interval_at(&self, date: DateTime<Utc>) -> Interval {
        let Kind::Previous(instants) = &self.kind else { return (date, date) };
        instants.interval_before(date).unwrap_or((date, date))
    }

    /// Whether no later run than that of this interval is due at `now`.
    #[must_use]
    pub fn is_newest(&self, interval: Interval, now: DateTime<Utc>) -> bool {
        if matches!(self.kind, Kind::Continuous) {
            // The next one begins when this one has ended.
            return true;
        }
        self.next(Some(interval), now).is_none_or(|next| next.run_after > now)
    }

    fn next_point(
        &self,
        instants: &Instants,
        last: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let after_last = match last {
            Some(last) => Some(instants.next_after(last)?),
            None => None,
        };
        let after_start = match (self.start, last) {
            (Some(start), _) => Some(instants.first_from(start)?),
            (None, None) => Some(self.first_point(instants)?),
            (None, Some(_)) => None,
        };
        if self.catchup {
            return after_last.or(after_start);
        }
        // The latest of them: what was missed is left out, but for the most recent.
        [instants.at_or_before(now), after_last, after_start].into_iter().flatten().max()
    }

    /// The first run of a DAG without a start: the next instant, or the last one if that was only
    /// just missed. Airflow's measure is a tenth of the time between the two, and five minutes.
    fn first_point(&self, instants: &Instants) -> Option<DateTime<Utc>> {
        let next = instants.at_or_after(self.since)?;
        let Some(past) = instants.at_or_before(self.since) else { return Some(next) };
        let just = ((next - past) / 10).max(TimeDelta::minutes(5));
        Some(if self.since - past <= just { past } else { next })
    }

    /// The start of the next interval.
    fn next_start(
        &self,
        instants: &Instants,
        last: Option<Interval>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        // The schedule may be another one since.
        let after_last = match last {
            Some((_, end)) => Some(instants.at_or_before(end)?),
            None => None,
        };
        let after_start = match self.start {
            Some(start) => Some(instants.first_from(start)?),
            None => None,
        };
        let newest = || instants.previous_before(instants.at_or_before(now)?);
        let recent = if self.catchup { None } else { newest() };
        let start = [after_last, after_start, recent].into_iter().flatten().max()?;
        // What has the last run's date, or an earlier one, is over.
        let is_over = last.is_some_and(|(last, _)| start <= last);
        if is_over { instants.next_after(start) } else { Some(start) }
    }
}

fn crons(expressions: &[String], zone: Tz) -> Result<Instants, CronError> {
    let read = |expression: &String| ZonedCron::parse(expression, zone);
    Ok(Instants::Crons(expressions.iter().map(read).collect::<Result<_, _>>()?))
}

/// A duration goes on from the last run, so that saving the DAG anew moves nothing.
fn anchored(instants: &Instants, last: Option<DateTime<Utc>>) -> Instants {
    match (instants, last) {
        (Instants::Every { step, .. }, Some(last)) => Instants::Every { anchor: last, step: *step },
        _ => instants.clone(),
    }
}

impl Tick {
    /// Its data interval.
    #[must_use]
    pub fn interval(&self) -> Interval {
        (self.data_interval_start, self.data_interval_end)
    }

    /// The run of one instant.
    fn at(instant: DateTime<Utc>) -> Self {
        Self::over(instant, instant)
    }

    /// The run of an interval that ends when the run is due.
    fn over(start: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        Self {
            logical_date: start,
            data_interval_start: start,
            data_interval_end: end,
            run_after: end,
        }
    }
}
