//! Replays: dead letters that go through again, each once.
//!
//! A replay is recorded as a range before its run is made. Sinks keep it in their ledgers like one of
//! a topic; until all of them have it, its dead letters are open, and only it can take them.

use serde_json::Value;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use subak_core::letter::{Letter, RECORD_BYTES_MOST, REPLAY_CLUSTER, REPLAY_TOPIC, Replay};
use subak_core::range::{Answer, Partition, Range};

use crate::range_life::range_in_tx;
use crate::ranges::Holder;
use crate::read::{LetterFilter, push_letter_conditions};
use crate::statement::statements;
use crate::{Store, StoreError};

/// Dead letters of one replay.
const LETTERS_MOST: i64 = 100_000;

/// Bytes of records that a worker is given at once.
const BYTES_AT_ONCE: i64 = 1 << 20;

/// Dead letters of one task.
#[derive(Debug, Clone, FromRow)]
pub struct LetterGroup {
    pub dag: i32,
    pub dag_id: String,
    pub task: i32,
    pub task_id: String,
}

/// A replay that a run is to be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct NewReplay {
    pub id: i64,
    pub letters: i64,
}

/// Why dead letters are not open to be replayed.
#[derive(Debug, Clone, Default, FromRow)]
pub struct NotReplayable {
    pub all: i64,
    pub replayed: i64,
    pub superseded: i64,
    pub dismissed: i64,
    /// A run takes them now.
    pub taken: i64,
    pub taken_by: Option<String>,
    /// The replay's range.
    pub taken_range: Option<i64>,
    /// What came beside them is not loaded yet.
    pub unsettled: i64,
    /// Only their beginning was kept.
    pub cut: i64,
}

#[derive(FromRow)]
struct OwnRow {
    id: i64,
    sequence: i64,
    partitions: Value,
    records: Option<i64>,
    topic: String,
    task_id: String,
    again: Option<i64>,
}

#[derive(FromRow)]
struct LetterRow {
    id: i64,
    source: String,
    partition: i32,
    position: i64,
    raw: Vec<u8>,
    metadata: Option<Value>,
}

#[derive(FromRow)]
struct LeftRow {
    id: i64,
    letters: i64,
    run_key: i64,
}

statements! {
    /// A run finds the replay that it was made for, and owns it.
    Points REPLAY_OWN = "
        UPDATE topic_range AS r SET run_key = run.run_key
        FROM run, dag_task AS t
        WHERE run.run_key = $1 AND r.dag = run.dag AND r.replay_run = run.run_id
          AND t.dag = r.dag AND t.task = r.task
        RETURNING r.id, r.sequence, r.partitions, r.records, r.topic, r.again, t.task_id";

    Points REPLAY_SIZES = "
        SELECT l.id, (octet_length(l.raw) + coalesce(octet_length(l.metadata::text), 0))::bigint
        FROM dead_letter AS l
        WHERE l.replay = $1 AND l.id > $2 ORDER BY l.id LIMIT 500";

    Points REPLAY_LETTERS = "
        SELECT l.id, l.source, l.partition, l.position, l.raw, l.metadata FROM dead_letter AS l
        WHERE l.replay = $1 AND l.id > $2 AND l.id <= $3 ORDER BY l.id";

    Points REPLAY_IS_OWN = "
        SELECT EXISTS (SELECT FROM topic_range WHERE id = $1 AND run_key = $2)";

    /// Once a replay is in all of its sinks.
    Points REPLAY_DONE = "
        UPDATE dead_letter SET state = 'replayed'
        WHERE replay = $1 AND state = 'open'
          AND EXISTS (SELECT FROM topic_range WHERE id = $1 AND state = 'committed')";

    /// The same of a range that was loaded once more: what was rejected then counts.
    Points RANGE_AGAIN = "
        UPDATE dead_letter AS l SET state = 'superseded'
        FROM topic_range AS r
        WHERE r.id = $1 AND r.again IS NOT NULL AND r.state = 'committed'
          AND l.range_id = r.again AND l.state = 'open' AND l.replay IS NULL";

    /// A range is read anew by another run: what an earlier one rejected of it does not count.
    Points RANGE_SUPERSEDE = "
        UPDATE dead_letter SET state = 'superseded'
        WHERE range_id = $1 AND run_key <> $2 AND state = 'open' AND replay IS NULL";
}

