//! `subak_offsets`: how far a database has a topic, written in the transaction of the rows.
//!
//! It is the truth of a pipeline: a range is loaded only where the position before it is found, and
//! the position moves with its rows or not at all. So no range is loaded twice, and none is left out,
//! whoever loads it and whatever dies.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use subak_task::{
    LedgerName, LedgerTopic, Positions, RangeRef, TaskContext, TaskError, TaskIdentity,
};

use crate::load::tables::{self, LedgerTable};
use crate::name::Identifier;
use crate::target::Target;

/// Keeps two creators apart, anywhere in the database.
const CREATE_LOCK: i64 = 0x5375_6261_6b4f_6666;

/// The columns that say whose positions a row is one of.
const KEY: &str = "installation, dag_id, consume_task, load_task, cluster, topic";

/// The ledger of one database, for one load.
pub(crate) struct Offsets {
    schema: Identifier,
    target: Target,
    identity: TaskIdentity,
    load_task: String,
}

impl Offsets {
    /// That of the load `load_task`; the identity says which installation's and DAG's.
    pub(crate) fn new(
        target: &Target,
        ctx: &TaskContext,
        load_task: &str,
    ) -> Result<Self, TaskError> {
        Ok(Self {
            schema: Identifier::new(&target.ledger_schema)?,
            target: target.clone(),
            identity: TaskIdentity::clone(&ctx.identity),
            load_task: load_task.to_owned(),
        })
    }

    /// Creates the table unless it exists, in a transaction of its own.
    pub(crate) async fn ensure(&self, db: &mut PgConnection) -> Result<(), TaskError> {
        tables::ensure(db, &self.target, &[self.definition()]).await
    }

    /// The next offset by partition; none if nothing was loaded yet.
    pub(crate) async fn read(
        &self,
        db: &mut PgConnection,
        topic: &LedgerTopic,
    ) -> Result<BTreeMap<i32, i64>, TaskError> {
        let exists = tables::exists(db, &self.definition()).await;
        if !exists.map_err(|error| self.refused(error))? {
            return Ok(BTreeMap::new());
        }
        let read = format!(
            "SELECT partition, next_offset FROM {} WHERE ({KEY}) = ($1, $2, $3, $4, $5, $6)",
            self.table()
        );
        let rows: Vec<(i32, i64)> = sqlx::query_as(AssertSqlSafe(read))
            .bind(&self.identity.installation)
            .bind(&self.identity.dag_id)
            .bind(&topic.consume_task)
            .bind(&self.load_task)
            .bind(&topic.cluster)
            .bind(&topic.topic)
            .fetch_all(db)
            .await
            .map_err(|error| self.refused(error))?;
        Ok(rows.into_iter().collect())
    }

    /// Waits, outside of a transaction, until the ranges before this one are loaded. One that nobody
    /// loads is an error.
    pub(crate) async fn await_turn(
        &self,
        db: &mut PgConnection,
        range: &RangeRef,
        ctx: &TaskContext,
    ) -> Result<(), TaskError> {
        let mut reading = Reading { offsets: self, db };
        range.await_turn(&self.load_task, &self.name(), ctx, &mut reading).await
    }

    /// Locks the positions of a range in the open transaction. Returns whether the range is here
    /// already.
    pub(crate) async fn hold_in_tx(
        &self,
        db: &mut PgConnection,
        range: &RangeRef,
    ) -> Result<bool, TaskError> {
        // Of a sink that has never loaded the position is where the range begins. Whoever inserts
        // second waits for the first one's end.
        let insert = format!(
            "INSERT INTO {} AS o ({KEY}, partition, next_offset)
             SELECT $1, $2, $3, $4, $5, $6, partition, position
             FROM unnest($7::integer[], $8::bigint[]) AS p (partition, position)
             ORDER BY partition
             ON CONFLICT DO NOTHING",
            self.table()
        );
        let partitions: Vec<i32> = range.partitions.iter().map(|part| part.partition).collect();
        let after: Vec<i64> = range.partitions.iter().map(|part| part.after).collect();
        self.bound(&insert, range)
            .bind(&partitions)
            .bind(&after)
            .execute(&mut *db)
            .await
            .map_err(|error| self.refused(error))?;
        let lock = format!(
            "SELECT 1 FROM {} WHERE ({KEY}) = ($1, $2, $3, $4, $5, $6) AND partition = ANY ($7)
             ORDER BY partition FOR UPDATE",
            self.table()
        );
        self.bound(&lock, range)
            .bind(&partitions)
            .execute(&mut *db)
            .await
            .map_err(|error| self.refused(error))?;
        let positions = self.read(db, &range.ledger_topic()).await?;
        range.is_committed(&self.name(), &positions)
    }

