//! `subak_loads`: which loads a database has, written in the transaction of their rows.
//!
//! A try claims its load by inserting the row first. A second one, whatever became of the first, waits
//! for that transaction and then either finds the load done or does it.

use std::fmt;

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, FromRow};
use subak_core::operators::sql::LoadMode;
use subak_task::{TaskContext, TaskError, TaskIdentity};

use crate::load::tables::{self, LedgerTable};
use crate::name::Identifier;
use crate::target::Target;

/// Keeps two creators apart, anywhere in the database.
const CREATE_LOCK: i64 = 0x5375_6261_6b4c_6f61;

/// How a load was done before this try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// By an earlier try of the same task instance.
    Try,
    /// By another run, or before a clear: the ledger of the topic is past the range.
    Range,
}

/// What a load did.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(crate) struct Loaded {
    pub(crate) table_name: String,
    pub(crate) mode: String,
    /// Rows of the dataset.
    pub(crate) rows_read: i64,
    /// Rows in the table because of it: with `upsert` a repeated key counts once.
    pub(crate) rows_loaded: i64,
    /// Rows with a value that does not fit its column.
    pub(crate) rows_rejected: i64,
    /// Rows that are not: a later row has the same key, or a trigger of the table left them out.
    pub(crate) rows_filtered: i64,
    /// Where it was done before.
    #[sqlx(skip)]
    pub(crate) earlier: Option<Earlier>,
}

impl Loaded {
    /// The XCom value; the same whichever try reports it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "table": self.table_name,
            "mode": self.mode,
            "rows": self.rows_loaded,
            "rows_read": self.rows_read,
            "rows_rejected": self.rows_rejected,
            "rows_filtered": self.rows_filtered,
        })
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows into {} ({})", self.rows_loaded, self.table_name, self.mode)?;
        if self.rows_rejected > 0 {
            write!(f, "; {} of {} rows rejected", self.rows_rejected, self.rows_read)?;
        }
        if self.rows_filtered > 0 {
            let why = match self.mode.as_str() {
                "upsert" => "a later row has the same key, or the table left the row as it was",
                _ => "a trigger of the table left them out",
            };
            write!(f, "; {} of {} rows filtered: {why}", self.rows_filtered, self.rows_read)?;
        }
        Ok(())
    }
}

/// The ledger of one database, for one task instance.
pub(crate) struct Ledger {
    schema: Identifier,
    target: Target,
    identity: TaskIdentity,
}

impl Ledger {
    pub(crate) fn new(target: &Target, ctx: &TaskContext) -> Result<Self, TaskError> {
        Ok(Self {
            schema: Identifier::new(&target.ledger_schema)?,
            target: target.clone(),
            identity: TaskIdentity::clone(&ctx.identity),
        })
    }

