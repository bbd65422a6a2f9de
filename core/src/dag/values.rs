//! Values of a DAG file that are more than YAML knows: durations, dates, time zones.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use chrono_tz::Tz;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};

use super::model::{POOL_NAME_MOST, is_pool_name};
use super::yaml::POSITIVE;
use super::{did_you_mean, duration};
use crate::schedule;

/// A date or an instant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Instant {
    /// It names its offset.
    At(DateTime<Utc>),
    /// On the clocks of the DAG's time zone.
    Wall(NaiveDateTime),
}

/// A length of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span(pub Duration);

/// A length of time after which something is ended; never 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(pub Duration);

/// A whole number from 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Positive(pub u32);

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share(pub f64);

/// `retry_exponential_backoff`: true, or how many times as long each delay is as the one before.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Backoff {
    pub grows: bool,
    /// Twice, if absent.
    pub factor: Option<f64>,
}

/// The name of a pool.
#[derive(Debug, Clone)]
pub(crate) struct Pool(pub String);

/// The name of a queue.
#[derive(Debug, Clone)]
pub(crate) struct Queue(pub String);

/// The name of a time zone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Zone(pub Tz);

const LIMIT: &str = "a duration of a millisecond or more; without the key there is no limit";

/// One text or several.
#[derive(Debug, Clone)]
pub(crate) struct Texts(pub Vec<String>);

/// Reads a value through a function from text.
fn from_text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    struct Text<F>(&'static str, F);
    impl<T, F: Fn(&str) -> Result<T, String>> Visitor<'_> for Text<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            (self.1)(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Text(expected, parse))
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a date such as 2026-11-01 or 2026-11-01T06:00:00Z";
        from_text(deserializer, expected, |text| {
            instant(text).ok_or_else(|| format!("expected {expected}, found {text:?}"))
        })
    }
}

/// Reads `2026-11-01`, `2026-11-01 06:00`, `2026-11-01T06:00:00Z` and offsets.
pub(super) fn instant(text: &str) -> Option<Instant> {
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(Instant::Wall(date.and_time(chrono::NaiveTime::MIN)));
    }
    let text = text.replacen(' ', "T", 1);
    if let Ok(instant) = DateTime::parse_from_rfc3339(&text) {
        return Some(Instant::At(instant.to_utc()));
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok())
        .map(Instant::Wall)
}

impl Instant {
    /// The instant it is in a time zone.
    pub(crate) fn in_zone(self, zone: Tz) -> DateTime<Utc> {
        match self {
            Self::At(instant) => instant,
            Self::Wall(wall) => schedule::instant_at(zone, wall).unwrap_or_else(|| wall.and_utc()),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(duration::EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                duration::parse(text).map(Span).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, secs: u64) -> Result<Span, E> {
                duration::bounded(Duration::from_secs(secs)).map(Span).map_err(E::custom)
            }

            fn visit_f64<E: de::Error>(self, secs: f64) -> Result<Span, E> {
                duration::from_secs(secs).map(Span).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Span(limit) = Span::deserialize(deserializer)?;
        // No time at all, or no limit: 0 could mean either.
        if limit < Duration::from_millis(1) {
            return Err(de::Error::custom(format!("expected {LIMIT}")));
        }
        Ok(Self(limit))
    }
}

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Positive;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(POSITIVE)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Positive, E> {
                match u32::try_from(number) {
                    Ok(0) => Err(E::custom(format!("expected {POSITIVE}, found 0"))),
                    Ok(number) => Ok(Positive(number)),
                    Err(_) => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
                }
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?;
        if (0.0..=1.0).contains(&share) {
            return Ok(Self(share));
        }
        Err(de::Error::custom(format!("expected a number from 0 to 1, found {share}")))
    }
}

impl Backoff {
    fn times<E: de::Error>(factor: f64) -> Result<Self, E> {
        match factor {
            // Airflow's ways to say that it does not grow.
            0.0 | 1.0 => Ok(Self::default()),
            1.0..=100.0 => Ok(Self { grows: true, factor: Some(factor) }),
            _ => Err(E::custom(format!("expected {BACKOFF}, found {factor}"))),
        }
    }
}

const BACKOFF: &str = "true, false or a factor from 1 to 100";

impl<'de> Deserialize<'de> for Backoff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Backoff;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(BACKOFF)
            }

            fn visit_bool<E: de::Error>(self, grows: bool) -> Result<Backoff, E> {
                Ok(Backoff { grows, factor: None })
            }

            fn visit_u64<E: de::Error>(self, factor: u64) -> Result<Backoff, E> {
                Backoff::times(factor as f64)
            }

            fn visit_f64<E: de::Error>(self, factor: f64) -> Result<Backoff, E> {
                Backoff::times(factor)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl<'de> Deserialize<'de> for Pool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, "the name of a pool", |name| match is_pool_name(name) {
            true => Ok(Self(name.to_owned())),
            false => {
                Err(format!("{name:?} is no name of a pool: 1 to {POOL_NAME_MOST} characters"))
            }
        })
    }
}

impl<'de> Deserialize<'de> for Queue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's word for a text: it is told as for any other.
        from_text(deserializer, "a string", |name| match name.trim().is_empty() {
            true => Err(format!("{name:?} is no name of a queue: no worker would take the task")),
            false => Ok(Self(name.to_owned())),
        })
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, "the name of a time zone such as Asia/Jakarta", |name| {
            name.parse().map(Self).map_err(|_| {
                let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
                format!("unknown time zone {name:?}{}", did_you_mean(name, known))
            })
        })
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

/// The schema of a type that is read by hand.
macro_rules! schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

schema!(Instant, "Instant", {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$",
});
schema!(Span, "Duration", {
    "anyOf": [{ "type": "string" }, { "type": "number", "minimum": 0 }],
    "description": "30s, 10m, 1h30m, a number of seconds, or ISO 8601 (PT5M)",
});
schema!(Limit, "Limit", {
    "anyOf": [{ "type": "string" }, { "type": "number", "exclusiveMinimum": 0 }],
    "description": "30s, 10m, 1h30m, a number of seconds, or ISO 8601 (PT5M); without it there is no limit",
});
schema!(Positive, "Positive", { "type": "integer", "minimum": 1, "maximum": u32::MAX });
schema!(Share, "Share", { "type": "number", "minimum": 0, "maximum": 1 });
schema!(Backoff, "Backoff", { "type": ["boolean", "number"], "minimum": 0, "maximum": 100 });
schema!(Pool, "Pool", { "type": "string", "minLength": 1, "maxLength": 256 });
schema!(Queue, "Queue", { "type": "string", "minLength": 1 });
schema!(Zone, "TimeZone", {
    "type": "string",
    "description": "An IANA name: UTC, Asia/Jakarta, America/New_York",
});
schema!(Texts, "Texts", {
    "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
});
