//! What pages and the API read: lists are bounded, every statement has the pool's timeout.
//!
//! Rows come out as they are meant, not as they are stored: a task's current state is worked out
//! here, whatever table holds it.

mod assets;
mod backfills;
mod bounds;
mod counts;
mod dags;
mod datasets;
mod explain;
mod instance_list;
mod instance_page;
mod instances;
mod letters;
mod logs;
mod maps;
mod notes;
mod order;
mod overview;
mod paging;
mod pipelines;
mod range_list;
mod rendered;
mod run_list;
mod runs;
mod text;
mod version_list;
mod versions;
mod xcom_list;

pub use assets::{
    AssetEventFilter, AssetEventOrder, AssetEventRecord, AssetFilter, AssetOrder, AssetRecord,
    AssetReference,
};
pub use backfills::{BackfillFilter, BackfillRecord};
pub use bounds::{Bound, Bounded, Edge, Side, Times};
pub use dags::{DagFilter, DagOrder, DagRecord, ImportError, RecentRun};
pub use datasets::{DatasetRecord, XComRecord};
pub use instance_list::{InstanceFilter, InstanceOrder};
pub use instance_page::Window;
pub use instances::{InstanceRecord, TryRecord};
pub(crate) use letters::push_letter_conditions;
pub use letters::{LETTER_STATES, LetterFilter, LetterRecord};
pub(crate) use logs::decompress;
pub use logs::{LogCursor, LogPart};
pub use maps::MapRecord;
pub use notes::noted;
pub use order::{Orders, directed};
pub use overview::{LateDag, Overview, OverviewRun};
pub(crate) use paging::page;
pub use pipelines::PipelineRecord;
pub use range_list::{RANGE_STATES, RangeFilter, RangeRow};
pub use rendered::Rendered;
pub use run_list::{RunFilter, RunOrder, RunPlace};
pub use runs::RunRecord;
pub use text::TextFilter;
pub use version_list::{VersionFilter, VersionHead, VersionOrder};
pub use versions::VersionRecord;
pub use xcom_list::{XComFilter, XComHead, XComOrder};

/// A part of a list, and how long the list is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Counted up to [`COUNT_LIMIT`].
    pub total: i64,
}

/// Lists are counted no further than this: nobody pages so far, and counting is not free.
pub const COUNT_LIMIT: i64 = 10_000;

/// A database that answers does so within this time.
const ANSWERS_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// Reads JSON of a column into the type that wrote it.
fn from_json<T: serde::de::DeserializeOwned>(
    value: serde_json::Value,
    what: impl FnOnce() -> String,
) -> Result<T, crate::StoreError> {
    serde_json::from_value(value)
        .map_err(|source| crate::StoreError::Corrupt { what: what(), source })
}

/// Adds that a column is one of these; `None`: any. Of an empty list nothing is.
fn push_within(
    query: &mut sqlx::QueryBuilder<sqlx::Postgres>,
    column: &str,
    within: Option<&[String]>,
) {
    if let Some(within) = within {
        query.push(" AND ").push(column).push(" = ANY(").push_bind(within).push(")");
    }
}

/// A pattern for LIKE that finds `text` anywhere, with nothing in it special.
pub(crate) fn anywhere(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

impl crate::Store {
    /// Whether the database answers, and soon: whoever asks wants to know it now.
    pub async fn answers(&self) -> bool {
        let asked = sqlx::query("SELECT 1").execute(self.pool());
        tokio::time::timeout(ANSWERS_WITHIN, asked).await.is_ok_and(|answer| answer.is_ok())
    }
}
