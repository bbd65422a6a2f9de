//! When runs start by themselves: cron expressions as Airflow reads them, and the next run of a DAG.
//!
//! Pure arithmetic over instants: the caller brings the clock.

mod cron;
mod field;
mod instants;
mod timetable;
mod words;
mod zoned;

pub use chrono_tz::Tz;
pub use cron::{Cron, CronError};
pub use timetable::{Interval, Tick, Timetable};
pub use words::{Phrases, in_words, in_words_of, summary};
pub use zoned::{ZonedCron, instant_at};

/// Airflow's names of common schedules.
const PRESETS: &[(&str, &str)] = &[
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@quarterly", "0 0 1 */3 *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Schedules that are no cron expression.
const OTHERS: &[&str] = &["@once", "@continuous"];

/// The names that stand alone.
pub(crate) fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name).chain(OTHERS.iter().copied())
}

/// Returns the cron expression of five fields that `text` stands for, or what is wrong with it and
/// which part of it that is.
pub fn resolve(text: &str) -> Result<String, (String, String)> {
    let trimmed = text.trim();
    let wrong = |reason: String| (reason, trimmed.to_owned());
    if trimmed.starts_with('@') {
        let lower = trimmed.to_lowercase();
        let found = PRESETS.iter().find(|(name, _)| *name == lower);
        return found.map(|(_, cron)| (*cron).to_owned()).ok_or_else(|| {
            let near = crate::dag::did_you_mean(trimmed, preset_names());
            wrong(format!("unknown schedule {trimmed:?}{near}"))
        });
    }
    let cron =
        ZonedCron::parse(trimmed, Tz::UTC).map_err(|error| (error.to_string(), error.word))?;
    if cron.next_after(chrono::DateTime::UNIX_EPOCH).is_none() {
        return Err(wrong(format!("cron expression {trimmed:?} never fires: no such day exists")));
    }
    Ok(trimmed.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests;