/// Of records that were rejected when what came beside them was not loaded: they are read anew with it.
pub(crate) const UNSETTLED: &str = "
    (EXISTS (SELECT FROM topic_range AS g WHERE g.id = l.range_id AND g.state = 'open')
     OR EXISTS (SELECT FROM topic_range AS g
                WHERE g.run_key = l.run_key AND g.dag = l.dag AND g.replay_run IS NOT NULL
                  AND g.state = 'open'))";

/// Of a replay (`r`) whose run is at work, or waits to be.
const ACTIVE: &str = "
    EXISTS (SELECT FROM run WHERE run.dag = r.dag AND run.run_id = r.replay_run
            AND run.state IN ('queued', 'running'))";

/// All that count, with their DAGs (`d`), tasks (`t`) and runs (`r`).
pub(crate) const FROM: &str = "
    FROM dead_letter l
    JOIN dag d ON d.dag = l.dag
    JOIN dag_task t ON t.dag = l.dag AND t.task = l.task
    LEFT JOIN run r ON r.run_key = l.run_key
    WHERE l.visible";

/// Answers what a try asks of the replay that its run was made for.
pub(crate) async fn own_in_tx(
    db: &mut PgConnection,
    holder: &Holder,
) -> Result<Answer, StoreError> {
    let row: Option<OwnRow> =
        sqlx::query_as(REPLAY_OWN).bind(holder.run_key).fetch_optional(&mut *db).await?;
    let Some(row) = row else { return Ok(Answer::Replay { replay: None }) };
    let again = match row.again {
        Some(id) => range_in_tx(db, id).await?,
        None => None,
    };
    let is_gone = row.again.is_some() && again.is_none();
    let replay = (!is_gone).then(|| row.replay(again)).transpose()?;
    Ok(Answer::Replay { replay })
}

/// Answers with the next dead letters of a replay, provided that it is still the run's.
pub(crate) async fn letters_in_tx(
    db: &mut PgConnection,
    holder: &Holder,
    replay: i64,
    after: i64,
) -> Result<Answer, StoreError> {
    let is_own: bool = sqlx::query_scalar(REPLAY_IS_OWN)
        .bind(replay)
        .bind(holder.run_key)
        .fetch_one(&mut *db)
        .await?;
    if !is_own {
        return Ok(Answer::Replay { replay: None });
    }
    let sizes: Vec<(i64, i64)> =
        sqlx::query_as(REPLAY_SIZES).bind(replay).bind(after).fetch_all(&mut *db).await?;
    let mut bytes = 0;
    let mut last = after;
    for (id, size) in sizes {
        bytes += size;
        if bytes > BYTES_AT_ONCE && last > after {
            break;
        }
        last = id;
    }
    let rows: Vec<LetterRow> =
        sqlx::query_as(REPLAY_LETTERS).bind(replay).bind(after).bind(last).fetch_all(db).await?;
    Ok(Answer::Letters { letters: rows.into_iter().map(LetterRow::letter).collect() })
}

/// Notes what became of dead letters when a range, or a replay, was committed by a sink.
pub(crate) async fn committed_in_tx(db: &mut PgConnection, range: i64) -> Result<(), StoreError> {
    sqlx::query(REPLAY_DONE).bind(range).execute(&mut *db).await?;
    sqlx::query(RANGE_AGAIN).bind(range).execute(db).await?;
    Ok(())
}

/// Notes that a run reads a range anew which another one has left.
pub(crate) async fn supersede_in_tx(
    db: &mut PgConnection,
    range: i64,
    run_key: i64,
) -> Result<(), StoreError> {
    sqlx::query(RANGE_SUPERSEDE).bind(range).bind(run_key).execute(db).await?;
    Ok(())
}

/// Notes what becomes of dead letters of a range, or in a replay, that was given up: those of the range
/// are read anew, those of the replay are open again unless a sink has them.
pub(crate) async fn abandoned_in_tx(db: &mut PgConnection, range: i64) -> Result<(), StoreError> {
    committed_in_tx(db, range).await?;
    sqlx::query(
        "WITH gone AS (SELECT id, committed FROM topic_range WHERE id = $1 AND state = 'abandoned'),
              read_anew AS (
                  UPDATE dead_letter AS l SET state = 'superseded' FROM gone
                  WHERE l.range_id = gone.id AND l.state = 'open' AND l.replay IS NULL
              )
         UPDATE dead_letter AS l
         SET replay = CASE WHEN gone.committed = '{}' THEN NULL ELSE l.replay END,
             state = CASE WHEN gone.committed = '{}' THEN 'open' ELSE 'dismissed' END
         FROM gone WHERE l.replay = gone.id AND l.state = 'open'",
    )
    .bind(range)
    .execute(db)
    .await?;
    Ok(())
}

