//! Ranges of topics: who reads what. Everything is asked by a try, and fenced by its token.

use serde_json::Value;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use subak_core::range::{Answer, Operation, Origin, Partition, Range, SinkPositions, Skipped};

use crate::engine::Fence;
use crate::statement::statements;
use crate::{Store, StoreError, replays};

/// A try that asks, and its pipeline.
#[derive(FromRow)]
pub(crate) struct Holder {
    pub(crate) dag: i32,
    pub(crate) task: i32,
    pub(crate) run_key: i64,
    pub(crate) map_index: i32,
    version: i32,
}

#[derive(FromRow)]
pub(crate) struct Row {
    id: i64,
    sequence: i64,
    cluster: String,
    topic: String,
    partitions: Value,
    sinks: Vec<String>,
    records: Option<i64>,
    bytes: Option<i64>,
}

/// What else is known of a range that somebody left.
#[derive(FromRow)]
struct Left {
    run_key: i64,
    version: Option<i32>,
    skips: i32,
    run_id: Option<String>,
    committed: Vec<String>,
}

statements! {
    Points HOLDER = "
        SELECT run.dag, live.task, live.run_key, live.map_index, run.version FROM live
        JOIN run ON run.run_key = live.run_key
        WHERE live.run_key = $1 AND live.task = $2 AND live.map_index = $3
          AND live.session = $4 AND live.token = $5";

    /// One at a time works on the ranges of a pipeline.
    Points PIPELINE_LOCK = "
        SELECT 1 FROM dag_task WHERE dag = $1 AND task = $2 FOR NO KEY UPDATE";

    Points OPEN = "
        SELECT id, sequence, cluster, topic, partitions, sinks, records, bytes FROM topic_range
        WHERE dag = $1 AND task = $2 AND state = 'open' ORDER BY sequence LIMIT 1000";

    Points OWN = "
        SELECT id, sequence, cluster, topic, partitions, sinks, records, bytes FROM topic_range
        WHERE run_key = $1 AND dag = $2 AND task = $3 AND state <> 'abandoned'
        ORDER BY sequence DESC LIMIT 1";

    /// The oldest open one whose run has ended, or is gone.
    Points LEFT = "
        SELECT r.id, r.sequence, r.cluster, r.topic, r.partitions, r.sinks, r.records, r.bytes
        FROM topic_range AS r
        WHERE r.dag = $1 AND r.task = $2 AND r.state = 'open' AND r.cluster = $3 AND r.topic = $4
          AND coalesce((SELECT run.state FROM run WHERE run.run_key = r.run_key), 'failed')
              NOT IN ('queued', 'running')
        ORDER BY r.sequence LIMIT 1";

    Points LEFT_BY = "
        SELECT r.run_key, r.version, r.skips, r.committed,
               (SELECT run.run_id FROM run WHERE run.run_key = r.run_key) AS run_id
        FROM topic_range AS r WHERE r.id = $1";

    /// Of these loads those that the run has skipped.
    Points SKIPPED_BY = "
        SELECT t.task_id FROM dag_task AS t
        WHERE t.dag = $1 AND t.task_id = ANY ($3)
          AND (SELECT h.state FROM try_history AS h
               WHERE h.run_key = $2 AND h.task = t.task AND h.map_index = -1
               ORDER BY h.token DESC LIMIT 1) = 'skipped'";

    /// The task that reads, if it is its own sink and the run has succeeded.
    Points SUCCEEDED = "
        SELECT t.task_id FROM dag_task AS t
        WHERE t.dag = $1 AND t.task = $2 AND t.task_id = ANY ($4)
          AND (SELECT run.state FROM run WHERE run.run_key = $3) = 'success'";

    Points OWN_PUT = "UPDATE topic_range SET run_key = $2, skips = $3 WHERE id = $1";

    Points NEWEST = "
        SELECT sequence FROM topic_range WHERE dag = $1 AND task = $2 ORDER BY sequence DESC LIMIT 1";

    /// The newest one of the same topic.
    Points NEWEST_OF_TOPIC = "
        SELECT id, sequence, cluster, topic, partitions, sinks, records, bytes FROM topic_range
        WHERE dag = $1 AND task = $2 AND cluster = $3 AND topic = $4 AND state <> 'abandoned'
        ORDER BY sequence DESC LIMIT 1";

    Points CUT = "
        INSERT INTO topic_range (dag, task, sequence, predecessor, cluster, topic, partitions, sinks,
                                 run_key, has_gap)
        SELECT $1::integer, $2::integer, $3::bigint + 1,
               (SELECT id FROM topic_range
                WHERE dag = $1::integer AND task = $2::integer AND sequence = $3::bigint),
               $4::text, $5::text, $6::jsonb, $7::text[], $8::bigint, $9::boolean
        RETURNING id";

    Points READ = "
        UPDATE topic_range
        SET partitions = $2, records = $3, bytes = $4, rejected = $5, filtered = $7, read_at = now()
        WHERE id = $1 AND run_key = $6";

    Points COMMIT = "
        UPDATE topic_range
        SET committed = CASE WHEN $2::text = ANY (committed) THEN committed
                             ELSE committed || $2::text END,
            state = CASE WHEN sinks <@ (committed || $2::text) THEN 'committed' ELSE state END,
            version = CASE WHEN $2::text = ANY (committed) THEN version
                           ELSE coalesce(version, (SELECT run.version FROM run
                                                   WHERE run.run_key = topic_range.run_key)) END,
            ended_at = CASE WHEN sinks <@ (committed || $2::text) THEN now() END
        WHERE id = $1 AND dag = $3 AND state = 'open'";

    /// What a load tells of its rows comes late where a reader has found the range in the sink before.
    Points LOADED = "
        UPDATE topic_range SET loaded = loaded || jsonb_build_object($2::text, $4::bigint)
        WHERE id = $1 AND dag = $3 AND $2::text = ANY (committed) AND loaded -> $2::text IS NULL";

    /// A run that works on an earlier range that a sink lacks, and whether there is such a range at all.
    Points WAITS = "
        SELECT min(run.run_id), count(*) > 0
        FROM topic_range AS mine
        JOIN topic_range AS r ON r.dag = mine.dag AND r.task = mine.task AND r.state = 'open'
                             AND r.sequence < mine.sequence
                             AND (r.cluster, r.topic) = (mine.cluster, mine.topic)
        LEFT JOIN run ON run.run_key = r.run_key AND run.state IN ('queued', 'running')
        WHERE mine.id = $1 AND $2::text = ANY (r.sinks) AND NOT $2::text = ANY (r.committed)
          AND (cardinality($3::integer[]) = 0
               OR EXISTS (SELECT FROM jsonb_array_elements(r.partitions) AS part
                          WHERE (part ->> 'partition')::integer = ANY ($3)
                            AND part -> 'to' <> part -> 'after'))";
}

