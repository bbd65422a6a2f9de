//! The engine's transactions: they lock runs first, then move rows in sets. What the rows mean is
//! decided in `subak_core::decide`; nothing is decided here.
//!
//! Order of locks: runs (sorted) → live → joins → pools → load of DAGs.

mod apply;
mod claim;
mod create;
mod fence;
mod joins;
mod reset;
mod tx;

pub use apply::{Apply, HandedOver, HistoryRow, LiveNew, LiveRetry, RunUpdate};
pub use create::{DagLoad, NewRun, QueuedRun};
pub use fence::{Fence, HeldTry, LiveRow, LockedRun};
pub use joins::{JoinAdd, JoinRow};
pub use reset::{CurrentTask, Reset};
pub use tx::{EngineSession, EngineTx};

/// The statements of the engine's transactions.
pub(crate) fn statements() -> Vec<crate::statement::Statement> {
    [
        apply::STATEMENTS,
        claim::STATEMENTS,
        create::STATEMENTS,
        fence::STATEMENTS,
        joins::STATEMENTS,
        reset::STATEMENTS,
    ]
    .concat()
}