    /// Moves the positions of a held range behind it, in the open transaction.
    pub(crate) async fn advance_in_tx(
        &self,
        db: &mut PgConnection,
        range: &RangeRef,
    ) -> Result<(), TaskError> {
        let advance = format!(
            "UPDATE {} AS o
             SET next_offset = p.to_offset, run_uuid = $10, updated_at = clock_timestamp()
             FROM unnest($7::integer[], $8::bigint[], $9::bigint[]) AS p (partition, after, to_offset)
             WHERE (o.installation, o.dag_id, o.consume_task, o.load_task, o.cluster, o.topic)
                   = ($1, $2, $3, $4, $5, $6)
               AND o.partition = p.partition AND o.next_offset = p.after",
            self.table()
        );
        let column = |value: fn(&subak_task::RangePart) -> i64| -> Vec<i64> {
            range.partitions.iter().map(value).collect()
        };
        let partitions: Vec<i32> = range.partitions.iter().map(|part| part.partition).collect();
        let moved = self
            .bound(&advance, range)
            .bind(&partitions)
            .bind(column(|part| part.after))
            .bind(column(|part| part.to))
            .bind(&self.identity.run_uuid)
            .execute(db)
            .await
            .map_err(|error| self.refused(error))?;
        if moved.rows_affected() == partitions.len() as u64 {
            return Ok(());
        }
        // They are locked: somebody has removed them in this very transaction, as a trigger would.
        Err(TaskError::transient(format!(
            "{}: positions of {range} have changed in {} while they were locked",
            self.target,
            self.table()
        )))
    }

    fn bound<'q>(
        &'q self,
        sql: &str,
        range: &'q RangeRef,
    ) -> sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments> {
        sqlx::query(AssertSqlSafe(sql.to_owned()))
            .bind(&self.identity.installation)
            .bind(&self.identity.dag_id)
            .bind(&range.task)
            .bind(&self.load_task)
            .bind(&range.cluster)
            .bind(&range.topic)
    }

    fn name(&self) -> LedgerName {
        LedgerName { target: self.target.to_string(), ledger: self.table() }
    }

    fn table(&self) -> String {
        format!("{}.subak_offsets", self.schema)
    }

    /// What is to be created before the first range.
    pub(crate) fn definition(&self) -> LedgerTable {
        let ddl = format!(
            "CREATE TABLE IF NOT EXISTS {} (
    installation text        NOT NULL,
    dag_id       text        NOT NULL,
    consume_task text        NOT NULL,
    load_task    text        NOT NULL,
    cluster      text        NOT NULL,
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    next_offset  bigint      NOT NULL,
    run_uuid     text,
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (installation, dag_id, consume_task, load_task, cluster, topic, partition)
);",
            self.table()
        );
        LedgerTable {
            name: self.table(),
            ddl,
            purpose: "in `subak_offsets` how far it has a topic, so that no record is loaded twice",
            lock: CREATE_LOCK,
        }
    }

    fn refused(&self, error: sqlx::Error) -> TaskError {
        tables::refused(&self.target, &[self.definition()], error)
    }
}

/// The ledger, over a session.
struct Reading<'a> {
    offsets: &'a Offsets,
    db: &'a mut PgConnection,
}

#[async_trait]
impl Positions for Reading<'_> {
    async fn read(&mut self, range: &RangeRef) -> Result<BTreeMap<i32, i64>, TaskError> {
        self.offsets.read(self.db, &range.ledger_topic()).await
    }
}