    /// Claims the load in the open transaction, or returns what an earlier try did.
    pub(crate) async fn claim_in_tx(
        &self,
        db: &mut PgConnection,
        table: &str,
        mode: LoadMode,
    ) -> Result<Option<Loaded>, TaskError> {
        let id = &self.identity;
        let claim = format!(
            "INSERT INTO {} (installation, run_uuid, task_id, map_index, resets, dag_id, run_id,
                             table_name, mode)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
            self.table()
        );
        let claimed = sqlx::query(AssertSqlSafe(claim))
            .bind(&id.installation)
            .bind(&id.run_uuid)
            .bind(&id.task_id)
            .bind(id.map_index)
            .bind(i64::from(id.resets))
            .bind(&id.dag_id)
            .bind(&id.run_id)
            .bind(table)
            .bind(mode_name(mode))
            .execute(&mut *db)
            .await
            .map_err(|error| self.refused(error))?;
        if claimed.rows_affected() == 1 {
            return Ok(None);
        }
        let found = self.find(db).await?;
        found.map(Some).ok_or_else(|| self.removed())
    }

    /// Refuses to append the same rows once more, unless whoever cleared the task wants that.
    pub(crate) async fn check_in_tx(
        &self,
        db: &mut PgConnection,
        mode: LoadMode,
    ) -> Result<(), TaskError> {
        let id = &self.identity;
        if mode != LoadMode::Append || id.resets == 0 || id.load_again {
            return Ok(());
        }
        let find = format!(
            "SELECT table_name, rows_loaded,
                    to_char(loaded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') FROM {}
             WHERE (installation, run_uuid, task_id, map_index) = ($1, $2, $3, $4)
               AND resets < $5 AND mode = 'append' AND rows_loaded > 0
             ORDER BY resets DESC LIMIT 1",
            self.table()
        );
        let found: Option<(String, i64, String)> = sqlx::query_as(AssertSqlSafe(find))
            .bind(&id.installation)
            .bind(&id.run_uuid)
            .bind(&id.task_id)
            .bind(id.map_index)
            .bind(i64::from(id.resets))
            .fetch_optional(db)
            .await
            .map_err(|error| self.refused(error))?;
        let Some((table, rows, at)) = found else { return Ok(()) };
        let rows = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
        let TaskIdentity { dag_id, run_id, task_id, .. } = id;
        Err(TaskError::permanent(format!(
            "{}: this task has appended {rows} to {table} already ({at} UTC), before it was cleared: \
             once more, they would be there twice. Remove them and say that you want it: `subak runs \
             clear {dag_id} {run_id} --task {task_id} --load-again`; or let the task use `mode: \
             upsert` or `replace`, which come to the same however often they run",
            self.target
        )))
    }

    /// Returns what is recorded of the load.
    pub(crate) async fn find(&self, db: &mut PgConnection) -> Result<Option<Loaded>, TaskError> {
        let id = &self.identity;
        let find = format!(
            "SELECT table_name, mode, rows_read, rows_loaded, rows_rejected, rows_filtered FROM {}
             WHERE (installation, run_uuid, task_id, map_index, resets) = ($1, $2, $3, $4, $5)",
            self.table()
        );
        let found: Option<Loaded> = sqlx::query_as(AssertSqlSafe(find))
            .bind(&id.installation)
            .bind(&id.run_uuid)
            .bind(&id.task_id)
            .bind(id.map_index)
            .bind(i64::from(id.resets))
            .fetch_optional(db)
            .await
            .map_err(|error| self.refused(error))?;
        Ok(found.map(|loaded| Loaded { earlier: Some(Earlier::Try), ..loaded }))
    }

    /// Writes the counts into the claimed row.
    pub(crate) async fn record_in_tx(
        &self,
        db: &mut PgConnection,
        loaded: &Loaded,
        ranges: &[Value],
    ) -> Result<(), TaskError> {
        let id = &self.identity;
        let record = format!(
            "UPDATE {} SET rows_read = $6, rows_loaded = $7, ranges = $8, rows_filtered = $9,
                 rows_rejected = $10, loaded_at = clock_timestamp()
             WHERE (installation, run_uuid, task_id, map_index, resets) = ($1, $2, $3, $4, $5)",
            self.table()
        );
        let recorded = sqlx::query(AssertSqlSafe(record))
            .bind(&id.installation)
            .bind(&id.run_uuid)
            .bind(&id.task_id)
            .bind(id.map_index)
            .bind(i64::from(id.resets))
            .bind(loaded.rows_read)
            .bind(loaded.rows_loaded)
            .bind(sqlx::types::Json(ranges))
            .bind(loaded.rows_filtered)
            .bind(loaded.rows_rejected)
            .execute(db)
            .await
            .map_err(|error| self.refused(error))?;
        if recorded.rows_affected() == 1 { Ok(()) } else { Err(self.removed()) }
    }

    fn removed(&self) -> TaskError {
        TaskError::transient(format!(
            "{}: somebody removed the load's row from {} meanwhile",
            self.target,
            self.table()
        ))
    }

    fn table(&self) -> String {
        format!("{}.subak_loads", self.schema)
    }

    /// What is to be created before the first load.
    pub(crate) fn definition(&self) -> LedgerTable {
        let ddl = format!(
            "CREATE TABLE IF NOT EXISTS {} (
    installation  text        NOT NULL,
    run_uuid      text        NOT NULL,
    task_id       text        NOT NULL,
    map_index     integer     NOT NULL,
    resets        bigint      NOT NULL,
    dag_id        text        NOT NULL,
    run_id        text        NOT NULL,
    table_name    text        NOT NULL,
    mode          text        NOT NULL,
    rows_read     bigint      NOT NULL DEFAULT 0,
    rows_loaded   bigint      NOT NULL DEFAULT 0,
    rows_rejected bigint      NOT NULL DEFAULT 0,
    rows_filtered bigint      NOT NULL DEFAULT 0,
    ranges        jsonb       NOT NULL DEFAULT '[]',
    loaded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (installation, run_uuid, task_id, map_index, resets)
);",
            self.table()
        );
        LedgerTable {
            name: self.table(),
            ddl,
            purpose: "in `subak_loads` which loads it has, so that none happens twice",
            lock: CREATE_LOCK,
        }
    }

    fn refused(&self, error: sqlx::Error) -> TaskError {
        tables::refused(&self.target, &[self.definition()], error)
    }
}

/// The mode as a DAG file has it.
pub(crate) fn mode_name(mode: LoadMode) -> &'static str {
    match mode {
        LoadMode::Append => "append",
        LoadMode::Upsert => "upsert",
        LoadMode::Replace => "replace",
    }
}
