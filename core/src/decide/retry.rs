//! Whether a failed try is followed by another, and when.

use std::borrow::Cow;
use std::time::Duration;

use crate::dag::model::{ErrorClass, RetryRule, Task};

/// How often and how fast a task is tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    pub retries: u32,
    pub delay: Duration,
    /// How many times as long each delay is as the one before; 1: it does not grow.
    pub factor: f64,
    pub max_delay: Duration,
    /// Share of the delay that chance adds at most, 0 to 1.
    pub jitter: f64,
    /// About failures of one class or exit code; the first that fits decides.
    pub rules: Vec<RetryRule>,
}

/// How a try failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryEnd {
    /// Another try may succeed.
    Transient,
    /// Another try would fail the same way.
    Permanent,
    /// The worker was lost: not the task's fault.
    WorkerLost,
}

/// Airflow's bound of an exponential delay.
const MAX_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Lost workers that cost the user no retry.
const FREE_LOSSES: u32 = 3;

impl RetryPolicy {
    /// Returns the policy of a task.
    #[must_use]
    pub fn of(task: &Task) -> Self {
        Self {
            retries: task.retries,
            delay: task.retry_delay,
            factor: task.backoff_factor(),
            max_delay: task.max_retry_delay.unwrap_or(MAX_DELAY),
            jitter: task.retry_jitter,
            rules: task.retry_policy.clone(),
        }
    }

    /// The policy for one failed try, and how it counts: as its first rule that fits says. A lost worker
    /// is no failure of the task.
    #[must_use]
    pub fn of_failure(&self, end: TryEnd, exit_code: Option<i32>) -> (Cow<'_, Self>, TryEnd) {
        let class = match end {
            TryEnd::Transient => ErrorClass::Transient,
            TryEnd::Permanent => ErrorClass::Permanent,
            TryEnd::WorkerLost => return (Cow::Borrowed(self), end),
        };
        let Some(rule) = self.rules.iter().find(|rule| rule.fits(class, exit_code)) else {
            return (Cow::Borrowed(self), end);
        };
        if !rule.retry {
            return (Cow::Borrowed(self), TryEnd::Permanent);
        }
        let changed = Self {
            retries: rule.retries.unwrap_or(self.retries),
            delay: rule.retry_delay.unwrap_or(self.delay),
            ..self.clone()
        };
        (Cow::Owned(changed), TryEnd::Transient)
    }

    /// The delay before the try that follows `failed` failed ones; `chance` is drawn from 0 to 1.
    #[must_use]
    pub fn delay_after(&self, failed: u32, chance: f64) -> Duration {
        let factor = self.factor.powi(failed.clamp(1, 64) as i32 - 1);
        // Only growth needs a bound: a constant delay is what its author wrote.
        let most = if self.factor > 1.0 { self.max_delay } else { Duration::MAX / 4 }.as_secs_f64();
        let secs = (self.delay.as_secs_f64() * factor).min(most);
        let jittered = secs * (1.0 + self.jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0));
        Duration::from_secs_f64(jittered.min(most))
    }
}