impl Store {
    /// Does what a try asks of its ranges; `None` if the try was superseded.
    pub async fn range_ask(
        &self,
        fence: &Fence,
        operation: Operation,
    ) -> Result<Option<Answer>, StoreError> {
        let mut tx = self.engine().begin().await?;
        let holder: Option<Holder> = sqlx::query_as(HOLDER)
            .bind(fence.instance.run.0)
            .bind(fence.instance.task.0)
            .bind(fence.instance.map_index.0)
            .bind(fence.session)
            .bind(fence.token)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(holder) = holder else { return Ok(None) };
        let answer = match operation {
            Operation::Take { cluster, topic, sinks, may_skip } => {
                let of = Of { cluster: &cluster, topic: &topic };
                take_in_tx(&mut tx, &holder, of, &sinks, &may_skip).await?
            }
            Operation::Cut { newest, cluster, topic, partitions, sinks } => {
                let cut = NewRange { newest, cluster, topic, partitions, sinks };
                cut_in_tx(&mut tx, &holder, cut).await?
            }
            Operation::Read { range, partitions, records, bytes, rejected, filtered } => {
                sqlx::query(READ)
                    .bind(range)
                    .bind(Json(&partitions))
                    .bind(records)
                    .bind(bytes)
                    .bind(rejected)
                    .bind(holder.run_key)
                    .bind(filtered)
                    .execute(&mut *tx)
                    .await?;
                Answer::Done
            }
            Operation::Commit { range, sink, rows } => {
                commit_in_tx(&mut tx, holder.dag, range, &sink).await?;
                if let Some(rows) = rows {
                    sqlx::query(LOADED)
                        .bind(range)
                        .bind(&sink)
                        .bind(holder.dag)
                        .bind(rows)
                        .execute(&mut *tx)
                        .await?;
                }
                Answer::Done
            }
            Operation::Waits { range, sink, partitions } => {
                let (run_id, is_there): (Option<String>, bool) = sqlx::query_as(WAITS)
                    .bind(range)
                    .bind(sink)
                    .bind(partitions)
                    .fetch_one(&mut *tx)
                    .await?;
                let is_left = is_there && run_id.is_none();
                Answer::Waits { run_id, is_left }
            }
            Operation::Replay => replays::own_in_tx(&mut tx, &holder).await?,
            Operation::Letters { replay, after } => {
                replays::letters_in_tx(&mut tx, &holder, replay, after).await?
            }
        };
        tx.commit().await?;
        Ok(Some(answer))
    }
}

