//! What tries hand on and leave behind: XComs, datasets, logs, dead letters, task state.

use serde_json::Value;
use sqlx::FromRow;
use subak_core::ids::{InstanceKey, RunKey, TaskNo};

use crate::engine::{EngineTx, Fence};
use crate::statement::statements;
use crate::{Store, StoreError};

/// A value that a try hands on.
#[derive(Debug, Clone)]
pub struct NewXCom {
    pub key: InstanceKey,
    pub name: String,
    pub value: Value,
    /// As people see it, where that differs: secrets are hidden.
    pub shown: Option<Value>,
    /// Where a large value lies, and its bytes; `value` and `shown` are then the secrets in it.
    pub large: Option<(String, i64)>,
}

/// A dataset that a try made.
#[derive(Debug, Clone)]
pub struct NewDataset {
    pub key: InstanceKey,
    pub name: String,
    pub reference: Value,
    pub stats: Value,
    pub preview: Value,
}

/// Rows of a scan, counted by a task that has read all of it.
#[derive(Debug, Clone)]
pub struct NewScanCount {
    pub run: RunKey,
    /// The task whose dataset the scan is.
    pub task_id: String,
    /// The reader's: within a mapped group the dataset's, too.
    pub map_index: i32,
    pub rows: i64,
}

/// Some whole lines of a try's log.
#[derive(Debug, Clone)]
pub struct NewLogChunk {
    pub fence: Fence,
    pub sequence: i32,
    pub first_line: i64,
    pub lines: i32,
    pub lz4: Vec<u8>,
}

/// A rejected record.
#[derive(Debug, Clone)]
pub struct NewDeadLetter {
    pub source: String,
    pub partition: i32,
    pub position: i64,
    pub reasons: Value,
    pub raw: Vec<u8>,
    /// As people see it, where that differs: secrets are hidden.
    pub shown: Option<Vec<u8>>,
    /// What is needed besides to take it again.
    pub metadata: Option<Value>,
    /// The dead letter that the record was; 0: none, or the task that rejected it cannot know.
    pub replay_of: i64,
}

/// An XCom as a task asks for it.
#[derive(Debug, Clone, FromRow)]
pub struct XComRow {
    pub task: i32,
    pub map_index: i32,
    pub key: String,
    pub value: Value,
    /// As people see it, where that differs.
    pub shown: Option<Value>,
    /// Where a large value lies; `value` and `shown` are then the secrets in it.
    pub object: Option<String>,
}

/// What one instance of a mapped task handed on.
#[derive(FromRow)]
struct Gathered {
    value: Value,
    shown: Option<Value>,
    object: Option<String>,
    bytes: i64,
}

