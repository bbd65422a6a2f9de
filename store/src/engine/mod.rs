//! The engine's transactions: they lock runs first, then move rows in sets. What the rows mean is
//! decided in `subak_core::decide`; nothing is decided here.
//!
//! Order of locks: runs (sorted) → live → joins → load of DAGs, of backfills → pools (those of
//! people, then those of single tasks; sorted).

mod against;
mod apply;
mod backfills;
mod claim;
mod create;
mod delete;
mod fence;
mod joins;
mod maps;
mod past;
mod pause;
mod pools;
mod reset;
mod turns;
mod tx;

pub use apply::{Apply, HandedOver, HistoryRow, LiveNew, LiveRetry, RunUpdate};
pub use backfills::{BackfillLoad, NewBackfill, RunAt};
pub use claim::Promoted;
pub use create::{DagLoad, NewRun, QueuedRun};
pub(crate) use fence::place;
pub use fence::{Fence, HeldTry, LiveRow, LockedRun};
pub(crate) use joins::JoinSqlRow;
pub use joins::{JoinAdd, JoinRow};
pub use maps::{MappedRow, Seed};
pub use past::{PastWait, RunBefore};
pub use reset::{CurrentTask, Reset};
pub use tx::{EngineSession, EngineTx};

/// The statements of the engine's transactions.
pub(crate) fn statements() -> Vec<crate::statement::Statement> {
    [
        against::STATEMENTS,
        apply::STATEMENTS,
        backfills::STATEMENTS,
        claim::STATEMENTS,
        create::STATEMENTS,
        delete::STATEMENTS,
        fence::STATEMENTS,
        joins::STATEMENTS,
        maps::STATEMENTS,
        past::STATEMENTS,
        pause::STATEMENTS,
        pools::STATEMENTS,
        reset::STATEMENTS,
    ]
    .concat()
}
