//! Dates in templates, with the methods of Python's datetime and pendulum that people call, and
//! Airflow's filters and macros over them.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use chrono::{
    DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc,
};

use chrono_tz::Tz;
use minijinja::value::{DynObject, Kwargs, Object, ObjectRepr, Value as Jinja, from_args};
use minijinja::{Environment, Error, ErrorKind, State};

use super::macros::Delta;
use crate::schedule::instant_at;

/// An instant in a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(DateTime<Tz>);

/// What templates may ask of a date; the check at parse time knows these names.
pub(super) const MEMBERS: &[&str] = &[
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "microsecond",
    "day_of_week",
    "day_of_year",
    "int_timestamp",
    "timezone_name",
    "strftime",
    "isoformat",
    "format",
    "date",
    "time",
    "add",
    "subtract",
    "start_of",
    "end_of",
    "in_timezone",
    "in_tz",
    "astimezone",
    "timestamp",
    "to_date_string",
    "to_time_string",
    "to_datetime_string",
    "to_iso8601_string",
    "weekday",
    "isoweekday",
    "replace",
    "naive",
];

impl Moment {
    pub(super) fn utc(instant: DateTime<Utc>) -> Self {
        Self(instant.with_timezone(&Tz::UTC))
    }

    pub(super) fn value(instant: DateTime<Utc>) -> Jinja {
        Jinja::from_object(Self::utc(instant))
    }

    pub(super) fn ds(self) -> String {
        self.0.format("%Y-%m-%d").to_string()
    }

    pub(super) fn ds_nodash(self) -> String {
        self.0.format("%Y%m%d").to_string()
    }

    pub(super) fn ts_nodash(self) -> String {
        self.0.format("%Y%m%dT%H%M%S").to_string()
    }

    pub(super) fn ts_nodash_with_tz(self) -> String {
        self.0.format("%Y%m%dT%H%M%S%z").to_string()
    }

    /// Python's `isoformat`: microseconds only where there are some.
    pub(super) fn iso(self) -> String {
        self.spelt('T')
    }

    fn spelt(self, separator: char) -> String {
        let fraction = if self.0.timestamp_subsec_micros() == 0 { "" } else { "%.6f" };
        self.0.format(&format!("%Y-%m-%d{separator}%H:%M:%S{fraction}%:z")).to_string()
    }

    fn in_zone(self, name: &str) -> Result<Self, Error> {
        let zone: Tz = name.parse().map_err(|_| bad(format!("unknown time zone {name:?}")))?;
        Ok(Self(self.0.with_timezone(&zone)))
    }

    /// Adds a length of time, whatever the clocks of the zone do meanwhile.
    pub(super) fn moved(self, clock: TimeDelta) -> Result<Self, Error> {
        self.0.checked_add_signed(clock).map(Self).ok_or_else(far)
    }

    /// Adds years, days and the like, as pendulum does: where there are days or more, the clocks on the
    /// wall are moved, so that a day later is the same time of the day.
    fn shifted(self, by: Amount) -> Result<Self, Error> {
        if !by.is_wall {
            return self.moved(by.clock);
        }
        let count = Months::new(u32::try_from(by.months.unsigned_abs()).map_err(|_| far())?);
        let wall = self.0.naive_local();
        let wall = match by.months < 0 {
            true => wall.checked_sub_months(count),
            false => wall.checked_add_months(count),
        };
        self.local(wall.and_then(|wall| wall.checked_add_signed(by.clock)))
    }

    /// The time from `earlier` to this instant.
    pub(super) fn since(self, earlier: Self) -> TimeDelta {
        self.0.signed_duration_since(earlier.0)
    }

    /// The first instant of the day, month, … that this one lies in.
    fn start_of(self, unit: &str) -> Result<Self, Error> {
        if unit == "hour" {
            return self.start_of_hour();
        }
        let (first, _) = self.days_of(unit)?.ok_or_else(far)?;
        self.local(first.and_hms_opt(0, 0, 0))
    }

    /// The last microsecond of it.
    fn end_of(self, unit: &str) -> Result<Self, Error> {
        const LAST: TimeDelta = TimeDelta::microseconds(-1);
        if unit == "hour" {
            return self.start_of_hour()?.moved(TimeDelta::hours(1) + LAST);
        }
        let (_, next) = self.days_of(unit)?.ok_or_else(far)?;
        let next = next.and_hms_opt(0, 0, 0);
        self.local(next.and_then(|next| next.checked_add_signed(LAST)))
    }

    /// By the clock: an hour that autumn repeats begins twice.
    fn start_of_hour(self) -> Result<Self, Error> {
        let into = TimeDelta::minutes(self.0.minute().into())
            + TimeDelta::seconds(self.0.second().into())
            + TimeDelta::nanoseconds(self.0.nanosecond().into());
        self.moved(-into)
    }

