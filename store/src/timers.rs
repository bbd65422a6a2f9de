//! What is due: retries, deadlines of runs, runs that wait for their time, schedules, the outbox. Found by plain reads; whoever
//! acts on a row locks its run first and looks again.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::FromRow;
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};

use crate::engine::EngineTx;
use crate::statement::statements;
use crate::{Store, StoreError};

/// Work left for a transaction of its own.
#[derive(Debug, Clone, FromRow)]
pub struct OutboxRow {
    pub id: i64,
    pub kind: String,
    pub run_key: Option<i64>,
    pub dag: Option<i32>,
    pub payload: Value,
}

/// The earliest instant at which something is due, and the database's time.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct NextDue {
    pub now: DateTime<Utc>,
    pub due_at: Option<DateTime<Utc>>,
}

statements! {
    /// Not `min`: made while there were few timers, its plan would read all of them.
    Due TIMER_NEXT = "
        SELECT now() AS now,
               least((SELECT due_at FROM live WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1),
                     (SELECT due_at FROM outbox ORDER BY due_at LIMIT 1),
                     (SELECT deadline_at FROM run
                      WHERE deadline_at IS NOT NULL ORDER BY deadline_at LIMIT 1),
                     (SELECT waits_until FROM run
                      WHERE waits_until IS NOT NULL ORDER BY waits_until LIMIT 1),
                     (SELECT schedule_due_at FROM dag
                      WHERE schedule_due_at IS NOT NULL AND NOT is_paused AND NOT is_stale
                      ORDER BY schedule_due_at LIMIT 1)) AS due_at";

    Due TIMERS_DUE = "
        SELECT run_key, task, map_index FROM live
        WHERE due_at IS NOT NULL AND due_at <= now() ORDER BY due_at LIMIT $1";

    Due DEADLINES_DUE = "
        SELECT run_key FROM run WHERE deadline_at <= now() ORDER BY deadline_at LIMIT $1";

    Due WAITS_OVER = "
        SELECT run_key FROM run WHERE waits_until <= now() ORDER BY waits_until LIMIT $1";

    Due OUTBOX_PEEK = "
        SELECT id, kind, run_key, dag, payload FROM outbox WHERE due_at <= now()
        ORDER BY due_at, id LIMIT 1";

    Points OUTBOX_REMOVE = "DELETE FROM outbox WHERE id = $1 RETURNING payload";

    Points OUTBOX_OF_RUN = "
        SELECT id, kind, run_key, dag, payload FROM outbox WHERE run_key = $1";

    Points OUTBOX_CHANGE = "UPDATE outbox SET payload = $2 WHERE id = $1";

    Points OUTBOX_POSTPONE = "
        UPDATE outbox
        SET failures = failures + 1,
            due_at = now() + least(2 ^ least(failures, 9), 300) * interval '1 second'
        WHERE id = $1";

    Points OUTBOX_PUT = "INSERT INTO outbox (kind, run_key, dag, payload) VALUES ($1, $2, $3, $4)";
}

impl Store {
    /// When the next timer of any kind is due.
    pub async fn timer_next(&self) -> Result<NextDue, StoreError> {
        Ok(sqlx::query_as(TIMER_NEXT).fetch_one(self.engine()).await?)
    }

    /// Task instances whose timer is due, the longest overdue first.
    pub async fn timers_due(&self, most: i64) -> Result<Vec<InstanceKey>, StoreError> {
        let rows: Vec<(i64, i32, i32)> =
            sqlx::query_as(TIMERS_DUE).bind(most).fetch_all(self.engine()).await?;
        Ok(rows
            .into_iter()
            .map(|(run, task, map)| InstanceKey {
                run: RunKey(run),
                task: TaskNo(task),
                map_index: MapIndex(map),
            })
            .collect())
    }

    /// Runs whose `dagrun_timeout` has passed.
    pub async fn deadlines_due(&self, most: i64) -> Result<Vec<RunKey>, StoreError> {
        let rows: Vec<(i64,)> =
            sqlx::query_as(DEADLINES_DUE).bind(most).fetch_all(self.engine()).await?;
        Ok(rows.into_iter().map(|(key,)| RunKey(key)).collect())
    }

    /// Queued runs whose time has come.
    pub async fn runs_due(&self, most: i64) -> Result<Vec<RunKey>, StoreError> {
        let rows: Vec<(i64,)> =
            sqlx::query_as(WAITS_OVER).bind(most).fetch_all(self.engine()).await?;
        Ok(rows.into_iter().map(|(key,)| RunKey(key)).collect())
    }
}

impl Store {
    /// Puts a row of the outbox off that failed: longer each time, five minutes at most.
    pub async fn outbox_postpone(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query(OUTBOX_POSTPONE).bind(id).execute(self.engine()).await?;
        Ok(())
    }
}

impl EngineTx<'_> {
    /// The first row of the outbox that is due, not locked.
    pub async fn outbox_peek(&mut self) -> Result<Option<OutboxRow>, StoreError> {
        Ok(sqlx::query_as(OUTBOX_PEEK).fetch_optional(&mut *self.tx).await?)
    }

    /// Removes a row of the outbox; returns what it holds now, `None` if somebody else worked it off.
    pub async fn outbox_remove(&mut self, id: i64) -> Result<Option<Value>, StoreError> {
        Ok(sqlx::query_scalar(OUTBOX_REMOVE).bind(id).fetch_optional(&mut *self.tx).await?)
    }

    /// What the outbox holds for a locked run.
    pub async fn outbox_of_run(&mut self, run: RunKey) -> Result<Vec<OutboxRow>, StoreError> {
        Ok(sqlx::query_as(OUTBOX_OF_RUN).bind(run.0).fetch_all(&mut *self.tx).await?)
    }

    /// Changes what a row of a locked run holds.
    pub async fn outbox_change(&mut self, id: i64, payload: &Value) -> Result<(), StoreError> {
        sqlx::query(OUTBOX_CHANGE).bind(id).bind(payload).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Leaves work for a transaction of its own.
    pub async fn outbox_put(
        &mut self,
        kind: &str,
        run: Option<RunKey>,
        dag: Option<i32>,
        payload: &Value,
    ) -> Result<(), StoreError> {
        sqlx::query(OUTBOX_PUT)
            .bind(kind)
            .bind(run.map(|run| run.0))
            .bind(dag)
            .bind(payload)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}
