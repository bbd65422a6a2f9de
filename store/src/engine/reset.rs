//! Clearing: what a run's tasks are now, and marks that make history before them not count.

use std::collections::BTreeSet;

use sqlx::FromRow;
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};
use subak_core::state::FinalState;
use subak_core::state::TaskState;

use super::EngineTx;
use super::fence::column;
use crate::StoreError;
use crate::statement::statements;

/// What a task instance of a run is now. An instance that has nothing yet is not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrentTask {
    pub key: InstanceKey,
    /// Its final state since its last clear.
    pub ended: Option<FinalState>,
    /// The state of its live row; `queued` also if it waits for its pool.
    pub live: Option<TaskState>,
    /// Try numbers given out so far, that its next try follows.
    pub tries: i32,
    pub resets: i32,
}

/// A clear of one task instance.
#[derive(Debug, Clone, Copy)]
pub struct Reset {
    pub key: InstanceKey,
    pub tries: i32,
    pub resets: i32,
    /// Rows that it has appended are wanted once more.
    pub load_again: bool,
}

#[derive(FromRow)]
struct CurrentSqlRow {
    task: i32,
    map_index: i32,
    ended: Option<String>,
    live: Option<String>,
    tries: i32,
    resets: i32,
}

statements! {
    /// What its tasks reject when they run again counts.
    Points LETTERS_SUPERSEDE = "
        UPDATE dead_letter SET state = 'superseded'
        WHERE run_key = ANY ($1) AND task = ANY ($2) AND state = 'open' AND replay IS NULL
          AND (run_key, task, map_index) IN (
              SELECT * FROM unnest($1::bigint[], $2::integer[], $3::integer[])
          )";

    /// `$1` the run, `$2` its tasks of interest (null: all).
    Points CURRENT = "
        WITH seen AS (
            SELECT task, map_index FROM try_history
            WHERE run_key = $1 AND ($2::integer[] IS NULL OR task = ANY ($2))
            UNION
            SELECT task, map_index FROM live
            WHERE run_key = $1 AND ($2::integer[] IS NULL OR task = ANY ($2))
            UNION
            SELECT task, map_index FROM task_reset
            WHERE run_key = $1 AND ($2::integer[] IS NULL OR task = ANY ($2))
        )
        SELECT seen.task, seen.map_index, ended.state AS ended,
               CASE WHEN live.waits_pool THEN 'queued' ELSE live.state::text END AS live,
               greatest(coalesce(reset.tries, 0), coalesce(live.try_number, 0), coalesce(tried.most, 0))
                   AS tries,
               coalesce(reset.resets, 0) AS resets
        FROM seen
        LEFT JOIN LATERAL (
            SELECT * FROM task_reset r
            WHERE r.run_key = $1 AND r.task = seen.task AND r.map_index = seen.map_index
        ) AS reset ON true
        LEFT JOIN LATERAL (
            SELECT h.state::text AS state FROM try_history h
            WHERE h.run_key = $1 AND h.task = seen.task AND h.map_index = seen.map_index
              AND h.token > coalesce(reset.token, 0)
              AND h.state IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed')
            ORDER BY h.token DESC LIMIT 1
        ) AS ended ON true
        LEFT JOIN LATERAL (
            SELECT max(h.try_number) AS most FROM try_history h
            WHERE h.run_key = $1 AND h.task = seen.task AND h.map_index = seen.map_index
        ) AS tried ON true
        LEFT JOIN LATERAL (
            SELECT * FROM live l
            WHERE l.run_key = $1 AND l.task = seen.task AND l.map_index = seen.map_index
        ) AS live ON true";

    Points TASKS_RESET = "
        INSERT INTO task_reset AS r (run_key, task, map_index, token, tries, resets, load_again)
        SELECT run_key, task, map_index, nextval('fencing_token'), tries, resets, load_again
        FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[], $5::integer[],
                    $6::boolean[])
             AS want (run_key, task, map_index, tries, resets, load_again)
        ON CONFLICT (run_key, task, map_index) DO UPDATE
        SET token = EXCLUDED.token, tries = EXCLUDED.tries, resets = EXCLUDED.resets,
            load_again = EXCLUDED.load_again";

    Points LOAD_AGAIN = "
        SELECT load_again FROM task_reset WHERE run_key = $1 AND task = $2 AND map_index = $3";

    Points LIVE_RESTART = "
        UPDATE live SET state = 'restarting' WHERE ctid = ANY ($1::text[]::tid[])";

    Points LIVE_DROP = "DELETE FROM live WHERE ctid = ANY ($1::text[]::tid[])";

    /// The rest of a cancel's skips finds by itself that it no longer holds.
    Points CASCADE_DROP = "
        DELETE FROM outbox WHERE run_key = $1 AND kind IN ('cascade', 'rebuild')";

    Points SLICES_DROP = "
        DELETE FROM outbox WHERE run_key = $1 AND kind IN ('cascade', 'rebuild', 'effects')";

    /// The first two conditions say by which part of the index: joined with the list alone, all of it
    /// may be walked.
    Points XCOMS_DROP = "
        DELETE FROM xcom
        WHERE run_key = ANY ($1) AND task = ANY ($2)
          AND (run_key, task, map_index) IN (
              SELECT * FROM unnest($1::bigint[], $2::integer[], $3::integer[])
          )";

    Points DATASETS_DROP = "
        DELETE FROM dataset
        WHERE run_key = ANY ($1) AND task = ANY ($2)
          AND (run_key, task, map_index) IN (
              SELECT * FROM unnest($1::bigint[], $2::integer[], $3::integer[])
          )";

    /// `$1` runs that have ended: every task that has done something is cleared.
    Points RUNS_RESET = "
        INSERT INTO task_reset AS r (run_key, task, map_index, token, tries, resets, load_again)
        SELECT want.run_key, seen.task, seen.map_index, nextval('fencing_token'), seen.tries,
               seen.resets + 1, false
        FROM unnest($1::bigint[]) AS want (run_key)
        CROSS JOIN LATERAL (
            SELECT task, map_index, max(tries) AS tries, max(resets) AS resets
            FROM (
                SELECT h.task, h.map_index, h.try_number AS tries, 0 AS resets FROM try_history h
                WHERE h.run_key = want.run_key
                UNION ALL
                SELECT t.task, t.map_index, t.tries, t.resets FROM task_reset t
                WHERE t.run_key = want.run_key
            ) AS one
            GROUP BY task, map_index
        ) AS seen
        ON CONFLICT (run_key, task, map_index) DO UPDATE
        SET token = EXCLUDED.token, tries = EXCLUDED.tries, resets = EXCLUDED.resets,
            load_again = EXCLUDED.load_again
        RETURNING r.run_key";

    Points RUNS_XCOMS_DROP = "DELETE FROM xcom WHERE run_key = ANY ($1)";

    Points RUNS_DATASETS_DROP = "DELETE FROM dataset WHERE run_key = ANY ($1)";

    Points RUNS_LETTERS_SUPERSEDE = "
        UPDATE dead_letter SET state = 'superseded'
        WHERE run_key = ANY ($1) AND state = 'open' AND replay IS NULL";

    Points RUNS_AGAINST_DROP = "DELETE FROM task_against WHERE run_key = ANY ($1)";

    Points RUNS_REOPEN = "
        UPDATE run
        SET state = 'queued', started_at = NULL, ended_at = NULL, cancelled_at = NULL,
            cancel_cause = NULL, has_resets = true, touched_at = now()
        WHERE run_key = ANY ($1)";

    /// Runs of which an outbox row is left.
    Points RUNS_PENDING = "
        SELECT want.run_key
        FROM unnest($1::bigint[]) AS want (run_key)
        CROSS JOIN LATERAL (
            SELECT 1 FROM outbox WHERE outbox.run_key = want.run_key LIMIT 1
        ) AS rest";
}