    /// The first day of the week, month, … that this instant lies in, and that of the next one; `None`:
    /// it is beyond the calendar.
    fn days_of(self, unit: &str) -> Result<Option<(NaiveDate, NaiveDate)>, Error> {
        let date = self.0.date_naive();
        let (first, days, months) = match unit {
            "day" => (Some(date), 1, 0),
            "week" => {
                let gone = u64::from(date.weekday().num_days_from_monday());
                (date.checked_sub_days(Days::new(gone)), 7, 0)
            }
            "month" => (date.with_day(1), 0, 1),
            "quarter" => (NaiveDate::from_ymd_opt(date.year(), date.month0() / 3 * 3 + 1, 1), 0, 3),
            "year" => (NaiveDate::from_ymd_opt(date.year(), 1, 1), 0, 12),
            other => return Err(bad(format!("start_of and end_of do not know {other:?}"))),
        };
        let next = |first: NaiveDate| {
            first.checked_add_days(Days::new(days))?.checked_add_months(Months::new(months))
        };
        Ok(first.and_then(|first| Some((first, next(first)?))))
    }

    /// The instant at which the clocks of the zone show this, as schedules have it: the second one where
    /// they show it twice, and moved forward where they leave it out.
    fn local(self, wall: Option<NaiveDateTime>) -> Result<Self, Error> {
        let zone = self.0.timezone();
        let instant = wall.and_then(|wall| instant_at(zone, wall)).ok_or_else(far)?;
        Ok(Self(instant.with_timezone(&zone)))
    }
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        let date = self.0;
        Some(match key.as_str()? {
            "year" => date.year().into(),
            "month" => date.month().into(),
            "day" => date.day().into(),
            "hour" => date.hour().into(),
            "minute" => date.minute().into(),
            "second" => date.second().into(),
            "microsecond" => date.timestamp_subsec_micros().into(),
            "day_of_week" => date.weekday().num_days_from_monday().into(),
            "day_of_year" => date.ordinal().into(),
            "int_timestamp" => date.timestamp().into(),
            "timezone_name" => date.timezone().name().into(),
            _ => return None,
        })
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Jinja],
    ) -> Result<Jinja, Error> {
        let one = || from_args::<(String,)>(args).map(|(text,)| text);
        match method {
            "strftime" => strftime(self.0, &one()?).map(Jinja::from),
            "format" => pendulum_format(self.0, &one()?).map(Jinja::from),
            "isoformat" | "to_iso8601_string" => Ok(self.iso().into()),
            "date" | "to_date_string" => Ok(self.ds().into()),
            "time" | "to_time_string" => Ok(self.0.format("%H:%M:%S").to_string().into()),
            "to_datetime_string" => Ok(self.0.format("%Y-%m-%d %H:%M:%S").to_string().into()),
            "naive" => Ok(self.0.format("%Y-%m-%d %H:%M:%S").to_string().into()),
            "timestamp" => Ok((self.0.timestamp_micros() as f64 / 1_000_000.0).into()),
            "weekday" => Ok(self.0.weekday().num_days_from_monday().into()),
            "isoweekday" => Ok(self.0.weekday().number_from_monday().into()),
            "add" | "subtract" => {
                let by = amount(args, if method == "add" { 1 } else { -1 })?;
                self.shifted(by).map(Jinja::from_object)
            }
            "start_of" => self.start_of(&one()?).map(Jinja::from_object),
            "end_of" => self.end_of(&one()?).map(Jinja::from_object),
            "in_timezone" | "in_tz" | "astimezone" => self.in_zone(&one()?).map(Jinja::from_object),
            "replace" => self.replace(args).map(Jinja::from_object),
            _ => Err(Error::new(ErrorKind::UnknownMethod, format!("dates have no {method}"))),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelt(' '))
    }
}

impl Moment {
    fn replace(self, args: &[Jinja]) -> Result<Self, Error> {
        let (named,): (Kwargs,) = from_args(args)?;
        let mut naive = self.0.naive_local();
        type Set = fn(&NaiveDateTime, u32) -> Option<NaiveDateTime>;
        let parts: [(&str, Set); 6] = [
            ("day", |date, _| date.with_day(1)),
            ("month", NaiveDateTime::with_month),
            ("day", NaiveDateTime::with_day),
            ("hour", NaiveDateTime::with_hour),
            ("minute", NaiveDateTime::with_minute),
            ("second", NaiveDateTime::with_second),
        ];
        let wrong = || bad("replace: no such date".to_owned());
        if let Some(year) = named.get::<Option<i32>>("year")? {
            naive = naive.with_year(year).ok_or_else(wrong)?;
        }
        if let Some(micros) = named.get::<Option<u32>>("microsecond")? {
            naive = naive.with_nanosecond(micros.saturating_mul(1_000)).ok_or_else(wrong)?;
        }
        for (name, set) in parts {
            if let Some(value) = named.get::<Option<u32>>(name)? {
                naive = set(&naive, value).ok_or_else(wrong)?;
            }
        }
        named.assert_all_used()?;
        self.local(Some(naive))
    }
}

