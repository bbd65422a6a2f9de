//! Ends that people are told of. Whoever takes one has two minutes to send it; after that it is due
//! again, so that a server that dies with it costs time only. It may then be sent twice.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::FromRow;
use subak_core::ids::{MapIndex, RunKey, TaskNo};

use crate::engine::EngineTx;
use crate::results::column;
use crate::statement::statements;
use crate::{Store, StoreError};

/// One that is to be sent.
#[derive(Debug, Clone)]
pub struct NewNotification {
    pub run: RunKey,
    /// `None`: it is about the run.
    pub task: Option<(TaskNo, MapIndex)>,
    /// `failure`, `success` or `retry`.
    pub event: &'static str,
    pub connection: String,
    pub recipients: Vec<String>,
    /// `try_number`, `error`, `exit_code`, `cause`.
    pub facts: Value,
}

/// One that was taken to be sent now.
#[derive(Debug, Clone, FromRow)]
pub struct Notification {
    pub id: i64,
    pub dag_id: String,
    pub run_id: String,
    pub run_state: String,
    pub run_type: String,
    pub logical_date: Option<DateTime<Utc>>,
    pub task_id: Option<String>,
    pub map_index: i32,
    pub event: String,
    pub connection: String,
    pub recipients: Vec<String>,
    pub facts: Value,
    pub created_at: DateTime<Utc>,
    /// How often it was tried, this time included.
    pub failures: i32,
}

statements! {
    Points NOTIFICATIONS_PUT = "
        INSERT INTO notification (run_key, task, map_index, event, connection, recipients, facts)
        SELECT run_key, task, map_index, event, connection,
               ARRAY(SELECT jsonb_array_elements_text(recipients)), facts
        FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::text[], $5::text[], $6::jsonb[],
                    $7::jsonb[])
             AS n (run_key, task, map_index, event, connection, recipients, facts)";

    /// How long nothing is due; null: nothing waits.
    Due NOTIFICATION_NEXT = "
        SELECT (extract(epoch FROM due_at - now()) * 1000)::bigint FROM notification
        WHERE given_up_at IS NULL ORDER BY due_at, id LIMIT 1";

    Due NOTIFICATIONS_TAKE = "
        WITH due AS MATERIALIZED (
            SELECT id FROM notification
            WHERE given_up_at IS NULL AND due_at <= now()
            ORDER BY due_at, id LIMIT $1
            FOR UPDATE SKIP LOCKED
        ), taken AS (
            UPDATE notification AS n
            SET due_at = now() + interval '2 minutes', failures = failures + 1
            FROM due WHERE n.id = due.id
            RETURNING n.*
        )
        SELECT n.id, d.dag_id, r.run_id, r.state::text AS run_state, r.run_type, r.logical_date,
               t.task_id, n.map_index, n.event, n.connection, n.recipients, n.facts, n.created_at,
               n.failures
        FROM taken AS n
        CROSS JOIN LATERAL (SELECT * FROM run WHERE run.run_key = n.run_key) AS r
        CROSS JOIN LATERAL (SELECT dag_id FROM dag WHERE dag.dag = r.dag) AS d
        LEFT JOIN LATERAL (
            SELECT task_id FROM dag_task WHERE dag_task.dag = r.dag AND dag_task.task = n.task
        ) AS t ON true";

    Points NOTIFICATION_SENT = "DELETE FROM notification WHERE id = $1";

    /// `$3`: another time would fail the same way.
    Points NOTIFICATION_FAILED = "
        UPDATE notification
        SET due_at = now() + least(5 * 2 ^ least(failures, 10), 3600) * interval '1 second',
            last_error = $2,
            given_up_at = CASE WHEN $3 OR failures >= 20 THEN now() END
        WHERE id = $1
        RETURNING given_up_at IS NOT NULL";
}

impl EngineTx<'_> {
    /// Leaves notifications to be sent once this transaction is committed.
    pub async fn notifications_put(&mut self, new: &[NewNotification]) -> Result<(), StoreError> {
        sqlx::query(NOTIFICATIONS_PUT)
            .bind(column(new, |n| n.run.0))
            .bind(column(new, |n| n.task.map(|(task, _)| task.0)))
            .bind(column(new, |n| n.task.map_or(MapIndex::NONE, |(_, index)| index).0))
            .bind(column(new, |n| n.event))
            .bind(column(new, |n| n.connection.clone()))
            .bind(column(new, |n| Value::from(n.recipients.clone())))
            .bind(column(new, |n| n.facts.clone()))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}

impl Store {
    /// Milliseconds until the next notification is due; `None`: none waits.
    pub async fn notification_next(&self) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar(NOTIFICATION_NEXT).fetch_optional(self.engine()).await?)
    }

    /// Takes notifications that are due.
    pub async fn notifications_take(&self, most: i64) -> Result<Vec<Notification>, StoreError> {
        Ok(sqlx::query_as(NOTIFICATIONS_TAKE).bind(most).fetch_all(self.engine()).await?)
    }

    /// It was sent.
    pub async fn notification_sent(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query(NOTIFICATION_SENT).bind(id).execute(self.engine()).await?;
        Ok(())
    }

    /// It was not; returns whether it was given up.
    pub async fn notification_failed(
        &self,
        id: i64,
        error: &str,
        for_good: bool,
    ) -> Result<bool, StoreError> {
        let given_up: Option<bool> = sqlx::query_scalar(NOTIFICATION_FAILED)
            .bind(id)
            .bind(error)
            .bind(for_good)
            .fetch_optional(self.engine())
            .await?;
        Ok(given_up.unwrap_or(false))
    }
}
