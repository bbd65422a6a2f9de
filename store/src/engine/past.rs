//! Tasks whose upstreams let them run, and that wait for the run before theirs.

use sqlx::FromRow;
use subak_core::ids::{Instance, InstanceKey, MapIndex, RunKey, TaskNo};

use super::EngineTx;
use super::fence::column;
use crate::StoreError;
use crate::statement::statements;

/// The run before a run.
#[derive(Debug, Clone, Copy)]
pub struct RunBefore {
    pub key: RunKey,
    pub version: i32,
    /// It tells of the end of every task.
    pub awaited: bool,
}

/// A task that waits for the run before its own.
#[derive(Debug, Clone, Copy)]
pub struct PastWait {
    pub key: InstanceKey,
    /// Try numbers given out so far.
    pub tries: i32,
    pub resets: i32,
}

#[derive(FromRow)]
struct PastSqlRow {
    run_key: i64,
    task: i32,
    map_index: i32,
    tries: i32,
    resets: i32,
}

statements! {
    Points PAST_PUT = "
        INSERT INTO past_wait AS p (dag, run_key, task, map_index, tries, resets)
        SELECT $1, run_key, task, map_index, tries, resets
        FROM unnest($2::bigint[], $3::integer[], $4::integer[], $5::integer[], $6::integer[])
             AS want (run_key, task, map_index, tries, resets)
        ON CONFLICT (dag, run_key, task, map_index) DO UPDATE
        SET tries = EXCLUDED.tries, resets = EXCLUDED.resets";

    /// Runs of a DAG in which something waits.
    Points PAST_RUNS = "SELECT DISTINCT run_key FROM past_wait WHERE dag = $1";

    Points PAST_OF_RUN = "
        SELECT run_key, task, map_index, tries, resets FROM past_wait
        WHERE dag = $1 AND run_key = $2";

    Points PAST_GONE = "
        DELETE FROM past_wait AS p
        USING unnest($3::integer[], $4::integer[]) AS want (task, map_index)
        WHERE (p.dag, p.run_key, p.task, p.map_index) = ($1, $2, want.task, want.map_index)";

    Points PAST_DROP = "DELETE FROM past_wait WHERE dag = $1 AND run_key = $2";

    /// The run before run `$1`: the last one of an earlier logical date; `$2`: manual ones count.
    Points RUN_BEFORE = "
        SELECT before.run_key, before.version, before.awaited
        FROM run
        CROSS JOIN LATERAL (
            SELECT b.run_key, b.version, b.awaited FROM run AS b
            WHERE b.dag = run.dag AND b.logical_date < run.logical_date
              AND ($2 OR b.run_type <> 'manual')
            ORDER BY b.logical_date DESC LIMIT 1
        ) AS before
        WHERE run.run_key = $1";

    Points RUN_AWAITED = "UPDATE run SET awaited = true WHERE run_key = $1";

    /// Of all runs of an earlier logical date than run `$1`. Asked only of a DAG that has just got a task
    /// which depends on the past.
    Points VERSIONS_BEFORE = "
        SELECT DISTINCT b.version
        FROM run JOIN run AS b ON b.dag = run.dag AND b.logical_date < run.logical_date
        WHERE run.run_key = $1";
}

impl EngineTx<'_> {
    /// Keeps tasks of locked runs of a DAG that wait for the run before.
    pub async fn past_put(&mut self, dag: i32, waits: &[PastWait]) -> Result<(), StoreError> {
        sqlx::query(PAST_PUT)
            .bind(dag)
            .bind(column(waits, |wait| wait.key.run.0))
            .bind(column(waits, |wait| wait.key.task.0))
            .bind(column(waits, |wait| wait.key.map_index.0))
            .bind(column(waits, |wait| wait.tries))
            .bind(column(waits, |wait| wait.resets))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Runs of a DAG in which tasks wait for the run before.
    pub async fn past_runs(&mut self, dag: i32) -> Result<Vec<RunKey>, StoreError> {
        let rows: Vec<(i64,)> =
            sqlx::query_as(PAST_RUNS).bind(dag).fetch_all(&mut *self.tx).await?;
        Ok(rows.into_iter().map(|(run,)| RunKey(run)).collect())
    }

    /// What waits in a locked run.
    pub async fn past_of(&mut self, dag: i32, run: RunKey) -> Result<Vec<PastWait>, StoreError> {
        let rows: Vec<PastSqlRow> =
            sqlx::query_as(PAST_OF_RUN).bind(dag).bind(run.0).fetch_all(&mut *self.tx).await?;
        Ok(rows.into_iter().map(PastWait::from).collect())
    }

    /// These task instances of a locked run wait no longer.
    pub async fn past_gone(
        &mut self,
        dag: i32,
        run: RunKey,
        gone: &[Instance],
    ) -> Result<(), StoreError> {
        sqlx::query(PAST_GONE)
            .bind(dag)
            .bind(run.0)
            .bind(column(gone, |at| at.task.0))
            .bind(column(gone, |at| at.map_index.0))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Nothing of a locked run waits any longer.
    pub async fn past_drop(&mut self, dag: i32, run: RunKey) -> Result<(), StoreError> {
        sqlx::query(PAST_DROP).bind(dag).bind(run.0).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// The run before a run, if it has one.
    pub async fn run_before(
        &mut self,
        run: RunKey,
        manual_too: bool,
    ) -> Result<Option<RunBefore>, StoreError> {
        let row: Option<(i64, i32, bool)> = sqlx::query_as(RUN_BEFORE)
            .bind(run.0)
            .bind(manual_too)
            .fetch_optional(&mut *self.tx)
            .await?;
        let before = |(run, version, awaited)| RunBefore { key: RunKey(run), version, awaited };
        Ok(row.map(before))
    }

    /// A locked run tells of the end of every task from now on.
    pub async fn run_awaited(&mut self, run: RunKey) -> Result<(), StoreError> {
        sqlx::query(RUN_AWAITED).bind(run.0).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// The versions of all runs of an earlier logical date.
    pub async fn versions_before(&mut self, run: RunKey) -> Result<Vec<i32>, StoreError> {
        let rows: Vec<(i32,)> =
            sqlx::query_as(VERSIONS_BEFORE).bind(run.0).fetch_all(&mut *self.tx).await?;
        Ok(rows.into_iter().map(|(version,)| version).collect())
    }
}

impl From<PastSqlRow> for PastWait {
    fn from(row: PastSqlRow) -> Self {
        Self {
            key: InstanceKey {
                run: RunKey(row.run_key),
                task: TaskNo(row.task),
                map_index: MapIndex(row.map_index),
            },
            tries: row.tries,
            resets: row.resets,
        }
    }
}
