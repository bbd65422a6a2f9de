//! Decides what may run: trigger rules, cascades, retries, the end of a run.
//!
//! One place for the scheduler, `dags test`, "explain" and the tests. Callers move rows; they never
//! judge. Airflow judges every task by the states before each look, so skips and failures move one
//! level a look: callers do the same by handing each level's settled tasks back to [`Deltas`].

mod counts;
mod item;
pub mod memory;
mod plan;
mod rebuild;
mod retry;
mod rule;
mod says;
mod shape;

pub use counts::{Deltas, Ended, JoinDelta, UpstreamCounts};
pub use item::{Item, Returned};
pub use plan::{Factor, Kind, Mapping, MappingNo, Past, Plan, PlanError, PlanTask};
pub use rebuild::{Current, Rebuilt, Standing, rebuild};
pub use retry::{RetryPolicy, TryEnd, after_failure};
pub use rule::{Reason, TriggerRule, Verdict, judge};
pub use says::{Says, Skips};
pub use shape::{MAP_MOST, Mapped, Shape};

#[cfg(test)]
pub(crate) mod sample;
