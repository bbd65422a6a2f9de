//! Pipelines: tasks that read topics, and how far they are by the ranges that were recorded.

use serde_json::Value;
use sqlx::FromRow;
use subak_core::range::Partition;

use super::from_json;
use crate::{Store, StoreError};

/// Pipelines that are told of at most.
const MOST: i64 = 1_000;

/// A task that reads a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineRecord {
    pub dag_id: String,
    pub task_id: String,
    pub connection: String,
    /// As the DAG names it; of a template that of the newest range.
    pub topic: String,
    /// That of the newest range.
    pub cluster: Option<String>,
    /// The newest range: it was read up to there, or is being read. Empty: none was cut yet.
    pub newest: Vec<Partition>,
    /// The oldest range that is not in all of its sinks.
    pub open: Vec<Partition>,
    /// How many there are of these.
    pub open_ranges: i64,
}

#[derive(FromRow)]
struct Row {
    dag_id: String,
    task_id: String,
    connection: String,
    topic: String,
    cluster: Option<String>,
    newest: Option<Value>,
    open: Option<Value>,
    open_ranges: i64,
}

/// $1 limit.
const PIPELINES: &str = r#"
    WITH reading AS (
        SELECT d.dag, d.dag_id, t ->> 'task_id' AS task_id, t -> 'with' ->> 'connection' AS connection,
               t -> 'with' ->> 'topic' AS topic
        FROM dag d
        JOIN dag_version v ON v.dag = d.dag AND v.version = d.version
        CROSS JOIN LATERAL jsonb_array_elements(v.canonical -> 'tasks') t
        WHERE NOT d.is_stale AND v.canonical -> 'tasks' @> '[{"operator": "kafka.consume"}]'
          AND t ->> 'operator' = 'kafka.consume'
        ORDER BY 2, 3
        LIMIT $1
    )
    SELECT r.dag_id, r.task_id, r.connection, coalesce(newest.topic, r.topic) AS topic, newest.cluster,
           newest.partitions AS newest, open.partitions AS open,
           coalesce(open.ranges, 0) AS open_ranges
    FROM reading r
    JOIN dag_task k ON k.dag = r.dag AND k.task_id = r.task_id
    LEFT JOIN LATERAL (
        SELECT b.cluster, b.topic, b.partitions FROM topic_range b
        WHERE b.dag = r.dag AND b.task = k.task AND b.state <> 'abandoned'
          AND (b.topic = r.topic OR r.topic LIKE '%{{%')
        ORDER BY b.sequence DESC LIMIT 1
    ) newest ON true
    LEFT JOIN LATERAL (
        SELECT (array_agg(b.partitions ORDER BY b.sequence))[1] AS partitions, count(*) AS ranges
        FROM topic_range b
        WHERE b.dag = r.dag AND b.task = k.task AND b.state = 'open'
          AND (b.cluster, b.topic) = (newest.cluster, newest.topic)
    ) open ON true
    ORDER BY r.dag_id, r.task_id"#;

impl PipelineRecord {
    /// The offset behind the last record that was read of a partition, or that a range spans.
    #[must_use]
    pub fn position(&self, partition: i32) -> Option<i64> {
        self.newest.iter().find(|part| part.partition == partition).map(|part| part.to)
    }

    /// The offset up to which every sink has the partition.
    #[must_use]
    pub fn loaded(&self, partition: i32) -> Option<i64> {
        let open = self.open.iter().find(|part| part.partition == partition);
        open.map(|part| part.from).or_else(|| self.position(partition))
    }
}

impl Store {
    /// Returns the pipelines of all DAGs whose file is there, by DAG and task.
    pub async fn pipelines(&self) -> Result<Vec<PipelineRecord>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(PIPELINES).bind(MOST).fetch_all(self.pool()).await?;
        rows.into_iter().map(Row::record).collect()
    }

    /// Counts runs that are not over: active and queued, by what the rows of their DAGs and backfills
    /// say.
    pub async fn runs_count(&self) -> Result<(i64, i64), StoreError> {
        Ok(sqlx::query_as(
            "SELECT coalesce(sum(runs_active), 0)::bigint, coalesce(sum(runs_queued), 0)::bigint
             FROM (SELECT runs_active, runs_queued FROM dag_load
                   UNION ALL
                   SELECT runs_active, runs_queued FROM backfill) AS load",
        )
        .fetch_one(self.pool())
        .await?)
    }

    /// Counts task instances that are ready, run or wait on a timer, by state and queue.
    pub async fn live_count(&self) -> Result<Vec<(String, String, i64)>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT state::text, queue, count(*) FROM live GROUP BY state, queue ORDER BY 1, 2
             LIMIT 1000",
        )
        .fetch_all(self.pool())
        .await?)
    }
}

impl Row {
    fn record(self) -> Result<PipelineRecord, StoreError> {
        let what = || format!("a range of {}.{}", self.dag_id, self.task_id);
        let parts = |value: Option<Value>| value.map_or(Ok(Vec::new()), |it| from_json(it, what));
        Ok(PipelineRecord {
            newest: parts(self.newest)?,
            open: parts(self.open)?,
            dag_id: self.dag_id.clone(),
            task_id: self.task_id.clone(),
            connection: self.connection,
            topic: self.topic,
            cluster: self.cluster,
            open_ranges: self.open_ranges,
        })
    }
}