statements! {
    Points TASK_STATE_PUT = "
        WITH holder AS (
            SELECT run.dag, live.task, live.map_index FROM live
            JOIN run ON run.run_key = live.run_key
            WHERE live.run_key = $1 AND live.task = $2 AND live.map_index = $3
              AND live.session = $4 AND live.token = $5
        ), removed AS (
            DELETE FROM task_state_store AS s USING holder AS h
            WHERE (s.dag, s.task, s.map_index, s.key) = (h.dag, h.task, h.map_index, $6)
              AND $7::jsonb IS NULL
        ), kept AS (
            INSERT INTO task_state_store (dag, task, map_index, key, value)
            SELECT dag, task, map_index, $6, $7::jsonb FROM holder WHERE $7::jsonb IS NOT NULL
            ON CONFLICT (dag, task, map_index, key)
            DO UPDATE SET value = EXCLUDED.value, updated_at = now()
        )
        SELECT count(*) FROM holder";

    Points XCOMS_PUT = "
        INSERT INTO xcom (run_key, task, map_index, key, value, shown, object, size_bytes)
        SELECT * FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::text[], $5::jsonb[],
                             $6::jsonb[], $7::text[], $8::bigint[])
        ON CONFLICT (run_key, task, map_index, key)
        DO UPDATE SET value = EXCLUDED.value, shown = EXCLUDED.shown, object = EXCLUDED.object,
                      size_bytes = EXCLUDED.size_bytes, created_at = now()";

    Points DATASETS_PUT = "
        INSERT INTO dataset (run_key, task, map_index, name, ref, stats, preview)
        SELECT * FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::text[],
                             $5::jsonb[], $6::jsonb[], $7::jsonb[])
        ON CONFLICT (run_key, task, map_index, name)
        DO UPDATE SET ref = EXCLUDED.ref, stats = EXCLUDED.stats, preview = EXCLUDED.preview,
                      created_at = now()";

    Points SCANS_COUNT = "
        UPDATE dataset AS d SET stats = jsonb_set(d.stats, '{rows}', to_jsonb(c.counted))
        FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::integer[])
             AS c (run_key, task_id, counted, map_index)
        JOIN run ON run.run_key = c.run_key
        JOIN dag_task AS t ON t.dag = run.dag AND t.task_id = c.task_id
        WHERE d.run_key = ANY ($1) AND d.run_key = c.run_key AND d.task = t.task
          AND d.map_index IN (-1, c.map_index) AND d.stats->'rows' IS NULL";

    Points DEAD_LETTERS_SHOW = "
        UPDATE dead_letter SET visible = true WHERE token = ANY ($1) AND NOT visible";

    Points DEAD_LETTERS_PUT = "
        WITH holder AS (
            SELECT run.dag, live.task, live.run_key, live.map_index, live.token,
                   (SELECT max(r.id + 0) FROM topic_range AS r
                    WHERE r.run_key = live.run_key AND r.dag = run.dag AND r.replay_run IS NOT NULL)
                       AS replay
            FROM live
            JOIN run ON run.run_key = live.run_key
            WHERE live.run_key = $1 AND live.task = $2 AND live.map_index = $3
              AND live.session = $4 AND live.token = $5
        )
        INSERT INTO dead_letter AS d
            (dag, task, source, partition, position, reasons, raw, shown, metadata, run_key, map_index,
             token, range_id, replay_of)
        SELECT DISTINCT ON (w.source, w.partition, w.position, coalesce(old.id, 0))
               h.dag, h.task, w.source, w.partition, w.position, w.reasons, w.raw, w.shown,
               w.metadata, h.run_key, h.map_index, h.token,
               coalesce((SELECT max(r.id + 0) FROM topic_range AS r
                         WHERE r.run_key = h.run_key AND r.dag = h.dag AND r.topic = w.source),
                        old.range_id),
               coalesce(old.id, 0)
        FROM holder AS h
        CROSS JOIN unnest($6::text[], $7::integer[], $8::bigint[], $9::jsonb[], $10::bytea[],
                          $11::bytea[], $12::jsonb[], $13::bigint[])
                   AS w (source, partition, position, reasons, raw, shown, metadata, replay_of)
        LEFT JOIN LATERAL (
            SELECT max(o.id + 0) AS id, max(o.range_id) AS range_id FROM dead_letter AS o
            WHERE o.replay = h.replay AND o.source = w.source AND o.partition = w.partition
              AND o.position = w.position AND (w.replay_of = 0 OR o.id = w.replay_of)
        ) AS old ON true
        ON CONFLICT (run_key, task, map_index, source, partition, position, replay_of) DO UPDATE
        SET reasons = EXCLUDED.reasons, raw = EXCLUDED.raw, shown = EXCLUDED.shown,
            metadata = EXCLUDED.metadata, range_id = EXCLUDED.range_id, token = EXCLUDED.token,
            visible = CASE WHEN d.replay IS NULL AND d.state <> 'dismissed' THEN false
                           ELSE d.visible END,
            state = CASE WHEN d.replay IS NULL AND d.state <> 'dismissed' THEN 'open'
                         ELSE d.state END,
            created_at = now()";

    Points XCOMS_OF = "
        SELECT task, map_index, key, value, shown, object FROM xcom
        WHERE run_key = $1 AND task = ANY ($2)";

    /// A row beyond `$4` bytes is the last one, so that the reader sees that there is one.
    Points XCOMS_GATHER = "
        SELECT value, shown, object, bytes FROM (
            SELECT map_index, value, shown, object, bytes,
                   sum(bytes) OVER (ORDER BY map_index) - bytes AS before
            FROM xcom
            CROSS JOIN LATERAL (
                SELECT coalesce(size_bytes, octet_length(value::text)) AS bytes
            ) AS b
            WHERE run_key = $1 AND task = $2 AND map_index >= 0 AND key = $3 AND value <> 'null'
        ) AS x
        WHERE before <= $4
        ORDER BY map_index";

    Points XCOM_OF = "
        SELECT task, map_index, key, value, shown, object FROM xcom
        WHERE run_key = $1 AND task = $2 AND map_index = $3 AND key = $4";

    /// The newest value that runs of the DAG with an earlier logical date than that of run `$1` have; no more
    /// than a thousand runs are looked at, from the newest on.
    Points XCOM_BEFORE = "
        SELECT x.task, x.map_index, x.key, x.value, x.shown, x.object
        FROM run
        CROSS JOIN LATERAL (
            SELECT x.*
            FROM (
                SELECT b.run_key, b.logical_date FROM run AS b
                WHERE b.dag = run.dag AND b.logical_date < run.logical_date
                ORDER BY b.logical_date DESC LIMIT 1000
            ) AS b
            CROSS JOIN LATERAL (
                SELECT * FROM xcom
                WHERE xcom.run_key = b.run_key AND xcom.task = $2 AND xcom.map_index = -1 AND xcom.key = $3
                LIMIT 1
            ) AS x
            ORDER BY b.logical_date DESC LIMIT 1
        ) AS x
        WHERE run.run_key = $1";

    Points DATASET_OF = "
        SELECT ref FROM dataset WHERE run_key = $1 AND task = $2 AND map_index = $3 LIMIT 1";

    Points DATASETS_OF = "
        SELECT task, map_index, ref FROM dataset WHERE run_key = $1 AND task = ANY ($2)";

    Points TASK_STATE_GET = "
        SELECT s.value FROM live
        JOIN run ON run.run_key = live.run_key
        JOIN task_state_store AS s
          ON s.dag = run.dag AND s.task = live.task AND s.map_index = live.map_index
        WHERE live.run_key = $1 AND live.task = $2 AND live.map_index = $3
          AND live.session = $4 AND live.token = $5 AND s.key = $6";
}

