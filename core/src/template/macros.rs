//! Airflow's `macros`: dates made and moved.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use minijinja::value::{Object, ObjectRepr, Rest, Value as Jinja, from_args};
use minijinja::{Error, ErrorKind, State};

use super::datetime::{Moment, amount, bad, far, strftime};

/// `macros.timedelta(days=1)`.
#[derive(Debug)]
pub(super) struct Delta(pub TimeDelta);

impl Object for Delta {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        _: &[Jinja],
    ) -> Result<Jinja, Error> {
        match method {
            "total_seconds" => Ok((self.0.num_milliseconds() as f64 / 1e3).into()),
            _ => Err(Error::new(ErrorKind::UnknownMethod, format!("timedelta has no {method}"))),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.num_seconds();
        write!(f, "{}:{:02}:{:02}", secs / 3_600, secs / 60 % 60, secs % 60)
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
        let (months, clock) = match args {
            [days] if days.is_number() => {
                let days = f64::try_from(days.clone())?;
                (0, TimeDelta::milliseconds((days * 86_400_000.0) as i64))
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
