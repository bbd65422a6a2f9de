//! Identifiers as types, so that a task's number is never taken for a map index.

use std::fmt;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::state::RunType;

/// Names a DAG: letters, digits, `-`, `.` and `_`, at most 250 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DagId(pub String);

/// Names a task within its DAG.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub String);

impl fmt::Display for DagId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for DagId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

impl From<&str> for TaskId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

/// The engine's key of a DAG run. Its upper bits are the day of the run's creation, so that history
/// partitioned by ranges of this key is partitioned by day, and a look-up by key prunes exactly.
///
/// People see the run id (`manual__2026-11-20T…`), a string; programs outside see the run's UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunKey(pub i64);

impl RunKey {
    /// Bits below the day: 2^40 runs a day, and days until the year 24,936.
    pub const DAY_SHIFT: u32 = 40;

    /// The smallest key of a run created on `day`; the largest is the next day's less one.
    #[must_use]
    pub fn first_of(day: NaiveDate) -> Self {
        let days = day.signed_duration_since(NaiveDate::default()).num_days();
        Self(days << Self::DAY_SHIFT)
    }

    /// The UTC day on which the run was created.
    #[must_use]
    pub fn day(self) -> NaiveDate {
        NaiveDate::default() + TimeDelta::days(self.0 >> Self::DAY_SHIFT)
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A task's number within its DAG, stable across the DAG's versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskNo(pub i32);

/// Which instance of a mapped task; [`MapIndex::NONE`] for a task that is not mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MapIndex(pub i32);

impl MapIndex {
    /// Airflow's `-1`: not mapped.
    pub const NONE: Self = Self(-1);

    /// Whether it is [`Self::NONE`].
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 < 0
    }
}

/// One task instance of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceKey {
    pub run: RunKey,
    pub task: TaskNo,
    pub map_index: MapIndex,
}

/// One task instance within its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance {
    pub task: TaskNo,
    pub map_index: MapIndex,
}

impl Instance {
    /// The one instance of a task that is not mapped, or not yet expanded.
    #[must_use]
    pub const fn single(task: TaskNo) -> Self {
        Self { task, map_index: MapIndex::NONE }
    }

    /// The instance with this map index.
    #[must_use]
    pub const fn mapped(task: TaskNo, index: i32) -> Self {
        Self { task, map_index: MapIndex(index) }
    }
}

impl From<TaskNo> for Instance {
    fn from(task: TaskNo) -> Self {
        Self::single(task)
    }
}

impl InstanceKey {
    /// The instance within its run.
    #[must_use]
    pub const fn instance(self) -> Instance {
        Instance { task: self.task, map_index: self.map_index }
    }
}

/// Drawn from a sequence at each hand-over and never reused: a later token supersedes an earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FencingToken(pub i64);

/// A worker's session with the servers: one lease. Random, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub i64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Airflow's run id: `scheduled__<run_after>` or `manual__<…>`.
#[must_use]
pub fn run_id(run_type: &str, instant: DateTime<Utc>) -> String {
    let micros = if instant.timestamp_subsec_micros() == 0 {
        chrono::SecondsFormat::Secs
    } else {
        chrono::SecondsFormat::Micros
    };
    format!("{run_type}__{}", instant.to_rfc3339_opts(micros, false))
}

/// The longest run id, as Airflow has it.
const RUN_ID_LONGEST: usize = 250;

/// Checks a run id that somebody chose: Airflow's characters, none of which a shell or Python would
/// read as anything but text, and no name that a run of another type would have: it would take its
/// place. Returns what is wrong with it.
pub fn check_run_id(id: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.~:+-".contains(c);
    if id.is_empty() || id.len() > RUN_ID_LONGEST {
        return Err(format!("a run id has 1 to {RUN_ID_LONGEST} characters"));
    }
    if let Some(c) = id.chars().find(|c| !allowed(*c)) {
        return Err(format!(
            "the run id {id:?} holds {c:?}: only letters, digits, _ . ~ : + and - may stand there"
        ));
    }
    let has = |of: &str| id.strip_prefix(of).is_some_and(|rest| rest.starts_with("__"));
    match RunType::AIRFLOWS.into_iter().find(|of| has(of)) {
        Some(of) if of != RunType::Manual.as_str() => Err(format!(
            "the run id `{id}` begins with `{of}__`, as only runs of type {of} do: choose another"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_key_knows_its_day() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 20).unwrap();
        let first = RunKey::first_of(day);
        assert_eq!(first.day(), day);
        assert_eq!(RunKey(first.0 + 12_345).day(), day);
        assert_eq!(RunKey(first.0 - 1).day(), day.pred_opt().unwrap());
    }

    #[test]
    fn a_run_id_holds_nothing_that_a_shell_would_run() {
        for good in
            ["manual__2026-11-20T01:02:03.000456+00:00", "a~b_C.9", &"x".repeat(250), "scheduled_x"]
        {
            assert_eq!(check_run_id(good), Ok(()), "{good}");
        }
        let bad = ["", "a b", "x$(id)", "x;id", "a\nb", "a'b", "a\"b", "a/b", "é", "a\0b"];
        for bad in bad.into_iter().chain([&*"x".repeat(251)]) {
            assert!(check_run_id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_run_id_takes_no_other_runs_place() {
        for of in ["scheduled", "backfill", "asset_triggered"] {
            let why = check_run_id(&format!("{of}__2026-11-20T01:00:00+00:00")).unwrap_err();
            assert!(why.contains(&format!("begins with `{of}__`")), "{why}");
        }
    }

    #[test]
    fn run_ids_are_spelt_as_airflow_spells_them() {
        let tick = DateTime::parse_from_rfc3339("2026-11-20T01:00:00Z").unwrap().to_utc();
        assert_eq!(run_id("scheduled", tick), "scheduled__2026-11-20T01:00:00+00:00");
        let now = DateTime::parse_from_rfc3339("2026-11-20T01:02:03.000456Z").unwrap().to_utc();
        assert_eq!(run_id("manual", now), "manual__2026-11-20T01:02:03.000456+00:00");
    }
}