/// A topic.
#[derive(Clone, Copy)]
struct Of<'a> {
    cluster: &'a str,
    topic: &'a str,
}

async fn take_in_tx(
    db: &mut PgConnection,
    holder: &Holder,
    of: Of<'_>,
    sinks: &[SinkPositions],
    may_skip: &[String],
) -> Result<Answer, StoreError> {
    let Of { cluster, topic } = of;
    sqlx::query(PIPELINE_LOCK).bind(holder.dag).bind(holder.task).execute(&mut *db).await?;
    let own: Option<Row> = sqlx::query_as(OWN)
        .bind(holder.run_key)
        .bind(holder.dag)
        .bind(holder.task)
        .fetch_optional(&mut *db)
        .await?;
    if let Some(own) = own.filter(|own| own.cluster == cluster && own.topic == topic) {
        return own.answer(Origin::Own, None);
    }
    settle_in_tx(db, holder, cluster, topic, sinks).await?;
    let left: Option<Row> = sqlx::query_as(LEFT)
        .bind(holder.dag)
        .bind(holder.task)
        .bind(cluster)
        .bind(topic)
        .fetch_optional(&mut *db)
        .await?;
    if let Some(left) = left {
        return left_in_tx(db, holder, left, may_skip).await;
    }
    let newest: Option<i64> = sqlx::query_scalar(NEWEST)
        .bind(holder.dag)
        .bind(holder.task)
        .fetch_optional(&mut *db)
        .await?;
    let last: Option<Row> = sqlx::query_as(NEWEST_OF_TOPIC)
        .bind(holder.dag)
        .bind(holder.task)
        .bind(cluster)
        .bind(topic)
        .fetch_optional(&mut *db)
        .await?;
    let last = last.map(Row::range).transpose()?;
    let open: Vec<Row> =
        sqlx::query_as(OPEN).bind(holder.dag).bind(holder.task).fetch_all(&mut *db).await?;
    let is_active = open.iter().any(|row| row.cluster == cluster && row.topic == topic);
    Ok(Answer::None { newest: newest.unwrap_or(0), last, is_active })
}

/// Hands on a range that a run has left, unless something is to be done about it first.
async fn left_in_tx(
    db: &mut PgConnection,
    holder: &Holder,
    mut range: Row,
    may_skip: &[String],
) -> Result<Answer, StoreError> {
    let left: Left = sqlx::query_as(LEFT_BY).bind(range.id).fetch_one(&mut *db).await?;
    // Whoever has it may be gone from the DAG; who lacks it may not.
    range.sinks.retain(|sink| !left.committed.contains(sink));
    let open = range.sinks.clone();
    if let Some(version) = left.version.filter(|version| *version != holder.version) {
        return Ok(Answer::Begun { range: range.range()?, version, run_id: left.run_id, open });
    }
    let skipped: Vec<String> = sqlx::query_scalar(SKIPPED_BY)
        .bind(holder.dag)
        .bind(left.run_key)
        .bind(&open)
        .fetch_all(&mut *db)
        .await?;
    let mut done: Vec<String> =
        skipped.iter().filter(|sink| may_skip.contains(sink)).cloned().collect();
    // The reader itself, of a pipeline without a load.
    done.extend(
        sqlx::query_scalar::<_, String>(SUCCEEDED)
            .bind(holder.dag)
            .bind(holder.task)
            .bind(left.run_key)
            .bind(&open)
            .fetch_all(&mut *db)
            .await?,
    );
    if !done.is_empty() {
        let run_id = left.run_id.unwrap_or_default();
        return Ok(Answer::Skipped { range: range.range()?, sinks: done, run_id });
    }
    let skips = if skipped.is_empty() { 0 } else { left.skips.saturating_add(1) };
    sqlx::query(OWN_PUT).bind(range.id).bind(holder.run_key).bind(skips).execute(&mut *db).await?;
    replays::supersede_in_tx(db, range.id, holder.run_key).await?;
    let skipped = skipped.into_iter().next().map(|sink| Skipped { sink, runs: skips });
    range.answer(Origin::Left, skipped)
}

