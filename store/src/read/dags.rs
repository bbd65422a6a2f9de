//! DAGs with their newest version, their last runs, and files that do not parse.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder};
use subak_core::dag::model::Dag;
use subak_core::state::RunState;

use super::bounds::Bound;
use super::order::Orders;
use super::{Page, TextFilter, from_json, page, push_within};
use crate::{Store, StoreError};

/// A DAG as lists show it.
#[derive(Debug, Clone)]
pub struct DagRecord {
    /// Number of the DAG.
    pub dag: i32,
    pub dag_id: String,
    /// Its newest version.
    pub version: i32,
    pub version_created_at: DateTime<Utc>,
    pub file: String,
    pub is_paused: bool,
    /// Why it is paused, if nobody did it.
    pub pause_cause: Option<String>,
    pub is_stale: bool,
    pub has_import_error: bool,
    pub next_run_at: Option<DateTime<Utc>>,
    /// The next run's data interval; its start is the logical date.
    pub next_interval_start: Option<DateTime<Utc>>,
    pub next_interval_end: Option<DateTime<Utc>>,
    pub parsed_at: DateTime<Utc>,
    /// The newest version without its tasks.
    pub head: Dag,
    pub owners: Vec<String>,
    pub task_count: i64,
    /// A task has a limit of its own (`max_active_tis_per_dag`, `max_active_tis_per_dagrun`).
    pub has_task_limits: bool,
    pub runs_active: i64,
}

/// Which DAGs; all conditions together.
#[derive(Debug, Clone, Default)]
pub struct DagFilter {
    pub text: TextFilter,
    /// The same once more: both hold.
    pub name: TextFilter,
    /// Any of these tags.
    pub tags: Vec<String>,
    /// All of them, not any.
    pub every_tag: bool,
    /// Any of these owners of a task.
    pub owners: Vec<String>,
    /// A task has an owner like this.
    pub owner_text: TextFilter,
    pub paused: Option<bool>,
    pub import_error: Option<bool>,
    /// State of the newest run.
    pub last_state: Option<RunState>,
    /// It has runs in any of these states.
    pub run_states: Vec<String>,
    /// Of the newest run that has started.
    pub newest_run: Vec<Bound>,
    /// Only these; `None`: all.
    pub only: Option<Vec<String>>,
    /// Also those whose file is gone.
    pub with_stale: bool,
    pub orders: Orders<DagOrder>,
    /// Any of these classes of Airflow's; empty: all.
    pub timetables: Vec<String>,
}

/// By what DAGs are ordered; those alike, by id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DagOrder {
    #[default]
    Id,
    NextRun,
    LastState,
    LastStart,
}

impl DagOrder {
    fn column(self) -> &'static str {
        match self {
            Self::Id => "d.dag_id",
            Self::NextRun => "CASE WHEN NOT d.is_paused THEN d.next_run_at END",
            Self::LastState => {
                "(SELECT r.state FROM run r WHERE r.dag = d.dag ORDER BY r.run_key DESC LIMIT 1)"
            }
            Self::LastStart => {
                "(SELECT r.started_at FROM run r WHERE r.dag = d.dag ORDER BY r.run_key DESC LIMIT 1)"
            }
        }
    }
}

/// One of a DAG's last runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentRun {
    pub run_id: String,
    pub state: RunState,
    pub run_after: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// A file that does not parse.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ImportError {
    pub file: String,
    pub message: String,
    pub occurred_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct DagRow {
    dag: i32,
    dag_id: String,
    version: i32,
    version_created_at: DateTime<Utc>,
    file: String,
    is_paused: bool,
    pause_cause: Option<String>,
    is_stale: bool,
    has_import_error: bool,
    next_run_at: Option<DateTime<Utc>>,
    next_interval_start: Option<DateTime<Utc>>,
    next_interval_end: Option<DateTime<Utc>>,
    parsed_at: DateTime<Utc>,
    head: Value,
    owners: Vec<String>,
    task_count: i64,
    has_task_limits: bool,
    runs_active: i64,
    total: i64,
}

/// What of the wanted ones is shown, in their order.
const SHOWN: &str = "
    SELECT d.dag, d.dag_id, d.version, v.created_at AS version_created_at, d.file, d.is_paused,
           d.pause_cause, d.is_stale, e.file IS NOT NULL AS has_import_error,
           CASE WHEN NOT d.is_paused THEN d.next_run_at END AS next_run_at,
           CASE WHEN NOT d.is_paused THEN coalesce(d.next_interval_start, d.next_run_at) END
               AS next_interval_start,
           CASE WHEN NOT d.is_paused THEN coalesce(d.next_interval_end, d.next_run_at) END
               AS next_interval_end,
           d.parsed_at,
           v.summary -> 'head' AS head,
           ARRAY(SELECT owner FROM jsonb_array_elements_text(v.summary -> 'owners') AS owner
                 ORDER BY 1) AS owners,
           (v.summary ->> 'task_count')::bigint AS task_count,
           (v.summary ->> 'has_task_limits')::boolean AS has_task_limits,
           coalesce(l.runs_active, 0)::bigint AS runs_active,
           d.total
    FROM wanted d
    JOIN dag_version v ON v.dag = d.dag AND v.version = d.version
    LEFT JOIN dag_load l ON l.dag = d.dag
    LEFT JOIN import_error e ON e.file = d.file
    ORDER BY d.place";

