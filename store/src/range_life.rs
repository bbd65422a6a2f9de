//! What becomes of ranges beside being read and loaded: they are given up, released, loaded once more,
//! and dropped in the end.

use serde_json::{Value, json};
use sqlx::PgConnection;
use subak_core::letter::{REPLAY_CLUSTER, REPLAYED_RANGES};
use subak_core::range::{Partition, Range};

use crate::ranges::Row;
use crate::{NewAudit, Store, StoreError, audit, replays};

/// Ranges that one statement drops.
const SLICE: i64 = 5_000;

/// A range that may be loaded once more.
#[derive(Debug, Clone)]
pub struct PastRange {
    pub dag: i32,
    pub dag_id: String,
    pub task: i32,
    pub task_id: String,
    pub state: String,
    pub range: Range,
}

impl Store {
    /// Gives up a sink's part of an open range, or all of it; false if there is no such range or it has
    /// no such sink.
    pub async fn range_abandon(
        &self,
        id: i64,
        sink: Option<&str>,
        by: &NewAudit,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool().begin().await?;
        let before = stands(&mut tx, id).await?;
        let done = sqlx::query(
            "UPDATE topic_range
             SET sinks = CASE WHEN $2::text IS NULL THEN sinks ELSE array_remove(sinks, $2) END,
                 state = CASE WHEN $2::text IS NULL OR array_remove(sinks, $2) = '{}' THEN 'abandoned'
                              WHEN array_remove(sinks, $2) <@ committed THEN 'committed'
                              ELSE state END,
                 ended_at = CASE WHEN $2::text IS NULL OR array_remove(sinks, $2) <@ committed
                                 THEN now() END
             WHERE id = $1 AND state = 'open' AND ($2::text IS NULL OR $2 = ANY (sinks))",
        )
        .bind(id)
        .bind(sink)
        .execute(&mut *tx)
        .await?;
        replays::abandoned_in_tx(&mut tx, id).await?;
        let by = NewAudit { before, ..by.clone() };
        settled(tx, id, done.rows_affected() == 1, by).await
    }

    /// Lets whatever version of the DAG finish an open range that one sink has; false if there is none.
    pub async fn range_release(&self, id: i64, by: &NewAudit) -> Result<bool, StoreError> {
        let mut tx = self.pool().begin().await?;
        let before = stands(&mut tx, id).await?;
        let done =
            sqlx::query("UPDATE topic_range SET version = NULL WHERE id = $1 AND state = 'open'")
                .bind(id)
                .execute(&mut *tx)
                .await?;
        let by = NewAudit { before, ..by.clone() };
        settled(tx, id, done.rows_affected() == 1, by).await
    }

    /// A range of a topic; `None` if there is none, or it was a replay.
    pub async fn range_get(&self, id: i64) -> Result<Option<PastRange>, StoreError> {
        let found: Option<(i32, String, i32, String, String)> = sqlx::query_as(
            "SELECT r.dag, dag.dag_id, r.task, t.task_id, r.state FROM topic_range AS r
             JOIN dag ON dag.dag = r.dag
             JOIN dag_task AS t ON t.dag = r.dag AND t.task = r.task
             WHERE r.id = $1 AND r.replay_run IS NULL",
        )
        .bind(id)
        .fetch_optional(self.pool())
        .await?;
        let Some((dag, dag_id, task, task_id, state)) = found else { return Ok(None) };
        let mut db = self.pool().acquire().await?;
        let range = range_in_tx(&mut db, id).await?;
        Ok(range.map(|range| PastRange { dag, dag_id, task, task_id, state, range }))
    }