impl Store {
    /// The tasks whose dead letters are open, of those asked for.
    pub async fn letter_groups(
        &self,
        filter: &LetterFilter,
    ) -> Result<Vec<LetterGroup>, StoreError> {
        let mut query = QueryBuilder::new("SELECT DISTINCT l.dag, d.dag_id, l.task, t.task_id");
        query.push(FROM).push(" AND l.state = 'open'");
        push_letter_conditions(&mut query, filter);
        query.push(" ORDER BY d.dag_id, t.task_id LIMIT 100");
        Ok(query.build_query_as().fetch_all(self.pool()).await?)
    }

    /// Records a replay of dead letters of one task, of those asked for, for a run with this id that is
    /// to be made next: one that a run has left, as it was; else a new one. `None` if none is open.
    pub async fn replay_begin(
        &self,
        group: &LetterGroup,
        filter: &LetterFilter,
        sinks: &[String],
        run_id: &str,
    ) -> Result<Option<NewReplay>, StoreError> {
        let mut tx = self.pool().begin().await?;
        sqlx::query("SELECT 1 FROM dag_task WHERE dag = $1 AND task = $2 FOR NO KEY UPDATE")
            .bind(group.dag)
            .bind(group.task)
            .execute(&mut *tx)
            .await?;
        let begun = match left_in_tx(&mut tx, group, filter, sinks, run_id).await? {
            Some(left) => Some(left),
            None => new_in_tx(&mut tx, group, filter, sinks, run_id).await?,
        };
        match begun {
            Some(_) => tx.commit().await?,
            None => tx.rollback().await?,
        }
        Ok(begun)
    }

    /// Counts why dead letters that were asked for are not open to be replayed.
    pub async fn letters_not_replayable(
        &self,
        filter: &LetterFilter,
    ) -> Result<NotReplayable, StoreError> {
        let open = "l.state = 'open' AND l.replay IS NULL";
        let mut query = QueryBuilder::new(
            "SELECT count(*) AS all, count(*) FILTER (WHERE l.state = 'replayed') AS replayed,
                    count(*) FILTER (WHERE l.state = 'superseded') AS superseded,
                    count(*) FILTER (WHERE l.state = 'dismissed') AS dismissed,
                    count(*) FILTER (WHERE l.state = 'open' AND l.replay IS NOT NULL) AS taken,
                    max(b.replay_run) FILTER (WHERE l.state = 'open') AS taken_by,
                    max(b.id) FILTER (WHERE l.state = 'open') AS taken_range,",
        );
        query.push(" count(*) FILTER (WHERE ").push(open).push(" AND ").push(UNSETTLED);
        query.push(") AS unsettled, count(*) FILTER (WHERE ").push(open);
        query.push(" AND octet_length(l.raw) >= ").push_bind(record_bytes_most()).push(") AS cut");
        query.push(FROM.replace("WHERE", "LEFT JOIN topic_range b ON b.id = l.replay WHERE"));
        push_letter_conditions(&mut query, filter);
        Ok(query.build_query_as().fetch_one(self.pool()).await?)
    }
}

/// Takes over a replay whose run has ended: as a whole, since a sink may have it.
async fn left_in_tx(
    db: &mut PgConnection,
    group: &LetterGroup,
    filter: &LetterFilter,
    sinks: &[String],
    run_id: &str,
) -> Result<Option<NewReplay>, StoreError> {
    let mut query = QueryBuilder::new(
        "SELECT r.id, coalesce(r.records, 0) AS letters, r.run_key FROM topic_range AS r
         WHERE r.state = 'open' AND r.replay_run IS NOT NULL AND r.dag = ",
    );
    query.push_bind(group.dag).push(" AND r.task = ").push_bind(group.task);
    query.push(" AND NOT ").push(ACTIVE).push(" AND r.id IN (SELECT l.replay");
    query.push(FROM);
    push_group(&mut query, group, filter);
    query.push(") ORDER BY r.id LIMIT 1");
    let left: Option<LeftRow> = query.build_query_as().fetch_optional(&mut *db).await?;
    let Some(LeftRow { id, letters, run_key }) = left else { return Ok(None) };
    sqlx::query(
        "UPDATE topic_range
         SET replay_run = $2, run_key = 0,
             sinks = CASE WHEN committed = '{}' THEN $3::text[] ELSE sinks END
         WHERE id = $1",
    )
    .bind(id)
    .bind(run_id)
    .bind(sinks)
    .execute(&mut *db)
    .await?;
    // Whatever that run rejected is rejected anew.
    sqlx::query(
        "UPDATE dead_letter SET state = 'superseded'
         WHERE run_key = $1 AND state = 'open' AND replay IS NULL",
    )
    .bind(run_key)
    .execute(db)
    .await?;
    Ok(Some(NewReplay { id, letters }))
}

