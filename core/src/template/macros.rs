//! Airflow's `macros`: dates made and moved.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use minijinja::value::{DynObject, Object, ObjectRepr, Rest, Value as Jinja, from_args};
use minijinja::{Error, ErrorKind, State};

use super::datetime::{Amount, Moment, amount, bad, far, strftime};

/// A span of time: `macros.timedelta(days=1)`, or between two dates.
#[derive(Debug)]
pub(super) struct Delta(pub TimeDelta);

impl Object for Delta {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        let (days, secs, micros) = self.parts();
        match key.as_str()? {
            "days" => Some(days.into()),
            "seconds" => Some(secs.into()),
            "microseconds" => Some(micros.into()),
            _ => None,
        }
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Jinja],
    ) -> Result<Jinja, Error> {
        from_args::<()>(args)?;
        match method {
            "total_seconds" => Ok((self.0.num_milliseconds() as f64 / 1e3).into()),
            "in_days" => Ok(self.0.num_days().into()),
            "in_hours" => Ok(self.0.num_hours().into()),
            "in_minutes" => Ok(self.0.num_minutes().into()),
            "in_seconds" => Ok(self.0.num_seconds().into()),
            _ => Err(Error::new(ErrorKind::UnknownMethod, format!("timedelta has no {method}"))),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, secs, micros) = self.parts();
        if days != 0 {
            let plural = if days.abs() == 1 { "" } else { "s" };
            write!(f, "{days} day{plural}, ")?;
        }
        write!(f, "{}:{:02}:{:02}", secs / 3_600, secs / 60 % 60, secs % 60)?;
        if micros == 0 { Ok(()) } else { write!(f, ".{micros:06}") }
    }
}

impl Delta {
    /// Days, and the seconds and microseconds of the last one: Python's way, so that an hour less than
    /// nothing is -1 day and 23 hours.
    fn parts(&self) -> (i64, i64, i64) {
        let micros =
            i128::from(self.0.num_seconds()) * 1_000_000 + i128::from(self.0.subsec_micros());
        let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
        (days as i64, (rest / 1_000_000) as i64, (rest % 1_000_000) as i64)
    }
}

/// `macros.timedelta`: called with days, or with `days=`, `hours=`, ….
#[derive(Debug)]
struct DeltaClass;

impl Object for DeltaClass {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Jinja]) -> Result<Jinja, Error> {
        let Amount { months, clock, .. } = match args {
            [days] if days.is_number() => {
                let days = f64::try_from(days.clone())?;
                let span = TimeDelta::try_milliseconds((days * 86_400_000.0) as i64);
                Amount::from(span.ok_or_else(far)?)
            }
            _ => amount(args, 1)?,
        };
        if months != 0 {
            return Err(bad("timedelta has no months or years".to_owned()));
        }
        Ok(Jinja::from_object(Delta(clock)))
    }
}

/// `macros.datetime`: called for a date, or asked to read one.
#[derive(Debug)]
struct DateTimeClass;

impl Object for DateTimeClass {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Jinja]) -> Result<Jinja, Error> {
        let (year, month, day, time): (i32, u32, u32, Rest<u32>) = from_args(args)?;
        let part = |index: usize| time.get(index).copied().unwrap_or(0);
        NaiveDate::from_ymd_opt(year, month, day)
            .and_then(|date| date.and_hms_opt(part(0), part(1), part(2)))
            .map(|naive| Moment::value(naive.and_utc()))
            .ok_or_else(|| bad("no such date".to_owned()))
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Jinja],
    ) -> Result<Jinja, Error> {
        match method {
            "strptime" => {
                let (text, format): (String, String) = from_args(args)?;
                strptime(&text, &format).map(|naive| Moment::value(naive.and_utc()))
            }
            "fromisoformat" => {
                let (text,): (String,) = from_args(args)?;
                iso(&text).map(Moment::value)
            }
            _ => Err(Error::new(ErrorKind::UnknownMethod, format!("datetime has no {method}"))),
        }
    }
}

fn strptime(text: &str, format: &str) -> Result<NaiveDateTime, Error> {
    NaiveDateTime::parse_from_str(text, format)
        .or_else(|_| {
            NaiveDate::parse_from_str(text, format)
                .map(|date| date.and_time(chrono::NaiveTime::MIN))
        })
        .map_err(|_| bad(format!("{text:?} does not fit the format {format:?}")))
}

fn iso(text: &str) -> Result<DateTime<Utc>, Error> {
    DateTime::parse_from_rfc3339(&text.replacen(' ', "T", 1))
        .map(|date| date.to_utc())
        .or_else(|_| strptime(text, "%Y-%m-%d").map(|naive| naive.and_utc()))
        .or_else(|_| strptime(text, "%Y-%m-%dT%H:%M:%S").map(|naive| naive.and_utc()))
}

/// Airflow's macros that need no server.
pub(super) const MACROS: &[&str] = &["ds_add", "ds_format", "datetime", "timedelta"];

/// `macros` of a template.
pub(super) fn macros() -> Jinja {
    let ds_add = |ds: String, days: i64| -> Result<String, Error> {
        let date = strptime(&ds, "%Y-%m-%d")?;
        let moved = TimeDelta::try_days(days).and_then(|days| date.checked_add_signed(days));
        Ok(moved.ok_or_else(far)?.format("%Y-%m-%d").to_string())
    };
    let ds_format = |ds: String, input: String, output: String| -> Result<String, Error> {
        let date = strptime(&ds, &input)?.and_utc().with_timezone(&Tz::UTC);
        strftime(date, &output)
    };
    Jinja::from_pairs([
        ("ds_add", Jinja::from_function(ds_add)),
        ("ds_format", Jinja::from_function(ds_format)),
        ("timedelta", Jinja::from_object(DeltaClass)),
        ("datetime", Jinja::from_object(DateTimeClass)),
    ])
}
