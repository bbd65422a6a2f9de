//! The instants at which a schedule fires, whatever it is made of.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Interval, ZonedCron};

/// When a schedule fires.
#[derive(Debug, Clone)]
pub(super) enum Instants {
    /// Whenever one of them fires.
    Crons(Vec<ZonedCron>),
    /// At `anchor` and every `step` before and after it.
    Every { anchor: DateTime<Utc>, step: TimeDelta },
    /// In ascending order.
    Dates(Vec<DateTime<Utc>>),
}

/// Less than any two instants of a schedule lie apart.
const TICK: TimeDelta = TimeDelta::nanoseconds(1);

/// No change of clocks is larger, but for a country that changes its day.
pub(super) const NEAR: TimeDelta = TimeDelta::hours(3);

impl Instants {
    /// The first instant after `instant`.
    pub(super) fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Crons(crons) => crons.iter().filter_map(|cron| cron.next_after(instant)).min(),
            Self::Every { anchor, step } => {
                let steps = steps_below(*anchor, *step, instant)?;
                step.checked_mul(steps.checked_add(1)?)
                    .and_then(|span| anchor.checked_add_signed(span))
            }
            Self::Dates(dates) => dates.iter().find(|date| **date > instant).copied(),
        }
    }

    /// The last instant before `instant`.
    pub(super) fn previous_before(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Crons(crons) => crons.iter().filter_map(|cron| cron_before(cron, instant)).max(),
            Self::Every { anchor, step } => {
                let steps = steps_below(*anchor, *step, instant.checked_sub_signed(TICK)?)?;
                step.checked_mul(steps).and_then(|span| anchor.checked_add_signed(span))
            }
            Self::Dates(dates) => dates.iter().rev().find(|date| **date < instant).copied(),
        }
    }

    /// The first instant that is not before `instant`.
    pub(super) fn at_or_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Crons(crons) => crons.iter().filter_map(|cron| cron_from(cron, instant)).min(),
            _ => self.next_after(instant.checked_sub_signed(TICK)?),
        }
    }

    /// The end of the interval that begins at `start`.
    pub(super) fn end_of(&self, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Every { step, .. } => start.checked_add_signed(*step),
            _ => self.next_after(start),
        }
    }

    /// The first instant of a schedule that begins at `start`: a duration begins with it.
    pub(super) fn first_from(&self, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if matches!(self, Self::Every { .. }) { Some(start) } else { self.at_or_after(start) }
    }

    /// The last whole interval before `date`; of a duration, the one that ends with it.
    pub(super) fn interval_before(&self, date: DateTime<Utc>) -> Option<Interval> {
        match self {
            Self::Every { step, .. } => Some((date.checked_sub_signed(*step)?, date)),
            // In an hour that spring leaves out, Airflow's interval is empty.
            Self::Crons(crons) => {
                let before = |at| crons.iter().filter_map(|cron| cron.previous_before(at)).max();
                let end = if self.at_or_after(date) == Some(date) { date } else { before(date)? };
                Some((before(end)?, end))
            }
            Self::Dates(_) => None,
        }
    }

    /// The last instant that is not behind `instant`.
    pub(super) fn at_or_before(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let fires = self.at_or_after(instant) == Some(instant);
        if fires { Some(instant) } else { self.previous_before(instant) }
    }
}

/// The first instant of a cron expression that is not before `instant`.
fn cron_from(cron: &ZonedCron, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if !cron.clocks_change_near(instant) {
        return cron.next_after(instant.checked_sub_signed(TICK)?);
    }
    let (before, from): (Vec<_>, Vec<_>) = around(cron, instant)?.partition(|at| *at < instant);
    from.first().copied().or_else(|| cron.next_after(*before.last()?))
}

/// The last instant of a cron expression before `instant`.
fn cron_before(cron: &ZonedCron, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if !cron.clocks_change_near(instant) {
        return cron.previous_before(instant);
    }
    around(cron, instant)?.take_while(|at| *at < instant).last()
}

/// The instants of a cron expression from well before `instant` up to it.
///
/// Where clocks change, a step from in between misleads: 02:40, left out in spring, counts as 03:40,
/// which is no time of the expression. There the instants are followed from well before.
fn around(cron: &ZonedCron, instant: DateTime<Utc>) -> Option<impl Iterator<Item = DateTime<Utc>>> {
    let earlier = instant.checked_sub_signed(NEAR * 2)?;
    let first = cron.previous_before(earlier).or_else(|| cron.next_after(earlier))?;
    let follow = move |at: &DateTime<Utc>| cron.next_after(*at).filter(|next| *next <= instant);
    Some(std::iter::successors(Some(first), follow))
}

/// How many whole steps lie between `anchor` and `instant`; negative before it.
fn steps_below(anchor: DateTime<Utc>, step: TimeDelta, instant: DateTime<Utc>) -> Option<i32> {
    let nanos = |span: TimeDelta| {
        i128::from(span.num_seconds()) * 1_000_000_000 + i128::from(span.subsec_nanos())
    };
    i32::try_from(nanos(instant - anchor).div_euclid(nanos(step).max(1))).ok()
}
