//! DAG runs.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::QueryBuilder;
use subak_core::ids::RunKey;
use subak_core::state::RunState;
use uuid::Uuid;

use crate::{Store, StoreError};

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    pub run_key: RunKey,
    pub uuid: Uuid,
    pub dag: i32,
    pub dag_id: String,
    /// The version it is pinned to.
    pub version: i32,
    pub version_created_at: DateTime<Utc>,
    pub run_id: String,
    pub run_type: String,
    pub triggered_by: String,
    pub triggered_user: Option<String>,
    pub state: RunState,
    pub logical_date: Option<DateTime<Utc>>,
    pub data_interval_start: Option<DateTime<Utc>>,
    pub data_interval_end: Option<DateTime<Utc>>,
    pub run_after: DateTime<Utc>,
    pub conf: Value,
    pub note: Option<String>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
    pub cancel_cause: Option<String>,
    pub tasks_open: i32,
}

#[derive(sqlx::FromRow)]
pub(super) struct RunRow {
    run_key: i64,
    uuid: Uuid,
    dag: i32,
    dag_id: String,
    version: i32,
    version_created_at: DateTime<Utc>,
    run_id: String,
    run_type: String,
    triggered_by: String,
    triggered_user: Option<String>,
    state: String,
    logical_date: Option<DateTime<Utc>>,
    data_interval_start: Option<DateTime<Utc>>,
    data_interval_end: Option<DateTime<Utc>>,
    run_after: DateTime<Utc>,
    conf: Value,
    note: Option<String>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    cancelled_at: Option<DateTime<Utc>>,
    cancel_cause: Option<String>,
    tasks_open: i32,
}

pub(super) const RUNS: &str = "
    SELECT r.run_key, r.uuid, r.dag, d.dag_id, r.version, v.created_at AS version_created_at,
           r.run_id, r.run_type, r.triggered_by, r.triggered_user, r.state::text AS state,
           r.logical_date, r.data_interval_start, r.data_interval_end, r.run_after, r.conf, r.note,
           r.created_at, r.started_at, r.ended_at, r.cancelled_at, r.cancel_cause, r.tasks_open
    FROM run r
    JOIN dag d ON d.dag = r.dag
    JOIN dag_version v ON v.dag = r.dag AND v.version = r.version
    WHERE true";

impl Store {
    /// Returns runs by key, whatever their order.
    pub async fn runs_of(&self, runs: &[RunKey]) -> Result<Vec<RunRecord>, StoreError> {
        let keys: Vec<i64> = runs.iter().map(|run| run.0).collect();
        let mut query = QueryBuilder::new(RUNS);
        query.push(" AND r.run_key = ANY(").push_bind(keys).push(")");
        let rows: Vec<RunRow> = query.build_query_as().fetch_all(self.pool()).await?;
        rows.into_iter().map(RunRow::into_record).collect()
    }

    /// Returns one run.
    pub async fn run_get(
        &self,
        dag_id: &str,
        run_id: &str,
    ) -> Result<Option<RunRecord>, StoreError> {
        let mut query = QueryBuilder::new(RUNS);
        query.push(" AND d.dag_id = ").push_bind(dag_id);
        query.push(" AND r.run_id = ").push_bind(run_id);
        let row: Option<RunRow> = query.build_query_as().fetch_optional(self.pool()).await?;
        row.map(RunRow::into_record).transpose()
    }

    /// Returns runs of the same DAG with an earlier logical date (`past`), a later one (`future`), or
    /// both, in the order of these.
    pub async fn runs_around(
        &self,
        run: &RunRecord,
        past: bool,
        future: bool,
        most: i64,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let mut query = QueryBuilder::new(RUNS);
        query.push(" AND r.dag = ").push_bind(run.dag);
        query.push(" AND (").push_bind(past).push(" AND r.logical_date < ");
        query.push_bind(run.logical_date).push(" OR ").push_bind(future);
        query.push(" AND r.logical_date > ").push_bind(run.logical_date);
        query.push(") ORDER BY r.logical_date LIMIT ").push_bind(most);
        let rows: Vec<RunRow> = query.build_query_as().fetch_all(self.pool()).await?;
        rows.into_iter().map(RunRow::into_record).collect()
    }

    /// Sets what people noted about a run.
    pub async fn run_note_set(&self, run: RunKey, note: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE run SET note = nullif($2, ''), touched_at = now() WHERE run_key = $1")
            .bind(run.0)
            .bind(note)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}

impl RunRow {
    pub(super) fn into_record(self) -> Result<RunRecord, StoreError> {
        let state = RunState::parse(&self.state).ok_or_else(|| {
            StoreError::Database(sqlx::Error::Decode(
                format!("run state `{}` is not known", self.state).into(),
            ))
        })?;
        Ok(RunRecord {
            run_key: RunKey(self.run_key),
            uuid: self.uuid,
            dag: self.dag,
            dag_id: self.dag_id,
            version: self.version,
            version_created_at: self.version_created_at,
            run_id: self.run_id,
            run_type: self.run_type,
            triggered_by: self.triggered_by,
            triggered_user: self.triggered_user,
            state,
            logical_date: self.logical_date,
            data_interval_start: self.data_interval_start,
            data_interval_end: self.data_interval_end,
            run_after: self.run_after,
            conf: self.conf,
            note: self.note,
            created_at: self.created_at,
            started_at: self.started_at,
            ended_at: self.ended_at,
            cancelled_at: self.cancelled_at,
            cancel_cause: self.cancel_cause,
            tasks_open: self.tasks_open,
        })
    }
}