/// Returns the delay before the next try, or `None` if the task has failed for good.
///
/// `failed` counts the tries that failed since the last clear, this one included, and lost ones
/// not; `lost` those whose worker was lost, this one included. Losses beyond the free ones count as
/// failures: a task that takes its worker down is tried as often as its author allows.
#[must_use]
pub fn after_failure(
    policy: &RetryPolicy,
    end: TryEnd,
    failed: u32,
    lost: u32,
    chance: f64,
) -> Option<Duration> {
    let spent = failed + lost.saturating_sub(FREE_LOSSES);
    match end {
        TryEnd::Permanent => None,
        TryEnd::WorkerLost if lost <= FREE_LOSSES => Some(Duration::ZERO),
        TryEnd::WorkerLost | TryEnd::Transient => {
            (spent <= policy.retries).then(|| policy.delay_after(spent, chance))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(exponential: bool, jitter: f64) -> RetryPolicy {
        RetryPolicy {
            retries: 3,
            delay: Duration::from_secs(10),
            factor: if exponential { 2.0 } else { 1.0 },
            max_delay: Duration::from_secs(35),
            jitter,
            rules: Vec::new(),
        }
    }

    #[test]
    fn delays_double_up_to_the_limit() {
        let delays: Vec<_> =
            (1..5).map(|n| policy(true, 0.0).delay_after(n, 1.0).as_secs()).collect();
        assert_eq!(delays, [10, 20, 35, 35]);
        let half = RetryPolicy { factor: 1.5, ..policy(true, 0.0) };
        let delays = [1, 2, 3, 4, 64, 9_999].map(|n| half.delay_after(n, 1.0).as_secs_f64());
        assert_eq!(delays, [10.0, 15.0, 22.5, 33.75, 35.0, 35.0]);
        assert_eq!(policy(false, 0.0).delay_after(4, 1.0).as_secs(), 10);
        let days = RetryPolicy { delay: Duration::from_secs(200_000), ..policy(false, 0.0) };
        assert_eq!(days.delay_after(1, 0.0).as_secs(), 200_000, "a constant delay has no limit");
    }

    #[test]
    fn jitter_adds_at_most_its_share() {
        let policy = policy(false, 0.5);
        assert_eq!(policy.delay_after(1, 0.0).as_secs(), 10);
        assert_eq!(policy.delay_after(1, 1.0).as_secs(), 15);
    }

    #[test]
    fn a_lost_worker_costs_no_retry_three_times() {
        let none = RetryPolicy { retries: 0, ..policy(false, 0.0) };
        assert!(after_failure(&none, TryEnd::WorkerLost, 0, 3, 0.0).is_some());
        assert!(after_failure(&none, TryEnd::WorkerLost, 0, 4, 0.0).is_none());
        assert!(after_failure(&none, TryEnd::Transient, 1, 0, 0.0).is_none());
        let three = policy(false, 0.0);
        let delay = Some(Duration::from_secs(10));
        assert_eq!(after_failure(&three, TryEnd::WorkerLost, 0, 3, 0.0), Some(Duration::ZERO));
        assert_eq!(after_failure(&three, TryEnd::WorkerLost, 0, 6, 0.0), delay);
        assert_eq!(after_failure(&three, TryEnd::WorkerLost, 0, 7, 0.0), None);
        assert_eq!(after_failure(&three, TryEnd::WorkerLost, 1, 5, 0.0), delay);
        assert_eq!(after_failure(&three, TryEnd::WorkerLost, 1, 6, 0.0), None);
        assert_eq!(after_failure(&three, TryEnd::Transient, 2, 5, 0.0), None);
        assert!(after_failure(&policy(false, 0.0), TryEnd::Permanent, 1, 0, 0.0).is_none());
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rule = |exit_code: &[i32], error, retry| RetryRule {
            exit_code: exit_code.to_vec(),
            error,
            retry,
            retries: None,
            retry_delay: None,
        };
        let policy = RetryPolicy {
            rules: vec![
                rule(&[1, 2], None, false),
                RetryRule {
                    retries: Some(10),
                    retry_delay: Some(Duration::from_secs(5)),
                    ..rule(&[], Some(ErrorClass::Transient), true)
                },
                rule(&[75], Some(ErrorClass::Permanent), true),
            ],
            ..policy(false, 0.0)
        };
        let delay = |end, code, failed| {
            let (policy, end) = policy.of_failure(end, code);
            after_failure(&policy, end, failed, 0, 0.0).map(|delay| delay.as_secs())
        };
        assert_eq!(delay(TryEnd::Transient, Some(2), 1), None);
        assert_eq!(delay(TryEnd::Transient, Some(3), 10), Some(5));
        assert_eq!(delay(TryEnd::Transient, None, 11), None);
        assert_eq!(delay(TryEnd::Permanent, Some(75), 3), Some(10));
        assert_eq!(delay(TryEnd::Permanent, Some(75), 4), None);
        assert_eq!(delay(TryEnd::Permanent, Some(76), 1), None);
        assert_eq!(policy.of_failure(TryEnd::WorkerLost, Some(1)).1, TryEnd::WorkerLost);
    }
}