impl EngineTx<'_> {
    /// Marks everything of locked runs that have ended as cleared; returns those of which there was
    /// something. What they handed on is still to be dropped: [`EngineTx::runs_reopen`].
    pub async fn runs_reset(&mut self, runs: &[RunKey]) -> Result<BTreeSet<RunKey>, StoreError> {
        let marked: Vec<i64> = sqlx::query_scalar(RUNS_RESET)
            .bind(column(runs, |run| run.0))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(marked.into_iter().map(RunKey).collect())
    }

    /// Drops what such runs handed on, and lets them wait for their turn again; returns those of which
    /// an outbox row is left.
    pub async fn runs_reopen(&mut self, runs: &[RunKey]) -> Result<Vec<RunKey>, StoreError> {
        for sql in [
            RUNS_XCOMS_DROP,
            RUNS_DATASETS_DROP,
            RUNS_LETTERS_SUPERSEDE,
            RUNS_AGAINST_DROP,
            RUNS_REOPEN,
        ] {
            sqlx::query(sql).bind(column(runs, |run| run.0)).execute(&mut *self.tx).await?;
        }
        let pending: Vec<i64> = sqlx::query_scalar(RUNS_PENDING)
            .bind(column(runs, |run| run.0))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(pending.into_iter().map(RunKey).collect())
    }

    /// What the task instances of a locked run are now; `tasks` narrows it.
    pub async fn tasks_current(
        &mut self,
        run: RunKey,
        tasks: Option<&[TaskNo]>,
    ) -> Result<Vec<CurrentTask>, StoreError> {
        let rows: Vec<CurrentSqlRow> = sqlx::query_as(CURRENT)
            .bind(run.0)
            .bind(tasks.map(|tasks| column(tasks, |task| task.0)))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(rows.into_iter().map(|row| row.current(run)).collect())
    }

    /// Marks task instances as cleared, and drops what they handed on.
    pub async fn tasks_reset(&mut self, resets: &[Reset]) -> Result<(), StoreError> {
        self.tasks_reset_marked(resets).await?;
        for sql in [XCOMS_DROP, DATASETS_DROP, LETTERS_SUPERSEDE] {
            sqlx::query(sql)
                .bind(column(resets, |r| r.key.run.0))
                .bind(column(resets, |r| r.key.task.0))
                .bind(column(resets, |r| r.key.map_index.0))
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(())
    }

    /// Marks task instances as cleared; what they handed on stays.
    pub async fn tasks_reset_marked(&mut self, resets: &[Reset]) -> Result<(), StoreError> {
        sqlx::query(TASKS_RESET)
            .bind(column(resets, |r| r.key.run.0))
            .bind(column(resets, |r| r.key.task.0))
            .bind(column(resets, |r| r.key.map_index.0))
            .bind(column(resets, |r| r.tries))
            .bind(column(resets, |r| r.resets))
            .bind(column(resets, |r| r.load_again))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Marks live rows that a worker holds as cleared: they keep session and token until it confirms.
    pub async fn live_restart(&mut self, ctids: &[String]) -> Result<(), StoreError> {
        sqlx::query(LIVE_RESTART).bind(ctids).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Drops locked live rows that no worker holds.
    pub async fn live_drop(&mut self, ctids: &[String]) -> Result<(), StoreError> {
        sqlx::query(LIVE_DROP).bind(ctids).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Drops the rest of cascades of a run: its counters are about to be made anew.
    pub async fn cascade_drop(&mut self, run: RunKey) -> Result<(), StoreError> {
        sqlx::query(CASCADE_DROP).bind(run.0).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Drops the rest of whatever was more than one transaction settles: the run is cancelled.
    pub async fn slices_drop(&mut self, run: RunKey) -> Result<(), StoreError> {
        sqlx::query(SLICES_DROP).bind(run.0).execute(&mut *self.tx).await?;
        Ok(())
    }
}

impl crate::Store {
    /// Whether the last clear of a task instance wants appended rows once more.
    pub async fn load_again(&self, of: InstanceKey) -> Result<bool, StoreError> {
        let said: Option<bool> = sqlx::query_scalar(LOAD_AGAIN)
            .bind(of.run.0)
            .bind(of.task.0)
            .bind(of.map_index.0)
            .fetch_optional(self.engine())
            .await?;
        Ok(said.unwrap_or(false))
    }
}

impl CurrentSqlRow {
    fn current(self, run: RunKey) -> CurrentTask {
        let state = |text: &Option<String>| {
            text.as_deref().map(|text| TaskState::parse(text).expect("the enum of the schema"))
        };
        CurrentTask {
            key: InstanceKey { run, task: TaskNo(self.task), map_index: MapIndex(self.map_index) },
            ended: state(&self.ended).and_then(TaskState::to_final),
            live: state(&self.live),
            tries: self.tries,
            resets: self.resets,
        }
    }
}
