//! The thirteen trigger rules, by counts of direct upstreams.
//!
//! The table is Airflow 3.3's (`TriggerRuleDep`); the vectors that Airflow made itself test it.

use serde::{Deserialize, Serialize};

use super::UpstreamCounts;
use crate::state::FinalState;

/// When a task may run, given how its direct upstreams ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TriggerRule {
    /// Every upstream succeeded.
    #[default]
    AllSuccess,
    /// Every upstream failed.
    AllFailed,
    /// Every upstream has ended, however.
    AllDone,
    /// Every upstream has ended, none was skipped, one at least succeeded.
    AllDoneMinOneSuccess,
    /// Every upstream has ended and, if there are setups among them, one of these succeeded.
    AllDoneSetupSuccess,
    /// As soon as one upstream succeeded.
    OneSuccess,
    /// As soon as one upstream failed.
    OneFailed,
    /// As soon as one upstream succeeded or failed.
    OneDone,
    /// Every upstream has ended and none failed.
    NoneFailed,
    /// Every upstream has ended, none failed, one at least succeeded.
    NoneFailedMinOneSuccess,
    /// Every upstream has ended and none was skipped.
    NoneSkipped,
    /// Every upstream was skipped.
    AllSkipped,
    /// At once, whatever the upstreams do.
    Always,
}

/// What a rule says of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet decided.
    Wait,
    /// It may run.
    Run,
    /// It will never run, and ends in this state.
    Settle(FinalState),
}

/// Why a task waits, runs or never will: shown by the scheduler's log, the API and the UI alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub rule: TriggerRule,
    pub upstreams: UpstreamCounts,
    pub text: String,
}

impl TriggerRule {
    /// All thirteen.
    pub const ALL: [Self; 13] = [
        Self::AllSuccess,
        Self::AllFailed,
        Self::AllDone,
        Self::AllDoneMinOneSuccess,
        Self::AllDoneSetupSuccess,
        Self::OneSuccess,
        Self::OneFailed,
        Self::OneDone,
        Self::NoneFailed,
        Self::NoneFailedMinOneSuccess,
        Self::NoneSkipped,
        Self::AllSkipped,
        Self::Always,
    ];

    /// Airflow's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllSuccess => "all_success",
            Self::AllFailed => "all_failed",
            Self::AllDone => "all_done",
            Self::AllDoneMinOneSuccess => "all_done_min_one_success",
            Self::AllDoneSetupSuccess => "all_done_setup_success",
            Self::OneSuccess => "one_success",
            Self::OneFailed => "one_failed",
            Self::OneDone => "one_done",
            Self::NoneFailed => "none_failed",
            Self::NoneFailedMinOneSuccess => "none_failed_min_one_success",
            Self::NoneSkipped => "none_skipped",
            Self::AllSkipped => "all_skipped",
            Self::Always => "always",
        }
    }
}

/// Judges a task by its rule, how its direct upstreams stand, and what else it waits for.
#[must_use]
pub fn judge(rule: TriggerRule, counts: &UpstreamCounts) -> Verdict {
    use FinalState::{Skipped, UpstreamFailed};
    let c = counts;
    if rule == TriggerRule::Always {
        return Verdict::Run;
    }
    if c.guards_failed > 0 {
        return Verdict::Settle(UpstreamFailed);
    }
    if c.guards_skipped > 0 {
        return Verdict::Settle(Skipped);
    }
    match by_rule(rule, counts) {
        Verdict::Settle(state) => Verdict::Settle(state),
        _ if c.sources_failed > 0 => Verdict::Settle(UpstreamFailed),
        _ if c.sources_skipped > 0 => Verdict::Settle(Skipped),
        Verdict::Run if c.guards_seen < c.guards => Verdict::Wait,
        verdict => verdict,
    }
}

/// Judges a task by its rule and how its direct upstreams stand.
fn by_rule(rule: TriggerRule, counts: &UpstreamCounts) -> Verdict {
    use FinalState::{Skipped, UpstreamFailed};
    let c = counts;
    let broken = c.failed + c.upstream_failed;
    let done = c.seen() >= c.needed;
    let settle = Verdict::Settle;
    match rule {
        TriggerRule::Always => Verdict::Run,
        _ if c.needed == 0 => Verdict::Run,
        TriggerRule::AllSuccess if broken > 0 => settle(UpstreamFailed),
        TriggerRule::AllSuccess if c.skipped > 0 => settle(Skipped),
        TriggerRule::AllFailed if c.success > 0 || c.skipped > 0 => settle(Skipped),
        TriggerRule::OneSuccess if c.success > 0 => Verdict::Run,
        TriggerRule::OneFailed if broken > 0 => Verdict::Run,
        TriggerRule::OneDone if c.success + c.failed > 0 => Verdict::Run,
        TriggerRule::NoneFailed | TriggerRule::NoneFailedMinOneSuccess if broken > 0 => {
            settle(UpstreamFailed)
        }
        TriggerRule::NoneSkipped | TriggerRule::AllDoneMinOneSuccess if c.skipped > 0 => {
            settle(Skipped)
        }
        TriggerRule::AllSkipped if c.success + broken > 0 => settle(Skipped),
        _ if !done => Verdict::Wait,
        // Without a setup upstream it is `all_done`.
        TriggerRule::AllDoneSetupSuccess if c.setups == 0 || c.setup_success > 0 => Verdict::Run,
        TriggerRule::AllDoneSetupSuccess if c.setup_skipped == c.setups => settle(Skipped),
        TriggerRule::AllDoneSetupSuccess => settle(UpstreamFailed),
        TriggerRule::OneSuccess | TriggerRule::NoneFailedMinOneSuccess
            if c.skipped > 0 && c.skipped == c.seen() =>
        {
            settle(Skipped)
        }
        TriggerRule::OneSuccess => settle(UpstreamFailed),
        TriggerRule::NoneFailedMinOneSuccess | TriggerRule::AllDoneMinOneSuccess
            if c.success == 0 =>
        {
            settle(UpstreamFailed)
        }
        TriggerRule::OneFailed | TriggerRule::OneDone => settle(Skipped),
        _ => Verdict::Run,
    }
}

impl Reason {
    /// Says why `judge` decided as it did.
    #[must_use]
    pub fn of(rule: TriggerRule, upstreams: UpstreamCounts) -> Self {
        let c = &upstreams;
        let verdict = match judge(rule, c) {
            Verdict::Wait => format!("waits for {} of {} upstreams", c.needed - c.seen(), c.needed),
            Verdict::Run => "may run".to_owned(),
            Verdict::Settle(state) => format!("ends as {}", crate::state::TaskState::from(state)),
        };
        let text = format!(
            "{}: {verdict} ({} succeeded, {} failed, {} skipped, {} upstream_failed, {} removed)",
            rule.as_str(),
            c.success,
            c.failed,
            c.skipped,
            c.upstream_failed,
            c.removed
        );
        Self { rule, upstreams, text }
    }
}

#[cfg(test)]
mod tests;