impl Store {
    /// Returns a page of the DAGs, by id.
    pub async fn dag_list(
        &self,
        filter: &DagFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<DagRecord>, StoreError> {
        let rows = self.dag_rows(filter, None, limit, offset).await?;
        let total = rows.first().map_or(0, |row| row.total);
        let items = rows.into_iter().map(DagRow::into_record).collect::<Result<_, _>>()?;
        Ok(Page { items, total })
    }

    /// Returns the DAG of this id, also if its file is gone.
    pub async fn dag_get(&self, dag_id: &str) -> Result<Option<DagRecord>, StoreError> {
        let every = DagFilter { with_stale: true, ..DagFilter::default() };
        let rows = self.dag_rows(&every, Some(dag_id), 1, 0).await?;
        rows.into_iter().next().map(DagRow::into_record).transpose()
    }

    /// Returns whether a DAG is paused; one that there is not is not.
    pub async fn dag_paused(&self, dag: i32) -> Result<bool, StoreError> {
        let row: Option<(bool,)> = sqlx::query_as("SELECT is_paused FROM dag WHERE dag = $1")
            .bind(dag)
            .fetch_optional(self.pool())
            .await?;
        Ok(row.is_some_and(|(is_paused,)| is_paused))
    }

    async fn dag_rows(
        &self,
        filter: &DagFilter,
        exact: Option<&str>,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<DagRow>, StoreError> {
        let mut query =
            QueryBuilder::new("WITH wanted AS (SELECT d.*, count(*) OVER () AS total, ");
        query.push("row_number() OVER (");
        filter.orders.push(&mut query, DagOrder::column, &["d.dag_id"]);
        query.push(") AS place FROM dag d WHERE true");
        if let Some(dag_id) = exact {
            query.push(" AND d.dag_id = ").push_bind(dag_id.to_owned());
        }
        push_conditions(&mut query, filter);
        query.push(" ORDER BY place LIMIT ").push_bind(limit);
        query.push(" OFFSET ").push_bind(offset).push(") ").push(SHOWN);
        Ok(query.build_query_as().fetch_all(self.pool()).await?)
    }

    /// Returns the last `each` runs of every DAG of `dags`, the oldest first.
    pub async fn dag_recent_runs(
        &self,
        dags: &[i32],
        each: i64,
    ) -> Result<BTreeMap<i32, Vec<RecentRun>>, StoreError> {
        #[derive(sqlx::FromRow)]
        struct Row {
            dag: i32,
            run_id: String,
            state: String,
            run_after: DateTime<Utc>,
            started_at: Option<DateTime<Utc>>,
            ended_at: Option<DateTime<Utc>>,
        }
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT d.dag, r.run_id, r.state::text AS state, r.run_after, r.started_at, r.ended_at
             FROM unnest($1::integer[]) AS d (dag)
             CROSS JOIN LATERAL (
                 SELECT * FROM run WHERE run.dag = d.dag ORDER BY run_key DESC LIMIT $2
             ) r
             ORDER BY d.dag, r.run_key",
        )
        .bind(dags)
        .bind(each)
        .fetch_all(self.pool())
        .await?;
        let mut recent: BTreeMap<i32, Vec<RecentRun>> = BTreeMap::new();
        for row in rows {
            let Some(state) = RunState::parse(&row.state) else { continue };
            recent.entry(row.dag).or_default().push(RecentRun {
                run_id: row.run_id,
                state,
                run_after: row.run_after,
                started_at: row.started_at,
                ended_at: row.ended_at,
            });
        }
        Ok(recent)
    }

    /// Returns every tag that a DAG has, by name.
    pub async fn dag_tags(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT DISTINCT tag FROM dag, unnest(tags) AS tag WHERE NOT is_stale
             ORDER BY tag LIMIT 200",
        )
        .fetch_all(self.pool())
        .await?)
    }

    /// Returns a page of the files that do not parse, the newest first.
    pub async fn import_error_list(
        &self,
        limit: i64,
        offset: i64,
    ) -> Result<Page<ImportError>, StoreError> {
        self.import_error_page(&TextFilter::default(), limit, offset).await
    }

    /// The same of those that have this in their names.
    pub async fn import_error_page(
        &self,
        wanted: &TextFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<ImportError>, StoreError> {
        let of = |query: &mut QueryBuilder<Postgres>| {
            query.push(" FROM import_error WHERE true");
            wanted.push(query, "file");
        };
        let by = |query: &mut QueryBuilder<Postgres>| {
            query.push("ORDER BY occurred_at DESC, file");
        };
        let columns = "SELECT file, message, occurred_at";
        page(self.pool(), columns, of, by, (limit, offset)).await
    }
}

