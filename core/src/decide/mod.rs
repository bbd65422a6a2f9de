//! Decides what may run: trigger rules, cascades, retries, the end of a run.
//!
//! One place for the scheduler, `dags test`, "explain" and the tests. Callers move rows; they never
//! judge. Airflow judges every task by the states before each look, so skips and failures move one
//! level a look: callers do the same by handing each level's settled tasks back to [`Deltas`].

mod counts;
pub mod memory;
mod plan;
mod rebuild;
mod retry;
mod rule;

pub use counts::{Deltas, JoinDelta, UpstreamCounts};
pub use plan::{Plan, PlanError, PlanTask};
pub use rebuild::{Current, Rebuilt, rebuild};
pub use retry::{RetryPolicy, TryEnd, after_failure};
pub use rule::{Reason, TriggerRule, Verdict, judge};

#[cfg(test)]
mod sample;
