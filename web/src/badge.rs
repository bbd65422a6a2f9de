//! States as people see them: a word, a colour and a sign, because not everybody sees colours.

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

    /// Describes the state of a dead letter.
    #[must_use]
    pub fn letter(state: &str, t: &'static Text) -> Self {
        let (class, label) = match state {
            "open" => ("s-retry", t.state_open),
            "replayed" => ("s-success", t.state_replayed),
            "superseded" => ("s-none", t.state_superseded),
            _ => ("s-skipped", t.state_dismissed),
        };
        Self { class, label }
    }

    /// What several tasks show is the state of which this is least: what is worst of them.
    #[must_use]
    pub fn trouble(state: Option<TaskState>) -> u8 {
        match state {
            Some(TaskState::Failed) => 0,
            Some(TaskState::UpstreamFailed) => 1,
            Some(TaskState::UpForRetry) => 2,
            Some(TaskState::Running | TaskState::Restarting) => 3,
            Some(state) if !state.is_final() => 4,
            None => 5,
            Some(TaskState::Success) => 6,
            Some(_) => 7,
        }
    }

    /// Returns the sign of the state, as markup.
    #[must_use]
    pub fn icon(&self) -> &'static str {
        icon(self.class)
    }

    /// Whether a message beside it tells of something that went wrong, and not of why it was skipped.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.class != "s-skipped"
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

/// Wraps a drawing of 16 by 16. `d`: a disc in the state's colour, `k`: a line cut out of it, `o`: a
/// line in the colour.
macro_rules! icon {
    ($class:literal, $drawing:literal) => {
        concat!(
            "<svg class=\"",
            $class,
            "\" viewBox=\"0 0 16 16\" width=\"14\" height=\"14\" aria-hidden=\"true\">",
            $drawing,
            "</svg>"
        )
    };
    ($line:literal) => {
        concat!(
            "<svg class=\"ic\" viewBox=\"0 0 16 16\" width=\"14\" height=\"14\" aria-hidden=\"true\">",
            "<circle class=\"d\" cx=\"8\" cy=\"8\" r=\"7\"/><path class=\"k\" d=\"",
            $line,
            "\"/></svg>"
        )
    };
}

pub(crate) fn icon(class: &str) -> &'static str {
    match class {
        "s-success" => icon!("M4.8 8.3 7 10.5l4.2-4.8"),
        "s-failed" => icon!("m5.5 5.5 5 5m0-5-5 5"),
        "s-waiting" => icon!("M8 4.5V8l2.3 1.5"),
        "s-retry" => icon!("M11 8a3 3 0 1 1-1-2.2M10.6 3.9v2.2H8.4"),
        "s-deferred" => icon!("M6.3 5.5v5m3.4-5v5"),
        "s-skipped" => icon!("m5 5.5 2.5 2.5L5 10.5m3.5-5L11 8l-2.5 2.5"),
        "s-upstream" => icon!("M8 11.2V5M5.4 7.4 8 4.8l2.6 2.6"),
        "s-running" => icon!(
            "ic spin",
            "<circle class=\"o w\" cx=\"8\" cy=\"8\" r=\"6\"/><path class=\"o\" d=\"M8 2a6 6 0 0 1 6 6\"/>"
        ),
        _ => icon!("ic", "<circle class=\"o dash\" cx=\"8\" cy=\"8\" r=\"6\"/>"),
    }
}