    /// Records that a run with this id, which is to be made next, loads a range once more.
    pub async fn range_again(
        &self,
        past: &PastRange,
        sinks: &[String],
        run_id: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.pool().begin().await?;
        sqlx::query("SELECT 1 FROM dag_task WHERE dag = $1 AND task = $2 FOR NO KEY UPDATE")
            .bind(past.dag)
            .bind(past.task)
            .execute(&mut *tx)
            .await?;
        let (id, sequence): (i64, i64) = sqlx::query_as(
            "INSERT INTO topic_range (dag, task, sequence, cluster, topic, partitions, has_gap, sinks,
                                      run_key, replay_run, again)
             SELECT $1::integer, $2::integer, coalesce(max(sequence), 0) + 1, $3::text, $4::text,
                    '[]'::jsonb, false, $5::text[], 0, $6::text, $7::bigint
             FROM topic_range WHERE dag = $1::integer AND task = $2::integer
             RETURNING id, sequence",
        )
        .bind(past.dag)
        .bind(past.task)
        .bind(REPLAY_CLUSTER)
        .bind(REPLAYED_RANGES)
        .bind(sinks)
        .bind(run_id)
        .bind(past.range.id)
        .fetch_one(&mut *tx)
        .await?;
        // In ledgers each replay is a partition of its own.
        let partition = i32::try_from(sequence).unwrap_or(i32::MAX);
        let to = past.range.span().max(1);
        let part = Partition { partition, after: 0, from: 0, to, last: None };
        sqlx::query("UPDATE topic_range SET partitions = $2 WHERE id = $1")
            .bind(id)
            .bind(json!([part]))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Drops ranges that are done with and whose run was dropped; of each topic the newest one stays,
    /// which the next one follows. Returns how many.
    pub async fn ranges_drop(&self) -> Result<u64, StoreError> {
        let mut dropped = 0;
        loop {
            let some = sqlx::query(
                "DELETE FROM topic_range WHERE id = ANY (ARRAY (
                     SELECT r.id FROM topic_range AS r
                     WHERE r.state <> 'open'
                       AND NOT EXISTS (SELECT FROM run WHERE run.run_key = r.run_key)
                       AND NOT EXISTS (SELECT FROM run WHERE run.dag = r.dag AND run.run_id = r.replay_run)
                       AND EXISTS (SELECT FROM topic_range AS newer
                                   WHERE newer.dag = r.dag AND newer.task = r.task
                                     AND newer.cluster = r.cluster AND newer.topic = r.topic
                                     AND newer.sequence > r.sequence AND newer.state <> 'abandoned')
                       AND NOT EXISTS (SELECT FROM dead_letter AS l
                                       WHERE l.replay = r.id AND l.state = 'open')
                     LIMIT $1))",
            )
            .bind(SLICE)
            .execute(self.pool())
            .await?
            .rows_affected();
            dropped += some;
            if some < SLICE.cast_unsigned() {
                return Ok(dropped);
            }
        }
    }
}

/// The range with this id.
pub(crate) async fn range_in_tx(
    db: &mut PgConnection,
    id: i64,
) -> Result<Option<Range>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, sequence, cluster, topic, partitions, sinks, records, bytes FROM topic_range
         WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await?;
    row.map(Row::range).transpose()
}

/// How a range stands, for the audit log.
async fn stands(tx: &mut PgConnection, id: i64) -> Result<Option<Value>, StoreError> {
    let of = "SELECT jsonb_build_object('state', state, 'loads', to_jsonb(sinks),
                                        'is_of_any_version', version IS NULL)
              FROM topic_range WHERE id = $1 FOR UPDATE";
    Ok(sqlx::query_scalar(of).bind(id).fetch_optional(tx).await?)
}

/// Records who settled a range, in the transaction that did; false, and nothing, if nothing was done.
async fn settled(
    mut tx: sqlx::PgTransaction<'_>,
    id: i64,
    is_done: bool,
    by: NewAudit,
) -> Result<bool, StoreError> {
    if is_done {
        let (dag_id, task_id): (String, String) = sqlx::query_as(
            "SELECT dag.dag_id, t.task_id FROM topic_range AS r
             JOIN dag ON dag.dag = r.dag
             JOIN dag_task AS t ON t.dag = r.dag AND t.task = r.task WHERE r.id = $1",
        )
        .bind(id)
        .fetch_one(&mut *tx)
        .await?;
        let after = stands(&mut tx, id).await?;
        let by = NewAudit { dag_id: Some(dag_id), task_id: Some(task_id), after, ..by };
        audit::add_in_tx(&mut tx, &by).await?;
    }
    tx.commit().await?;
    Ok(is_done)
}
