//! What a run's tasks are told of it: the parts that never change.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::FromRow;
use subak_core::ids::{DagId, RunKey};
use subak_core::state::RunState;
use uuid::Uuid;

use crate::statement::statements;
use crate::{Store, StoreError};

/// The dates of a run that succeeded.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct SuccessfulRun {
    pub data_interval_start: Option<DateTime<Utc>>,
    pub data_interval_end: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// The immutable part of a run.
#[derive(Debug, Clone, FromRow)]
pub struct RunFacts {
    pub run_key: i64,
    pub uuid: Uuid,
    pub dag: i32,
    pub version: i32,
    pub run_id: String,
    pub run_type: String,
    pub logical_date: Option<DateTime<Utc>>,
    pub data_interval_start: Option<DateTime<Utc>>,
    pub data_interval_end: Option<DateTime<Utc>>,
    pub run_after: DateTime<Utc>,
    pub conf: Value,
}

statements! {
    /// The last run before run `$1` that ended as `$2`, which is `success`: written out, the planner takes it
    /// for rare, and sorts.
    Points RUN_SUCCESSFUL_BEFORE = "
        SELECT b.data_interval_start, b.data_interval_end, b.started_at, b.ended_at
        FROM run
        CROSS JOIN LATERAL (
            SELECT * FROM run AS b
            WHERE b.dag = run.dag AND b.logical_date < run.logical_date
              AND b.state = $2::text::run_state
            ORDER BY b.logical_date DESC LIMIT 1
        ) AS b
        WHERE run.run_key = $1";

    Points RUN_FACTS = "
        SELECT run_key, uuid, dag, version, run_id, run_type, logical_date,
               data_interval_start, data_interval_end, run_after, conf
        FROM run WHERE run_key = ANY ($1)";

    /// Which of these runs have an older version of their DAG than the newest, or a DAG that is paused or
    /// has no file any more.
    Points RUNS_TO_YIELD = "
        SELECT run_key FROM run
        WHERE run_key = ANY ($1) AND state = 'running'
          AND (SELECT dag.is_paused OR dag.is_stale OR dag.version <> run.version FROM dag
               WHERE dag.dag = run.dag)";
}

impl Store {
    /// The facts of runs.
    pub async fn run_facts(&self, runs: &[RunKey]) -> Result<Vec<RunFacts>, StoreError> {
        let keys: Vec<i64> = runs.iter().map(|run| run.0).collect();
        Ok(sqlx::query_as(RUN_FACTS).bind(keys).fetch_all(self.engine()).await?)
    }

    /// Which of these runs, if they run, have tries that should end well, be they without an end: there is
    /// a newer version of the DAG, it is paused, or its file is gone.
    pub async fn runs_to_yield(&self, runs: &[RunKey]) -> Result<Vec<RunKey>, StoreError> {
        let keys: Vec<i64> = runs.iter().map(|run| run.0).collect();
        let old: Vec<i64> =
            sqlx::query_scalar(RUNS_TO_YIELD).bind(keys).fetch_all(self.engine()).await?;
        Ok(old.into_iter().map(RunKey).collect())
    }

    /// The last run before a run that succeeded.
    pub async fn run_successful_before(
        &self,
        run: RunKey,
    ) -> Result<Option<SuccessfulRun>, StoreError> {
        Ok(sqlx::query_as(RUN_SUCCESSFUL_BEFORE)
            .bind(run.0)
            .bind(RunState::Success.as_str())
            .fetch_optional(self.engine())
            .await?)
    }

    /// The key of a run by the names people use.
    pub async fn run_find(
        &self,
        dag_id: &DagId,
        run_id: &str,
    ) -> Result<Option<RunKey>, StoreError> {
        let row: Option<(i64,)> = sqlx::query_as(
            "SELECT run_key FROM run
             WHERE dag = (SELECT dag FROM dag WHERE dag_id = $1) AND run_id = $2",
        )
        .bind(&dag_id.0)
        .bind(run_id)
        .fetch_optional(self.pool())
        .await?;
        Ok(row.map(|(key,)| RunKey(key)))
    }

    /// This installation's id.
    pub async fn installation(&self) -> Result<Uuid, StoreError> {
        let (id,): (Uuid,) =
            sqlx::query_as("SELECT id FROM installation").fetch_one(self.pool()).await?;
        Ok(id)
    }
}