/// The class that Airflow has for a schedule.
const TIMETABLE: &str = "
    'airflow.timetables.' || CASE
        WHEN v.summary -> 'head' -> 'schedule' ? 'once' THEN 'simple.OnceTimetable'
        WHEN v.summary -> 'head' -> 'schedule' ? 'continuous' THEN 'simple.ContinuousTimetable'
        WHEN v.summary -> 'head' -> 'schedule' ? 'dates' THEN 'events.EventsTimetable'
        WHEN v.summary -> 'head' -> 'schedule' ? 'crons' THEN 'trigger.MultipleCronTriggerTimetable'
        WHEN v.summary -> 'head' -> 'schedule' ? 'cron' THEN
            CASE v.summary -> 'head' ->> 'data_interval'
            WHEN 'previous' THEN 'interval.CronDataIntervalTimetable'
            ELSE 'trigger.CronTriggerTimetable' END
        WHEN v.summary -> 'head' -> 'schedule' ? 'every' THEN
            CASE v.summary -> 'head' ->> 'data_interval'
            WHEN 'previous' THEN 'interval.DeltaDataIntervalTimetable'
            ELSE 'trigger.DeltaTriggerTimetable' END
        ELSE 'simple.NullTimetable' END";

/// That a task of a DAG's newest version has an owner such that; what, and the end of it, are to be added.
const WITH_OWNER: &str = "
    AND EXISTS (SELECT FROM dag_version v, jsonb_array_elements_text(v.summary -> 'owners') AS owner
                WHERE v.dag = d.dag AND v.version = d.version";

fn push_conditions(query: &mut QueryBuilder<Postgres>, filter: &DagFilter) {
    filter.text.push(query, "d.dag_id");
    filter.name.push(query, "d.dag_id");
    if !filter.tags.is_empty() {
        let sign = if filter.every_tag { " AND d.tags @> " } else { " AND d.tags && " };
        query.push(sign).push_bind(filter.tags.clone());
    }
    if !filter.owners.is_empty() {
        query.push(WITH_OWNER).push(" AND owner = ANY(");
        query.push_bind(filter.owners.clone()).push("))");
    }
    if !filter.owner_text.is_any() {
        query.push(WITH_OWNER);
        filter.owner_text.push(query, "owner");
        query.push(")");
    }
    if !filter.timetables.is_empty() {
        query.push(" AND EXISTS (SELECT FROM dag_version v");
        query.push(" WHERE v.dag = d.dag AND v.version = d.version AND ").push(TIMETABLE);
        query.push(" = ANY(").push_bind(filter.timetables.clone()).push("))");
    }
    push_within(query, "d.dag_id", filter.only.as_deref());
    if let Some(paused) = filter.paused {
        query.push(" AND d.is_paused = ").push_bind(paused);
    }
    if let Some(error) = filter.import_error {
        query.push(" AND EXISTS (SELECT FROM import_error e WHERE e.file = d.file) = ");
        query.push_bind(error);
    }
    if let Some(state) = filter.last_state {
        query.push(" AND ").push(DagOrder::LastState.column()).push("::text = ");
        query.push_bind(state.as_str());
    }
    if !filter.run_states.is_empty() {
        query.push(" AND EXISTS (SELECT FROM run r WHERE r.dag = d.dag AND r.state::text = ANY(");
        query.push_bind(filter.run_states.clone()).push("))");
    }
    if !filter.newest_run.is_empty() {
        query.push(
            " AND EXISTS (SELECT FROM (
                SELECT * FROM run WHERE run.dag = d.dag AND run.started_at IS NOT NULL
                ORDER BY run.run_key DESC LIMIT 1
              ) r WHERE true",
        );
        for bound in &filter.newest_run {
            bound.push(query, "r");
        }
        query.push(")");
    }
    if !filter.with_stale {
        query.push(" AND NOT d.is_stale");
    }
}

impl DagRow {
    fn into_record(self) -> Result<DagRecord, StoreError> {
        let head = from_json(self.head, || format!("DAG `{}`", self.dag_id))?;
        Ok(DagRecord {
            dag: self.dag,
            dag_id: self.dag_id,
            version: self.version,
            version_created_at: self.version_created_at,
            file: self.file,
            is_paused: self.is_paused,
            pause_cause: self.pause_cause,
            is_stale: self.is_stale,
            has_import_error: self.has_import_error,
            next_run_at: self.next_run_at,
            next_interval_start: self.next_interval_start,
            next_interval_end: self.next_interval_end,
            parsed_at: self.parsed_at,
            head,
            owners: self.owners,
            task_count: self.task_count,
            has_task_limits: self.has_task_limits,
            runs_active: self.runs_active,
        })
    }
}
