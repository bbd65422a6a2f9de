//! DAGs with their newest version, their last runs, and files that do not parse.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use subak_core::dag::model::Dag;
use subak_core::state::RunState;

use super::{Page, anywhere, from_json};
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
    pub runs_active: i64,
}

/// Which DAGs; all conditions together.
#[derive(Debug, Clone, Default)]
pub struct DagFilter {
    /// Part of the id, in any case.
    pub name: Option<String>,
    /// The id's first characters.
    pub prefix: Option<String>,
    /// Any of these tags.
    pub tags: Vec<String>,
    pub paused: Option<bool>,
    /// Also those whose file is gone.
    pub with_stale: bool,
    pub descending: bool,
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
    runs_active: i64,
    total: i64,
}

/// $1 part of the id, $2 its start, $3 tags, $4 paused, $5 with stale ones, $6 exact id,
/// $7 descending, $8 limit, $9 offset.
const DAGS: &str = "
    WITH wanted AS (
        SELECT d.*, count(*) OVER () AS total
        FROM dag d
        WHERE ($1::text IS NULL OR d.dag_id ILIKE $1)
          AND ($2::text IS NULL OR starts_with(d.dag_id, $2))
          AND (cardinality($3::text[]) = 0 OR d.tags && $3)
          AND ($4::boolean IS NULL OR d.is_paused = $4)
          AND ($5 OR NOT d.is_stale)
          AND ($6::text IS NULL OR d.dag_id = $6)
        ORDER BY CASE WHEN NOT $7 THEN d.dag_id END, CASE WHEN $7 THEN d.dag_id END DESC
        LIMIT $8 OFFSET $9
    )
    SELECT d.dag, d.dag_id, d.version, v.created_at AS version_created_at, d.file, d.is_paused,
           d.pause_cause, d.is_stale, e.file IS NOT NULL AS has_import_error,
           CASE WHEN NOT d.is_paused THEN d.next_run_at END AS next_run_at,
           CASE WHEN NOT d.is_paused THEN coalesce(d.next_interval_start, d.next_run_at) END
               AS next_interval_start,
           CASE WHEN NOT d.is_paused THEN coalesce(d.next_interval_end, d.next_run_at) END
               AS next_interval_end,
           d.parsed_at,
           jsonb_set(v.canonical, '{tasks}', '[]') AS head,
           ARRAY(SELECT DISTINCT t ->> 'owner' FROM jsonb_array_elements(v.canonical -> 'tasks') t
                 WHERE t ->> 'owner' IS NOT NULL ORDER BY 1) AS owners,
           jsonb_array_length(v.canonical -> 'tasks')::bigint AS task_count,
           coalesce(l.runs_active, 0)::bigint AS runs_active,
           d.total
    FROM wanted d
    JOIN dag_version v ON v.dag = d.dag AND v.version = d.version
    LEFT JOIN dag_load l ON l.dag = d.dag
    LEFT JOIN import_error e ON e.file = d.file
    ORDER BY CASE WHEN NOT $7 THEN d.dag_id END, CASE WHEN $7 THEN d.dag_id END DESC";

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

    async fn dag_rows(
        &self,
        filter: &DagFilter,
        exact: Option<&str>,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<DagRow>, StoreError> {
        Ok(sqlx::query_as(DAGS)
            .bind(filter.name.as_deref().map(anywhere))
            .bind(filter.prefix.as_deref())
            .bind(&filter.tags)
            .bind(filter.paused)
            .bind(filter.with_stale)
            .bind(exact)
            .bind(filter.descending)
            .bind(limit)
            .bind(offset)
            .fetch_all(&self.pool)
            .await?)
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
        .fetch_all(&self.pool)
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
        .fetch_all(&self.pool)
        .await?)
    }

    /// Returns a page of the files that do not parse, the newest first.
    pub async fn import_error_list(
        &self,
        limit: i64,
        offset: i64,
    ) -> Result<Page<ImportError>, StoreError> {
        let items = sqlx::query_as(
            "SELECT file, message, occurred_at FROM import_error
             ORDER BY occurred_at DESC, file LIMIT $1 OFFSET $2",
        )
        .bind(limit)
        .bind(offset)
        .fetch_all(&self.pool)
        .await?;
        let total =
            sqlx::query_scalar("SELECT count(*) FROM import_error").fetch_one(&self.pool).await?;
        Ok(Page { items, total })
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
            runs_active: self.runs_active,
        })
    }
}
