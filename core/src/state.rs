//! States of task instances and runs, and the one function by which a task instance changes state.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a task instance stands. Airflow's states; "no status" is the absence of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Could run, held back by a limit, or because its DAG is paused.
    Scheduled,
    /// Ready: waits for a free slot.
    Queued,
    /// Held by a worker under a lease.
    Running,
    /// Cleared while running: waits for the worker to end it.
    Restarting,
    /// Failed, and waits for the next try.
    UpForRetry,
    /// A sensor between two looks.
    UpForReschedule,
    /// Waits for something outside without a slot.
    Deferred,
    /// Waits for a person.
    AwaitingInput,
    Success,
    Failed,
    Skipped,
    UpstreamFailed,
    /// The task is no longer part of the DAG, or its map index of the mapping.
    Removed,
}

/// What may happen to a task instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskEvent {
    /// Its rule holds; a limit, or its DAG's pause, holds it back.
    HeldBack,
    /// Its rule holds, or its timer fired, or a limit let go.
    Readied,
    /// A worker's slot took it.
    HandedOver,
    /// The worker could not take it after all: no try is counted.
    Refused,
    /// Its try ended, or a rule settled it.
    Settled(FinalState),
    /// A branch, or a failure that stops everything, skips what an upstream had failed.
    Overruled,
    /// Its try failed and another follows later.
    RetryLater,
    /// Its try waits for an event or an instant without a slot.
    Deferred,
    /// A user cleared it.
    Cleared,
}

/// A state that only a user's clear can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalState {
    Success,
    Failed,
    Skipped,
    UpstreamFailed,
    Removed,
}

/// A change of state that cannot happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a task instance in state {from:?} cannot take {event:?}")]
pub struct IllegalTransition {
    pub from: Option<TaskState>,
    pub event: TaskEvent,
}

impl TaskState {
    /// All states, in the order of a task's life.
    pub const ALL: [Self; 13] = [
        Self::Scheduled,
        Self::Queued,
        Self::Running,
        Self::Restarting,
        Self::UpForRetry,
        Self::UpForReschedule,
        Self::Deferred,
        Self::AwaitingInput,
        Self::Success,
        Self::Failed,
        Self::Skipped,
        Self::UpstreamFailed,
        Self::Removed,
    ];

    /// Returns the state that follows `event` (`None`: no status), or an error if it cannot happen.
    pub fn on(from: Option<Self>, event: TaskEvent) -> Result<Option<Self>, IllegalTransition> {
        use TaskEvent as E;
        use TaskState as S;
        let to = match (from, event) {
            (None, E::HeldBack) => S::Scheduled,
            (
                None
                | Some(
                    S::Scheduled
                    | S::UpForRetry
                    | S::UpForReschedule
                    | S::Deferred
                    | S::AwaitingInput
                    // The worker confirmed the end of a cleared try.
                    | S::Restarting,
                ),
                E::Readied,
            ) => S::Queued,
            // A due retry, or a cleared try that ended, finds the limit reached; what is ready finds its DAG
            // paused.
            (Some(S::UpForRetry | S::Restarting | S::Queued), E::HeldBack) => S::Scheduled,
            (Some(S::Queued), E::HandedOver) => S::Running,
            (Some(S::Running), E::Refused) => S::Queued,
            // A rule settles what never ran; a cancel also what waits.
            (
                None
                | Some(
                    S::Scheduled
                    | S::Queued
                    | S::UpForRetry
                    | S::UpForReschedule
                    | S::Deferred
                    | S::AwaitingInput
                    | S::Running
                    // Cancelled after it was cleared.
                    | S::Restarting,
                ),
                E::Settled(end),
            ) => end.into(),
            (Some(S::UpstreamFailed), E::Overruled) => S::Skipped,
            (Some(S::Running), E::RetryLater) => S::UpForRetry,
            (Some(S::Running), E::Deferred) => S::Deferred,
            (Some(S::Running | S::Restarting), E::Cleared) => S::Restarting,
            (Some(state), E::Cleared) if state != S::Removed => return Ok(None),
            (from, event) => return Err(IllegalTransition { from, event }),
        };
        Ok(Some(to))
    }

    /// Whether only a clear can change it.
    #[must_use]
    pub fn is_final(self) -> bool {
        self.to_final().is_some()
    }

    /// Returns the final state that this is, if it is one.
    #[must_use]
    pub fn to_final(self) -> Option<FinalState> {
        match self {
            Self::Success => Some(FinalState::Success),
            Self::Failed => Some(FinalState::Failed),
            Self::Skipped => Some(FinalState::Skipped),
            Self::UpstreamFailed => Some(FinalState::UpstreamFailed),
            Self::Removed => Some(FinalState::Removed),
            _ => None,
        }
    }

    /// Whether a worker session holds it.
    #[must_use]
    pub fn is_held(self) -> bool {
        matches!(self, Self::Running | Self::Restarting)
    }

    /// Airflow's spelling, used in the database, the API and the UI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::UpForRetry => "up_for_retry",
            Self::UpForReschedule => "up_for_reschedule",
            Self::Deferred => "deferred",
            Self::AwaitingInput => "awaiting_input",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::UpstreamFailed => "upstream_failed",
            Self::Removed => "removed",
        }
    }

    /// Returns the state of this spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl From<FinalState> for TaskState {
    fn from(state: FinalState) -> Self {
        match state {
            FinalState::Success => Self::Success,
            FinalState::Failed => Self::Failed,
            FinalState::Skipped => Self::Skipped,
            FinalState::UpstreamFailed => Self::UpstreamFailed,
            FinalState::Removed => Self::Removed,
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a DAG run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Waits for `max_active_runs`.
    Queued,
    Running,
    Success,
    Failed,
}

impl RunState {
    /// Airflow's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
        }
    }

    /// Returns the state of this spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Queued, Self::Running, Self::Success, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == text)
    }

    /// Whether the run has ended.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failed)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What made a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunType {
    Manual,
    Scheduled,
    Backfill,
}

impl RunType {
    /// Airflow's types, also those that no run here has.
    pub const AIRFLOWS: [&'static str; 6] = [
        "manual",
        "scheduled",
        "backfill",
        "operator_triggered",
        "asset_triggered",
        "asset_materialization",
    ];

    /// Airflow's spelling, also the prefix of a run id.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Scheduled => "scheduled",
            Self::Backfill => "backfill",
        }
    }
}

#[cfg(test)]
mod tests;
