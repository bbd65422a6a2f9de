//! When runs start by themselves: cron expressions as Airflow reads them, and the next run of a DAG.
//!
//! Pure arithmetic over instants: the caller brings the clock.

mod cron;
mod field;
mod timetable;

pub use cron::{Cron, CronError};
pub use timetable::{Tick, next_run};

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

/// Returns the cron expression of five fields that `text` stands for, or what is wrong with it.
pub fn resolve(text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    if matches!(trimmed, "@once" | "@continuous") {
        return Err(format!("schedule {trimmed} is not supported yet: write cron"));
    }
    if trimmed.starts_with('@') {
        let lower = trimmed.to_lowercase();
        let found = PRESETS.iter().find(|(name, _)| *name == lower);
        return found.map(|(_, cron)| (*cron).to_owned()).ok_or_else(|| {
            let near = crate::dag::did_you_mean(trimmed, PRESETS.iter().map(|(name, _)| *name));
            format!("unknown schedule {trimmed:?}{near}")
        });
    }
    let cron = Cron::parse(trimmed).map_err(|error| error.to_string())?;
    if cron.next_after(chrono::DateTime::UNIX_EPOCH).is_none() {
        return Err(format!("cron expression {trimmed:?} never fires: no such day exists"));
    }
    Ok(trimmed.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests;
