//! States as people see them: a word and a colour.

use subak_core::state::{RunState, TaskState};

use crate::text::Text;

/// A state's word, and the class that gives its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Badge {
    pub class: &'static str,
    pub label: &'static str,
}

impl Badge {
    /// Describes a task instance's state; `None`: nothing has happened to it yet.
    #[must_use]
    pub fn task(state: Option<TaskState>, t: &'static Text) -> Self {
        let Some(state) = state else { return Self { class: "s-none", label: t.state_none } };
        let (class, label) = match state {
            TaskState::Scheduled => ("s-waiting", t.state_scheduled),
            TaskState::Queued => ("s-waiting", t.state_queued),
            TaskState::Running => ("s-running", t.state_running),
            TaskState::Restarting => ("s-running", t.state_restarting),
            TaskState::UpForRetry => ("s-retry", t.state_up_for_retry),
            TaskState::UpForReschedule => ("s-retry", t.state_up_for_reschedule),
            TaskState::Deferred => ("s-deferred", t.state_deferred),
            TaskState::AwaitingInput => ("s-deferred", t.state_awaiting_input),
            TaskState::Success => ("s-success", t.state_success),
            TaskState::Failed => ("s-failed", t.state_failed),
            TaskState::Skipped => ("s-skipped", t.state_skipped),
            TaskState::UpstreamFailed => ("s-upstream", t.state_upstream_failed),
            TaskState::Removed => ("s-none", t.state_removed),
        };
        Self { class, label }
    }

    /// Describes a run's state.
    #[must_use]
    pub fn run(state: RunState, t: &'static Text) -> Self {
        let (class, label) = match state {
            RunState::Queued => ("s-waiting", t.state_queued),
            RunState::Running => ("s-running", t.state_running),
            RunState::Success => ("s-success", t.state_success),
            RunState::Failed => ("s-failed", t.state_failed),
        };
        Self { class, label }
    }
}