/// Notes what the ledgers say is committed, and nobody has told.
async fn settle_in_tx(
    db: &mut PgConnection,
    holder: &Holder,
    cluster: &str,
    topic: &str,
    sinks: &[SinkPositions],
) -> Result<(), StoreError> {
    let open: Vec<Row> =
        sqlx::query_as(OPEN).bind(holder.dag).bind(holder.task).fetch_all(&mut *db).await?;
    for row in open.into_iter().filter(|row| row.cluster == cluster && row.topic == topic) {
        let range = row.range()?;
        for sink in sinks.iter().filter(|sink| range.is_committed_by(&sink.positions)) {
            commit_in_tx(db, holder.dag, range.id, &sink.sink).await?;
        }
    }
    Ok(())
}

/// A range to be recorded.
struct NewRange {
    newest: i64,
    cluster: String,
    topic: String,
    partitions: Vec<Partition>,
    sinks: Vec<String>,
}

async fn cut_in_tx(
    db: &mut PgConnection,
    holder: &Holder,
    cut: NewRange,
) -> Result<Answer, StoreError> {
    sqlx::query(PIPELINE_LOCK).bind(holder.dag).bind(holder.task).execute(&mut *db).await?;
    let newest: Option<i64> = sqlx::query_scalar(NEWEST)
        .bind(holder.dag)
        .bind(holder.task)
        .fetch_optional(&mut *db)
        .await?;
    if newest.unwrap_or(0) != cut.newest || holder.map_index >= 0 {
        return Ok(Answer::Changed);
    }
    let has_gap = cut.partitions.iter().any(|part| part.after != part.from);
    let id: i64 = sqlx::query_scalar(CUT)
        .bind(holder.dag)
        .bind(holder.task)
        .bind(cut.newest)
        .bind(&cut.cluster)
        .bind(&cut.topic)
        .bind(Json(&cut.partitions))
        .bind(&cut.sinks)
        .bind(holder.run_key)
        .bind(has_gap)
        .fetch_one(db)
        .await?;
    let NewRange { newest, cluster, topic, partitions, sinks } = cut;
    let sequence = newest + 1;
    let range = Range { id, sequence, cluster, topic, partitions, records: None, bytes: None };
    Ok(Answer::Range { range, sinks, origin: Origin::Cut, skipped: None })
}

async fn commit_in_tx(
    db: &mut PgConnection,
    dag: i32,
    range: i64,
    sink: &str,
) -> Result<(), StoreError> {
    sqlx::query(COMMIT).bind(range).bind(sink).bind(dag).execute(&mut *db).await?;
    replays::committed_in_tx(db, range).await
}

impl Row {
    pub(crate) fn range(self) -> Result<Range, StoreError> {
        let partitions = serde_json::from_value(self.partitions)
            .map_err(|error| StoreError::from(sqlx::Error::Decode(error.into())))?;
        Ok(Range {
            id: self.id,
            sequence: self.sequence,
            cluster: self.cluster,
            topic: self.topic,
            partitions,
            records: self.records,
            bytes: self.bytes,
        })
    }

    fn answer(mut self, origin: Origin, skipped: Option<Skipped>) -> Result<Answer, StoreError> {
        let sinks = std::mem::take(&mut self.sinks);
        Ok(Answer::Range { range: self.range()?, sinks, origin, skipped })
    }
}
