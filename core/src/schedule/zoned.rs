//! A cron expression on the wall clock of a time zone, with Airflow's rule for changes of clocks.
//!
//! An expression whose hour is `*` moves by elapsed time, so it fires in both hours that autumn
//! repeats. Any other names a wall-clock time: one that comes twice counts the second time, one that
//! spring leaves out is moved forward by what is left out.

use chrono::{
    DateTime, MappedLocalTime, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Utc,
};
use chrono_tz::Tz;

use super::instants::NEAR;
use super::{Cron, CronError};

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub struct ZonedCron {
    cron: Cron,
    zone: Tz,
}

impl ZonedCron {
    /// Reads an expression of five fields, on the clock of `zone`.
    pub fn parse(expression: &str, zone: Tz) -> Result<Self, CronError> {
        Ok(Self { cron: Cron::parse(expression)?, zone })
    }

    /// The first instant after `instant`, if there is one within the calendar.
    #[must_use]
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let wall = instant.with_timezone(&self.zone).naive_local();
        self.instant_of(self.cron.next_after(wall)?, wall, instant)
    }

    /// The last instant before `instant`, if there is one within the calendar.
    #[must_use]
    pub fn previous_before(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let wall = instant.with_timezone(&self.zone).naive_local();
        self.instant_of(self.cron.previous_before(wall)?, wall, instant)
    }

    /// Whether the clocks change within three hours of `instant`.
    pub(super) fn clocks_change_near(&self, instant: DateTime<Utc>) -> bool {
        let offset = |at: DateTime<Utc>| at.with_timezone(&self.zone).offset().fix();
        offset(instant - NEAR) != offset(instant + NEAR)
    }

    fn instant_of(
        &self,
        found: NaiveDateTime,
        wall: NaiveDateTime,
        instant: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        if self.cron.every_hour {
            return instant.checked_add_signed(found - wall);
        }
        instant_at(self.zone, found)
    }
}

/// The instant at which the clocks of `zone` show `wall`: the second one where they show it twice,
/// and moved forward by the gap where they never show it.
#[must_use]
pub fn instant_at(zone: Tz, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&wall) {
        MappedLocalTime::Single(instant) | MappedLocalTime::Ambiguous(_, instant) => {
            Some(instant.to_utc())
        }
        MappedLocalTime::None => {
            // No gap is longer than a day: Samoa left out one in 2011.
            let day = TimeDelta::hours(25);
            let before = zone.from_local_datetime(&wall.checked_sub_signed(day)?).latest()?;
            before.to_utc().checked_add_signed(day)
        }
    }
}
