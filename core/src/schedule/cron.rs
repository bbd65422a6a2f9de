//! Cron expressions of five fields on a calendar without time zones, as Airflow (croniter) reads
//! them. `zoned` puts them into a time zone.
//!
//! The `cron` crate walks the calendar; the grammar is ours, because croniter's differs: where day
//! of month and day of week are both restricted, either of them fires, so there are two schedules
//! and the earlier (or later) of their instants counts.

use std::fmt::Write as _;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};

use super::field::{Field, Special, Unit};

/// A cron expression that has been read.
#[derive(Debug, Clone)]
pub struct Cron {
    walks: Vec<Walk>,
    /// It fires in every hour, also in one that the clocks repeat.
    pub(super) every_hour: bool,
}

/// Why an expression can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cron expression {expression:?} is wrong: {reason}")]
pub struct CronError {
    expression: String,
    reason: String,
    /// The field at fault, for the place in a file; the whole expression if it is none.
    pub(crate) word: String,
}

/// A walk over the calendar, of whose instants those on the wanted days count.
#[derive(Debug, Clone)]
struct Walk {
    schedule: cron::Schedule,
    /// One of these days of the month; empty: any.
    days: Vec<Special>,
    /// One of these weekdays; empty: any.
    weekdays: Vec<Special>,
}

/// Candidates that are looked at before a schedule counts as one that never fires: weekdays and
/// last days recur within months, so this is decades.
const MOST_CANDIDATES: usize = 60_000;

impl Cron {
    /// Reads an expression of five fields.
    pub fn parse(expression: &str) -> Result<Self, CronError> {
        let error = |reason: String, word: &str| CronError {
            expression: expression.to_owned(),
            reason,
            word: word.to_owned(),
        };
        let words: Vec<&str> = expression.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = words[..] else {
            return Err(error(wrong_count(words.len()), expression));
        };
        let read =
            |unit, word: &str| Field::parse(unit, word).map_err(|reason| error(reason, word));
        let minute = read(Unit::Minute, minute)?;
        let hour = read(Unit::Hour, hour)?;
        let day = read(Unit::DayOfMonth, day)?;
        let month = read(Unit::Month, month)?;
        let weekday = read(Unit::DayOfWeek, weekday)?;
        let time = Time { minute: &minute, hour: &hour, month: &month };
        let walks = match (day.is_all, weekday.is_all) {
            (false, false) => vec![time.on_days(&day, &weekday), time.on_weekdays(&day, &weekday)],
            (false, true) => vec![time.on_days(&day, &weekday)],
            (true, false) => vec![time.on_weekdays(&day, &weekday)],
            (true, true) => vec![time.walk("*", "*", Vec::new(), Vec::new())],
        };
        Ok(Self { walks, every_hour: hour.is_every() })
    }

    /// The first wall-clock time after `wall`, if there is one within the calendar.
    #[must_use]
    pub fn next_after(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let instant = wall.and_utc();
        let next = |walk: &Walk| {
            walk.schedule.after(&instant).take(MOST_CANDIDATES).find(|found| walk.wants(*found))
        };
        self.firing(next)?.into_iter().min().map(|found| found.naive_utc())
    }

    /// The last wall-clock time before `wall`, if there is one within the calendar.
    #[must_use]
    pub fn previous_before(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let instant = wall.and_utc();
        let previous = |walk: &Walk| {
            let mut backwards = walk.schedule.after(&instant).rev().take(MOST_CANDIDATES);
            backwards.find(|found| *found < instant && walk.wants(*found))
        };
        self.firing(previous)?.into_iter().max().map(|found| found.naive_utc())
    }

    /// The instant of each walk that has one.
    fn firing(&self, step: impl Fn(&Walk) -> Option<DateTime<Utc>>) -> Option<Vec<DateTime<Utc>>> {
        // As in Airflow `0 9 15 * 1#1` never fires, although there are first Mondays: the 15th is
        // none. Without # each half fires for itself.
        let together = self.walks.iter().any(|walk| !walk.weekdays.is_empty());
        let found: Vec<_> = self.walks.iter().map(step).collect();
        if together && found.contains(&None) {
            return None;
        }
        Some(found.into_iter().flatten().collect())
    }
}

fn wrong_count(count: usize) -> String {
    let fields = "minute, hour, day of month, month, day of week";
    let hint = match count {
        6 | 7 => "; seconds and years are not supported",
        _ => "",
    };
    format!("it needs five fields ({fields}) and has {count}{hint}")
}

/// The fields that every walk of an expression shares.
struct Time<'a> {
    minute: &'a Field,
    hour: &'a Field,
    month: &'a Field,
}

impl Time<'_> {
    /// The days of the month; `1#2` and the like in the weekdays hold here too.
    fn on_days(&self, day: &Field, weekday: &Field) -> Walk {
        if day.special.is_empty() {
            return self.walk(&list(day), "*", Vec::new(), weekday.special.clone());
        }
        let plain = day.values.iter().map(|&day| Special::Day(day));
        let days = day.special.iter().copied().chain(plain).collect();
        self.walk("*", "*", days, weekday.special.clone())
    }

    /// The weekdays; `15W` in the days of the month holds here too.
    fn on_weekdays(&self, day: &Field, weekday: &Field) -> Walk {
        let is_nearest = |day: &Special| matches!(day, Special::NearestWeekday(_));
        let days = day.special.iter().copied().filter(is_nearest).collect();
        let listed = if weekday.special.is_empty() { list(weekday) } else { "*".to_owned() };
        self.walk("*", &listed, days, weekday.special.clone())
    }

    fn walk(&self, day: &str, weekday: &str, days: Vec<Special>, weekdays: Vec<Special>) -> Walk {
        let (minute, hour, month) = (list(self.minute), list(self.hour), list(self.month));
        let expression = format!("0 {minute} {hour} {day} {month} {weekday}");
        let schedule = cron::Schedule::from_str(&expression).expect("lists of numbers in range");
        Walk { schedule, days, weekdays }
    }
}

impl Walk {
    fn wants(&self, instant: DateTime<Utc>) -> bool {
        let date = instant.date_naive();
        [&self.days, &self.weekdays]
            .iter()
            .all(|any| any.is_empty() || any.iter().any(|day| day.is(date)))
    }
}

impl Special {
    fn is(self, date: NaiveDate) -> bool {
        let last = last_day(date);
        let weekday = date.weekday().num_days_from_sunday();
        match self {
            Self::Day(day) => date.day() == day,
            Self::LastDay => date.day() == last,
            Self::NearestWeekday(day) => nearest_weekday(date, day.min(last), last) == date.day(),
            Self::Nth(day, nth) => weekday == day && date.day().div_ceil(7) == nth,
            Self::LastOf(day) => weekday == day && date.day() + 7 > last,
        }
    }
}

fn last_day(date: NaiveDate) -> u32 {
    u32::from(date.num_days_in_month())
}

/// The weekday nearest to `day` in the month of `date`, without leaving the month.
fn nearest_weekday(date: NaiveDate, day: u32, last: u32) -> u32 {
    let weekday = date.with_day(day).map_or(0, |date| date.weekday().num_days_from_sunday());
    match weekday {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == last => day - 2,
        0 => day + 1,
        _ => day,
    }
}

/// A field's values as the `cron` crate writes them: its weeks begin with Sunday, 1.
fn list(field: &Field) -> String {
    if field.is_all {
        return "*".to_owned();
    }
    let shift = u32::from(field.unit == Unit::DayOfWeek);
    let mut text = String::new();
    for value in &field.values {
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}{}", value + shift).expect("a string takes everything");
    }
    text
}