pub(crate) fn column<T, V>(rows: &[T], value: impl Fn(&T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

impl EngineTx<'_> {
    /// Keeps XComs; a later try's replace an earlier one's.
    pub async fn xcoms_put(&mut self, xcoms: &[NewXCom]) -> Result<(), StoreError> {
        if xcoms.is_empty() {
            return Ok(());
        }
        sqlx::query(XCOMS_PUT)
            .bind(column(xcoms, |x| x.key.run.0))
            .bind(column(xcoms, |x| x.key.task.0))
            .bind(column(xcoms, |x| x.key.map_index.0))
            .bind(column(xcoms, |x| x.name.clone()))
            .bind(column(xcoms, |x| x.value.clone()))
            .bind(column(xcoms, |x| x.shown.clone()))
            .bind(column(xcoms, |x| x.large.as_ref().map(|(object, _)| object.clone())))
            .bind(column(xcoms, |x| x.large.as_ref().map(|(_, bytes)| *bytes)))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Keeps datasets.
    pub async fn datasets_put(&mut self, datasets: &[NewDataset]) -> Result<(), StoreError> {
        if datasets.is_empty() {
            return Ok(());
        }
        sqlx::query(DATASETS_PUT)
            .bind(column(datasets, |d| d.key.run.0))
            .bind(column(datasets, |d| d.key.task.0))
            .bind(column(datasets, |d| d.key.map_index.0))
            .bind(column(datasets, |d| d.name.clone()))
            .bind(column(datasets, |d| d.reference.clone()))
            .bind(column(datasets, |d| d.stats.clone()))
            .bind(column(datasets, |d| d.preview.clone()))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Adds rows to the statistics of scans, which had none.
    pub async fn scans_count(&mut self, scans: &[NewScanCount]) -> Result<(), StoreError> {
        if scans.is_empty() {
            return Ok(());
        }
        sqlx::query(SCANS_COUNT)
            .bind(column(scans, |s| s.run.0))
            .bind(column(scans, |s| s.task_id.clone()))
            .bind(column(scans, |s| s.rows))
            .bind(column(scans, |s| s.map_index))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Shows the dead letters of accepted tries.
    pub async fn dead_letters_show(&mut self, tokens: &[i64]) -> Result<(), StoreError> {
        sqlx::query(DEAD_LETTERS_SHOW).bind(tokens).execute(&mut *self.tx).await?;
        Ok(())
    }
}

impl Store {
    /// Keeps rejected records of a try that still holds its task; false if it was superseded.
    pub async fn dead_letters_put(
        &self,
        fence: &Fence,
        letters: &[NewDeadLetter],
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(DEAD_LETTERS_PUT)
            .bind(fence.instance.run.0)
            .bind(fence.instance.task.0)
            .bind(fence.instance.map_index.0)
            .bind(fence.session)
            .bind(fence.token)
            .bind(column(letters, |l| l.source.clone()))
            .bind(column(letters, |l| l.partition))
            .bind(column(letters, |l| l.position))
            .bind(column(letters, |l| l.reasons.clone()))
            .bind(column(letters, |l| l.raw.clone()))
            .bind(column(letters, |l| l.shown.clone()))
            .bind(column(letters, |l| l.metadata.clone()))
            .bind(column(letters, |l| l.replay_of))
            .execute(self.engine())
            .await?;
        Ok(done.rows_affected() > 0 || letters.is_empty())
    }

    /// XComs of these tasks of a run.
    pub async fn xcoms_of(&self, run: RunKey, tasks: &[i32]) -> Result<Vec<XComRow>, StoreError> {
        Ok(sqlx::query_as(XCOMS_OF).bind(run.0).bind(tasks).fetch_all(self.engine()).await?)
    }

    /// What the instances of a mapped task hand on under a key, ordered by map index; `None` if that is
    /// more than this many bytes.
    pub async fn xcoms_gather(
        &self,
        run: RunKey,
        task: TaskNo,
        key: &str,
        most: i64,
    ) -> Result<Option<Vec<(Value, Option<Value>)>>, StoreError> {
        let rows: Vec<Gathered> = sqlx::query_as(XCOMS_GATHER)
            .bind(run.0)
            .bind(task.0)
            .bind(key)
            .bind(most)
            .fetch_all(self.engine())
            .await?;
        if rows.iter().map(|row| row.bytes).sum::<i64>() > most {
            return Ok(None);
        }
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            all.push(match row.object {
                Some(object) => {
                    let large = self.xcom_large(&object).await?;
                    (large.value, large.shown)
                }
                None => (row.value, row.shown),
            });
        }
        Ok(Some(all))
    }

    /// What one instance handed on under a key, as it is and as people see it.
    pub async fn xcom_of(&self, at: InstanceKey, key: &str) -> Result<Option<XComRow>, StoreError> {
        Ok(sqlx::query_as(XCOM_OF)
            .bind(at.run.0)
            .bind(at.task.0)
            .bind(at.map_index.0)
            .bind(key)
            .fetch_optional(self.engine())
            .await?)
    }

    /// What a task handed on under a key in the newest run before one that has it.
    pub async fn xcom_before(
        &self,
        run: RunKey,
        task: TaskNo,
        key: &str,
    ) -> Result<Option<XComRow>, StoreError> {
        let found = sqlx::query_as(XCOM_BEFORE).bind(run.0).bind(task.0).bind(key);
        Ok(found.fetch_optional(self.engine()).await?)
    }

    /// The reference of the dataset that one instance made.
    pub async fn dataset_of(&self, at: InstanceKey) -> Result<Option<Value>, StoreError> {
        Ok(sqlx::query_scalar(DATASET_OF)
            .bind(at.run.0)
            .bind(at.task.0)
            .bind(at.map_index.0)
            .fetch_optional(self.engine())
            .await?)
    }

    /// References of the datasets that these tasks of a run made, by task.
    pub async fn datasets_of(
        &self,
        run: RunKey,
        tasks: &[i32],
    ) -> Result<Vec<(i32, i32, Value)>, StoreError> {
        Ok(sqlx::query_as(DATASETS_OF).bind(run.0).bind(tasks).fetch_all(self.engine()).await?)
    }

    /// A value of a task's state store, for a try that still holds its task.
    pub async fn task_state_get(
        &self,
        fence: &Fence,
        key: &str,
    ) -> Result<Option<Value>, StoreError> {
        let row: Option<(Value,)> = sqlx::query_as(TASK_STATE_GET)
            .bind(fence.instance.run.0)
            .bind(fence.instance.task.0)
            .bind(fence.instance.map_index.0)
            .bind(fence.session)
            .bind(fence.token)
            .bind(key)
            .fetch_optional(self.engine())
            .await?;
        Ok(row.map(|(value,)| value))
    }

    /// Sets (or, with `None`, removes) a value of a task's state store; false if superseded.
    pub async fn task_state_put(
        &self,
        fence: &Fence,
        key: &str,
        value: Option<&Value>,
    ) -> Result<bool, StoreError> {
        let (held,): (i64,) = sqlx::query_as(TASK_STATE_PUT)
            .bind(fence.instance.run.0)
            .bind(fence.instance.task.0)
            .bind(fence.instance.map_index.0)
            .bind(fence.session)
            .bind(fence.token)
            .bind(key)
            .bind(value)
            .fetch_one(self.engine())
            .await?;
        Ok(held == 1)
    }
}
