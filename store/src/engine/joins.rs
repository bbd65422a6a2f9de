//! Counters of tasks that wait for several upstreams.

use sqlx::FromRow;
use subak_core::decide::UpstreamCounts;
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};

use super::EngineTx;
use super::fence::column;
use crate::StoreError;
use crate::statement::statements;

/// What ended upstreams add to one waiting task; `needed`, `setups` and `guards` are how many it has now.
#[derive(Debug, Clone, Copy)]
pub struct JoinAdd {
    pub key: InstanceKey,
    pub counts: UpstreamCounts,
}

/// A waiting task's counters as they stand now.
#[derive(Debug, Clone, Copy)]
pub struct JoinRow {
    pub key: InstanceKey,
    pub counts: UpstreamCounts,
    /// A rule decided before: later upstreams only count.
    pub decided: bool,
}

#[derive(FromRow)]
pub(crate) struct JoinSqlRow {
    run_key: i64,
    task: i32,
    map_index: i32,
    needed: i32,
    success: i32,
    failed: i32,
    skipped: i32,
    upstream_failed: i32,
    removed: i32,
    setups: i32,
    setup_success: i32,
    setup_skipped: i32,
    guards: i32,
    guards_seen: i32,
    guards_failed: i32,
    guards_skipped: i32,
    sources_failed: i32,
    sources_skipped: i32,
    decided: bool,
}

statements! {
    /// `needed`, `setups` and `guards` grow when an upstream is expanded.
    Points JOINS_ADD = "
        INSERT INTO join_state AS j
            (run_key, task, map_index, needed, success, failed, skipped, upstream_failed, removed,
             setups, setup_success, setup_skipped, guards, guards_seen, guards_failed,
             guards_skipped, sources_failed, sources_skipped)
        SELECT *
        FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[], $5::integer[],
                    $6::integer[], $7::integer[], $8::integer[], $9::integer[], $10::integer[],
                    $11::integer[], $12::integer[], $13::integer[], $14::integer[],
                    $15::integer[], $16::integer[], $17::integer[], $18::integer[])
        ON CONFLICT (run_key, task, map_index) DO UPDATE
        SET needed          = EXCLUDED.needed,
            setups          = EXCLUDED.setups,
            guards          = EXCLUDED.guards,
            success         = j.success + EXCLUDED.success,
            failed          = j.failed + EXCLUDED.failed,
            skipped         = j.skipped + EXCLUDED.skipped,
            upstream_failed = j.upstream_failed + EXCLUDED.upstream_failed,
            removed         = j.removed + EXCLUDED.removed,
            setup_success   = j.setup_success + EXCLUDED.setup_success,
            setup_skipped   = j.setup_skipped + EXCLUDED.setup_skipped,
            guards_seen     = j.guards_seen + EXCLUDED.guards_seen,
            guards_failed   = j.guards_failed + EXCLUDED.guards_failed,
            guards_skipped  = j.guards_skipped + EXCLUDED.guards_skipped,
            sources_failed  = j.sources_failed + EXCLUDED.sources_failed,
            sources_skipped = j.sources_skipped + EXCLUDED.sources_skipped
        RETURNING j.*";

    /// An end was overruled: only counters that are there already change, and that have counted it. The
    /// rest of a long cascade may still be to come; it counts as it was then.
    Points JOINS_OVERRULE = "
        UPDATE join_state AS j
        SET skipped         = j.skipped + want.skipped,
            upstream_failed = j.upstream_failed + want.upstream_failed,
            setup_skipped   = j.setup_skipped + want.setup_skipped,
            guards_failed   = j.guards_failed + want.guards_failed,
            guards_skipped  = j.guards_skipped + want.guards_skipped,
            sources_failed  = j.sources_failed + want.sources_failed,
            sources_skipped = j.sources_skipped + want.sources_skipped
        FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[], $5::integer[],
                    $6::integer[], $7::integer[], $8::integer[], $9::integer[], $10::integer[])
             AS want (run_key, task, map_index, skipped, upstream_failed, setup_skipped,
                      guards_failed, guards_skipped, sources_failed, sources_skipped)
        WHERE (j.run_key, j.task, j.map_index) = (want.run_key, want.task, want.map_index)
          AND j.upstream_failed + want.upstream_failed >= 0
          AND j.guards_failed + want.guards_failed >= 0
        RETURNING j.*";

    Points JOINS_DECIDE = "
        UPDATE join_state AS j
        SET decided = true
        FROM unnest($1::bigint[], $2::integer[], $3::integer[]) AS want (run_key, task, map_index)
        WHERE (j.run_key, j.task, j.map_index) = (want.run_key, want.task, want.map_index)";

    Points JOINS_DROP = "
        DELETE FROM join_state AS j
        USING unnest($1::bigint[], $2::integer[], $3::integer[]) AS want (run_key, task, map_index)
        WHERE (j.run_key, j.task, j.map_index) = (want.run_key, want.task, want.map_index)";

    Points JOINS_CLEAR = "DELETE FROM join_state WHERE run_key = $1";
}