async fn new_in_tx(
    db: &mut PgConnection,
    group: &LetterGroup,
    filter: &LetterFilter,
    sinks: &[String],
    run_id: &str,
) -> Result<Option<NewReplay>, StoreError> {
    let (id, sequence): (i64, i64) = sqlx::query_as(
        "INSERT INTO topic_range (dag, task, sequence, cluster, topic, partitions, has_gap, sinks,
                                  run_key, replay_run)
         SELECT $1::integer, $2::integer, coalesce(max(sequence), 0) + 1, $3::text, $4::text,
                '[]'::jsonb, false, $5::text[], 0, $6::text
         FROM topic_range WHERE dag = $1::integer AND task = $2::integer
         RETURNING id, sequence",
    )
    .bind(group.dag)
    .bind(group.task)
    .bind(REPLAY_CLUSTER)
    .bind(REPLAY_TOPIC)
    .bind(sinks)
    .bind(run_id)
    .fetch_one(&mut *db)
    .await?;
    let mut query = QueryBuilder::new("UPDATE dead_letter SET replay = ");
    // The state is asked for twice: one may be dismissed while this waits for its row.
    query.push_bind(id).push(" WHERE state = 'open' AND replay IS NULL AND id IN (SELECT l.id");
    query.push(FROM);
    push_group(&mut query, group, filter);
    query.push(" AND l.state = 'open' AND l.replay IS NULL AND octet_length(l.raw) < ");
    query.push_bind(record_bytes_most()).push(" AND NOT ").push(UNSETTLED);
    query.push(" ORDER BY l.id LIMIT ").push_bind(LETTERS_MOST).push(")");
    let taken = query.build().execute(&mut *db).await?.rows_affected();
    let letters = i64::try_from(taken).unwrap_or(i64::MAX);
    if letters == 0 {
        return Ok(None);
    }
    let partition = i32::try_from(sequence).unwrap_or(i32::MAX);
    let part = Partition { partition, after: 0, from: 0, to: letters, last: None };
    sqlx::query("UPDATE topic_range SET partitions = $2, records = $3 WHERE id = $1")
        .bind(id)
        .bind(sqlx::types::Json([part]))
        .bind(letters)
        .execute(db)
        .await?;
    Ok(Some(NewReplay { id, letters }))
}

fn push_group(query: &mut QueryBuilder<Postgres>, group: &LetterGroup, filter: &LetterFilter) {
    query.push(" AND l.dag = ").push_bind(group.dag);
    query.push(" AND l.task = ").push_bind(group.task);
    push_letter_conditions(query, filter);
}

fn record_bytes_most() -> i64 {
    i64::try_from(RECORD_BYTES_MOST).unwrap_or(i64::MAX)
}

impl OwnRow {
    fn replay(self, again: Option<Range>) -> Result<Replay, StoreError> {
        let partitions = serde_json::from_value(self.partitions)
            .map_err(|error| StoreError::from(sqlx::Error::Decode(error.into())))?;
        let range = Range {
            id: self.id,
            sequence: self.sequence,
            cluster: REPLAY_CLUSTER.to_owned(),
            topic: self.topic,
            partitions,
            records: self.records,
            bytes: None,
        };
        Ok(Replay { task: self.task_id, range, again })
    }
}

impl LetterRow {
    fn letter(self) -> Letter {
        Letter {
            id: self.id,
            source: self.source,
            partition: self.partition,
            position: self.position,
            raw: self.raw,
            metadata: self.metadata.unwrap_or_default(),
        }
    }
}