/// How far a date is moved.
pub(super) struct Amount {
    pub(super) months: i64,
    /// The rest.
    pub(super) clock: TimeDelta,
    /// It has days or more: their lengths are the calendar's.
    is_wall: bool,
}

impl From<TimeDelta> for Amount {
    fn from(clock: TimeDelta) -> Self {
        Self { months: 0, clock, is_wall: false }
    }
}

/// `years=`, `months=`, `weeks=`, … or one timedelta.
pub(super) fn amount(args: &[Jinja], sign: i64) -> Result<Amount, Error> {
    if let [delta] = args
        && let Some(delta) = delta.downcast_object_ref::<Delta>()
    {
        return Ok((delta.0 * i32::try_from(sign).unwrap_or(1)).into());
    }
    let (named,): (Kwargs,) = from_args(args)?;
    let take = |name: &str| named.get::<Option<f64>>(name).map(Option::unwrap_or_default);
    let months = take("years")? * 12.0 + take("months")?;
    let days = take("weeks")? * 7.0 + take("days")?;
    let secs = days * 86_400.0
        + take("hours")? * 3_600.0
        + take("minutes")? * 60.0
        + take("seconds")?
        + take("microseconds")? / 1e6;
    named.assert_all_used()?;
    if months.abs() > 1e6 || secs.abs() > 1e12 {
        return Err(far());
    }
    let clock = TimeDelta::microseconds((secs * 1e6).round() as i64 * sign);
    Ok(Amount { months: months as i64 * sign, clock, is_wall: months != 0.0 || days != 0.0 })
}

/// Python's `strftime`.
pub(super) fn strftime(date: DateTime<Tz>, format: &str) -> Result<String, Error> {
    let mut text = String::new();
    // chrono's %f counts nanoseconds.
    write!(text, "{}", date.format(&format.replace("%f", "%6f")))
        .map_err(|_| bad(format!("{format:?} is not a strftime format")))?;
    Ok(text)
}

/// pendulum's `format`: `YYYY-MM-DD HH:mm:ss`; text in brackets stands as it is.
fn pendulum_format(date: DateTime<Tz>, format: &str) -> Result<String, Error> {
    const TOKENS: &[(&str, &str)] = &[
        ("YYYY", "%Y"),
        ("YY", "%y"),
        ("MMMM", "%B"),
        ("MMM", "%b"),
        ("MM", "%m"),
        ("M", "%-m"),
        ("DDDD", "%j"),
        ("DD", "%d"),
        ("D", "%-d"),
        ("dddd", "%A"),
        ("ddd", "%a"),
        ("HH", "%H"),
        ("H", "%-H"),
        ("hh", "%I"),
        ("h", "%-I"),
        ("mm", "%M"),
        ("m", "%-M"),
        ("ss", "%S"),
        ("s", "%-S"),
        ("SSSSSS", "%6f"),
        ("SSS", "%3f"),
        ("A", "%p"),
        ("ZZ", "%z"),
        ("Z", "%:z"),
        ("zz", "%Z"),
        ("z", "%Z"),
        ("X", "%s"),
    ];
    let mut chrono = String::new();
    let mut rest = format;
    'text: while let Some(first) = rest.chars().next() {
        if let Some((inside, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            chrono.push_str(&inside.replace('%', "%%"));
            rest = after;
            continue;
        }
        for (token, directive) in TOKENS {
            if let Some(after) = rest.strip_prefix(token) {
                chrono.push_str(directive);
                rest = after;
                continue 'text;
            }
        }
        chrono.push_str(if first == '%' { "%%" } else { &rest[..first.len_utf8()] });
        rest = &rest[first.len_utf8()..];
    }
    strftime(date, &chrono)
}

/// Airflow's filters over dates.
pub(super) fn add_filters(environment: &mut Environment<'_>) {
    type Filter = fn(Moment) -> String;
    let filters: [(&'static str, Filter); 5] = [
        ("ds", Moment::ds),
        ("ds_nodash", Moment::ds_nodash),
        ("ts", Moment::iso),
        ("ts_nodash", Moment::ts_nodash),
        ("ts_nodash_with_tz", Moment::ts_nodash_with_tz),
    ];
    for (name, filter) in filters {
        environment.add_filter(name, move |value: &Jinja| {
            let date = value.downcast_object_ref::<Moment>().copied();
            date.map(filter).ok_or_else(|| bad(format!("the filter {name} needs a date")))
        });
    }
}

pub(super) fn bad(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

pub(super) fn far() -> Error {
    bad("the date is out of range".to_owned())
}