impl EngineTx<'_> {
    /// Adds to counters, making those that are missing, and returns them as they stand then.
    pub async fn joins_add(&mut self, adds: &[JoinAdd]) -> Result<Vec<JoinRow>, StoreError> {
        let rows: Vec<JoinSqlRow> = sqlx::query_as(JOINS_ADD)
            .bind(column(adds, |a| a.key.run.0))
            .bind(column(adds, |a| a.key.task.0))
            .bind(column(adds, |a| a.key.map_index.0))
            .bind(column(adds, |a| a.counts.needed))
            .bind(column(adds, |a| a.counts.success))
            .bind(column(adds, |a| a.counts.failed))
            .bind(column(adds, |a| a.counts.skipped))
            .bind(column(adds, |a| a.counts.upstream_failed))
            .bind(column(adds, |a| a.counts.removed))
            .bind(column(adds, |a| a.counts.setups))
            .bind(column(adds, |a| a.counts.setup_success))
            .bind(column(adds, |a| a.counts.setup_skipped))
            .bind(column(adds, |a| a.counts.guards))
            .bind(column(adds, |a| a.counts.guards_seen))
            .bind(column(adds, |a| a.counts.guards_failed))
            .bind(column(adds, |a| a.counts.guards_skipped))
            .bind(column(adds, |a| a.counts.sources_failed))
            .bind(column(adds, |a| a.counts.sources_skipped))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(rows.into_iter().map(JoinRow::from).collect())
    }

    /// Changes counters by ends that were overruled, and returns them as they stand then.
    pub async fn joins_overrule(&mut self, adds: &[JoinAdd]) -> Result<Vec<JoinRow>, StoreError> {
        let rows: Vec<JoinSqlRow> = sqlx::query_as(JOINS_OVERRULE)
            .bind(column(adds, |a| a.key.run.0))
            .bind(column(adds, |a| a.key.task.0))
            .bind(column(adds, |a| a.key.map_index.0))
            .bind(column(adds, |a| a.counts.skipped))
            .bind(column(adds, |a| a.counts.upstream_failed))
            .bind(column(adds, |a| a.counts.setup_skipped))
            .bind(column(adds, |a| a.counts.guards_failed))
            .bind(column(adds, |a| a.counts.guards_skipped))
            .bind(column(adds, |a| a.counts.sources_failed))
            .bind(column(adds, |a| a.counts.sources_skipped))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(rows.into_iter().map(JoinRow::from).collect())
    }

    /// Remembers that these tasks are decided while upstreams are still to come.
    pub async fn joins_decide(&mut self, keys: &[InstanceKey]) -> Result<(), StoreError> {
        self.joins_change(JOINS_DECIDE, keys).await
    }

    /// Forgets counters that every upstream has reached.
    pub async fn joins_drop(&mut self, keys: &[InstanceKey]) -> Result<(), StoreError> {
        self.joins_change(JOINS_DROP, keys).await
    }

    async fn joins_change(
        &mut self,
        sql: &'static str,
        keys: &[InstanceKey],
    ) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        sqlx::query(sql)
            .bind(column(keys, |k| k.run.0))
            .bind(column(keys, |k| k.task.0))
            .bind(column(keys, |k| k.map_index.0))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Replaces all counters of a run.
    pub async fn joins_replace(&mut self, run: RunKey, rows: &[JoinRow]) -> Result<(), StoreError> {
        sqlx::query(JOINS_CLEAR).bind(run.0).execute(&mut *self.tx).await?;
        let adds: Vec<_> =
            rows.iter().map(|row| JoinAdd { key: row.key, counts: row.counts }).collect();
        if !adds.is_empty() {
            self.joins_add(&adds).await?;
        }
        let decided: Vec<_> = rows.iter().filter(|row| row.decided).map(|row| row.key).collect();
        self.joins_decide(&decided).await
    }
}

impl From<JoinSqlRow> for JoinRow {
    fn from(row: JoinSqlRow) -> Self {
        Self {
            key: InstanceKey {
                run: RunKey(row.run_key),
                task: TaskNo(row.task),
                map_index: MapIndex(row.map_index),
            },
            counts: UpstreamCounts {
                needed: row.needed,
                success: row.success,
                failed: row.failed,
                skipped: row.skipped,
                upstream_failed: row.upstream_failed,
                removed: row.removed,
                setups: row.setups,
                setup_success: row.setup_success,
                setup_skipped: row.setup_skipped,
                guards: row.guards,
                guards_seen: row.guards_seen,
                guards_failed: row.guards_failed,
                guards_skipped: row.guards_skipped,
                sources_failed: row.sources_failed,
                sources_skipped: row.sources_skipped,
            },
            decided: row.decided,
        }
    }
}
