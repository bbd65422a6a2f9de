//! Dead letters: records that tasks rejected, with what became of them.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, Postgres, QueryBuilder};

use super::{COUNT_LIMIT, Page, anywhere, push_within};
use crate::{Store, StoreError};

/// A dead letter, without its record.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct LetterRecord {
    pub id: i64,
    pub dag_id: String,
    pub task_id: String,
    pub map_index: i32,
    /// `None`: the run was dropped; a dead letter stays.
    pub run_id: Option<String>,
    pub try_number: Option<i32>,
    /// The topic, the file, or the dataset.
    pub source: String,
    pub partition: i32,
    /// The offset, the line, or the row.
    pub position: i64,
    /// Whether the source is a topic.
    pub is_of_topic: bool,
    /// A list of texts.
    pub reasons: Value,
    pub size_bytes: i64,
    pub state: String,
    /// The run that takes it again, or did.
    pub replay_run_id: Option<String>,
    /// The dead letter that the record was before it was rejected again, as long as that is kept.
    pub replay_of: Option<i64>,
    /// What became of it, where it was rejected again.
    pub replayed_as: Option<i64>,
    pub created_at: DateTime<Utc>,
}

/// Which dead letters; all conditions together.
#[derive(Debug, Clone, Default)]
pub struct LetterFilter {
    pub dag_id: Option<String>,
    pub run_id: Option<String>,
    pub task_id: Option<String>,
    /// Part of a reason.
    pub reason: Option<String>,
    /// One of [`LETTER_STATES`].
    pub state: Option<String>,
    /// Only these; empty: all.
    pub ids: Vec<i64>,
    /// Those of these DAGs; `None`: of any.
    pub within: Option<Vec<String>>,
}

/// Every state that a dead letter can be in.
pub const LETTER_STATES: [&str; 4] = ["open", "replayed", "dismissed", "superseded"];

const LETTERS: &str = "
    SELECT l.id, d.dag_id, t.task_id, l.map_index, r.run_id,
           (SELECT max(h.try_number) FROM try_history h
            WHERE h.run_key = l.run_key AND h.task = l.task AND h.map_index = l.map_index
              AND h.token = l.token) AS try_number,
           l.source, l.partition, l.position, l.range_id IS NOT NULL AS is_of_topic, l.reasons,
           octet_length(l.raw)::bigint AS size_bytes, l.state,
           (SELECT b.replay_run FROM topic_range b WHERE b.id = l.replay) AS replay_run_id,
           (SELECT o.id FROM dead_letter o WHERE o.id = l.replay_of) AS replay_of,
           (SELECT max(a.id) FROM topic_range b
            JOIN dead_letter a ON a.run_key = b.run_key AND a.replay_of = l.id AND a.visible
            WHERE b.id = l.replay) AS replayed_as,
           l.created_at";

const FROM: &str = "
    FROM dead_letter l
    JOIN dag d ON d.dag = l.dag
    JOIN dag_task t ON t.dag = l.dag AND t.task = l.task
    LEFT JOIN run r ON r.run_key = l.run_key
    WHERE l.visible";

impl LetterFilter {
    /// Whether nothing is asked for, so that all are meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let texts = [&self.dag_id, &self.run_id, &self.task_id, &self.reason, &self.state];
        texts.iter().all(|text| text.is_none()) && self.ids.is_empty()
    }
}

impl LetterRecord {
    /// Why it was rejected.
    pub fn reasons(&self) -> impl Iterator<Item = &str> {
        self.reasons.as_array().into_iter().flatten().filter_map(Value::as_str)
    }
}

impl Store {
    /// Returns a page of dead letters, the newest first.
    pub async fn letter_list(
        &self,
        filter: &LetterFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<LetterRecord>, StoreError> {
        let mut query = QueryBuilder::new(LETTERS);
        query.push(FROM);
        push_letter_conditions(&mut query, filter);
        query.push(" ORDER BY l.id DESC LIMIT ").push_bind(limit).push(" OFFSET ");
        query.push_bind(offset);
        let items = query.build_query_as().fetch_all(self.pool()).await?;
        Ok(Page { items, total: self.letter_count(filter).await? })
    }

    /// Counts dead letters up to [`COUNT_LIMIT`].
    pub async fn letter_count(&self, filter: &LetterFilter) -> Result<i64, StoreError> {
        let mut query = QueryBuilder::new("SELECT count(*) FROM (SELECT 1");
        query.push(FROM);
        push_letter_conditions(&mut query, filter);
        query.push(" LIMIT ").push_bind(COUNT_LIMIT).push(") AS counted");
        Ok(query.build_query_scalar().fetch_one(self.pool()).await?)
    }

    /// Returns dead letters with their records as people may see them, behind one, the oldest first.
    pub async fn letter_export(
        &self,
        filter: &LetterFilter,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(LetterRecord, Vec<u8>)>, StoreError> {
        #[derive(FromRow)]
        struct Row {
            #[sqlx(flatten)]
            letter: LetterRecord,
            record: Vec<u8>,
        }
        let mut query = QueryBuilder::new(LETTERS);
        query.push(", coalesce(l.shown, l.raw) AS record").push(FROM);
        push_letter_conditions(&mut query, filter);
        query.push(" AND l.id > ").push_bind(after).push(" ORDER BY l.id LIMIT ");
        query.push_bind(limit);
        let rows: Vec<Row> = query.build_query_as().fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|row| (row.letter, row.record)).collect())
    }

    /// Returns one dead letter, and its record as people may see it: secrets are hidden.
    pub async fn letter_get(&self, id: i64) -> Result<Option<(LetterRecord, Vec<u8>)>, StoreError> {
        let mut query = QueryBuilder::new(LETTERS);
        query.push(FROM).push(" AND l.id = ").push_bind(id);
        let found: Option<LetterRecord> =
            query.build_query_as().fetch_optional(self.pool()).await?;
        let Some(letter) = found else { return Ok(None) };
        let shown: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT coalesce(shown, raw) FROM dead_letter WHERE id = $1")
                .bind(id)
                .fetch_optional(self.pool())
                .await?;
        Ok(shown.map(|shown| (letter, shown)))
    }
}

/// Adds the conditions of a filter: `d` is the DAG, `t` the task, `r` the run, `l` the dead letter.
pub(crate) fn push_letter_conditions(query: &mut QueryBuilder<Postgres>, filter: &LetterFilter) {
    if !filter.ids.is_empty() {
        query.push(" AND l.id = ANY(").push_bind(filter.ids.clone()).push(")");
    }
    push_within(query, "d.dag_id", filter.within.as_deref());
    let columns = [
        (" AND d.dag_id = ", &filter.dag_id),
        (" AND r.run_id = ", &filter.run_id),
        (" AND t.task_id = ", &filter.task_id),
        (" AND l.state = ", &filter.state),
    ];
    for (condition, value) in columns {
        if let Some(value) = value {
            query.push(condition).push_bind(value.clone());
        }
    }
    if let Some(part) = &filter.reason {
        // One reason at a time: as JSON a quote in it would be spelt otherwise.
        query.push(
            " AND EXISTS (SELECT FROM jsonb_array_elements_text(l.reasons) AS reason
                          WHERE reason ILIKE ",
        );
        query.push_bind(anywhere(part)).push(")");
    }
}
