//! The transaction of a load: claim, rows, record; the caller commits.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use subak_core::operators::data::OnBadRow;
use subak_core::operators::sql::LoadMode;
use subak_task::TaskError;

use crate::copy::{Encoder, Field};
use crate::load::catalog::{self, Table};
use crate::load::copy_in::Copied;
use crate::load::input::Input;
use crate::load::ledger::{Earlier, Loaded, mode_name};
use crate::load::mapping::Pair;
use crate::load::{Load, copy_in, mapping, tables, upsert};
use crate::name::{self, Identifier, did_you_mean};

impl Load<'_> {
    /// Loads the rows in a transaction that is left open, or finds that an earlier try did.
    pub(crate) async fn in_transaction(&self, db: &mut PgConnection) -> Result<Loaded, TaskError> {
        self.make_ledgers(db).await?;
        for range in &self.ranges {
            self.offsets.await_turn(db, range, self.ctx).await?;
        }
        self.execute(db, "BEGIN ISOLATION LEVEL READ COMMITTED".to_owned()).await?;
        let mode = self.params.mode;
        if let Some(earlier) = self.ledger.claim_in_tx(db, &self.params.table, mode).await? {
            return self.reject_again_in_tx(db, earlier).await;
        }
        if self.hold_ranges_in_tx(db).await? {
            return self.reject_again_in_tx(db, self.nothing_to_load()).await;
        }
        self.ledger.check_in_tx(db, mode).await?;
        let input = self.read().await?;
        let table = self.table_in_tx(db, &input.schema).await?;
        let fields = mapping::fields(self.pairs(&input.schema)?, &input.schema, &table)?;
        let copied = match mode {
            LoadMode::Append => self.copy_in_tx(db, &table, fields, input).await?,
            LoadMode::Replace => {
                self.empty_in_tx(db, &table).await?;
                self.copy_in_tx(db, &table, fields, input).await?
            }
            LoadMode::Upsert => {
                self.check_key(&table, &fields)?;
                upsert::in_tx(self, db, &table, fields, input).await?
            }
        };
        let loaded = Loaded {
            table_name: self.params.table.clone(),
            mode: mode_name(mode).to_owned(),
            rows_read: copied.read,
            rows_loaded: copied.written,
            rows_rejected: copied.rejected,
            rows_filtered: (copied.read - copied.rejected - copied.written).max(0),
            earlier: None,
        };
        // Deliberately wrong, and for long enough that a kill falls in between.
        #[cfg(feature = "mutate")]
        if std::env::var_os("BREAK_LEDGER").is_some() {
            self.execute(db, "COMMIT; BEGIN; SELECT pg_sleep(0.5)".to_owned()).await?;
        }
        for range in &self.ranges {
            self.offsets.advance_in_tx(db, range).await?;
        }
        self.ledger.record_in_tx(db, &loaded, &self.dataset.provenance).await?;
        Ok(loaded)
    }

    /// Creates what is missing of the ledgers' tables; one error tells of all.
    async fn make_ledgers(&self, db: &mut PgConnection) -> Result<(), TaskError> {
        let mut needed = vec![self.ledger.definition()];
        if !self.ranges.is_empty() {
            needed.push(self.offsets.definition());
        }
        tables::ensure(db, &self.target, &needed).await
    }

    /// Locks the positions of the dataset's ranges; returns whether all of them are here already.
    async fn hold_ranges_in_tx(&self, db: &mut PgConnection) -> Result<bool, TaskError> {
        let mut here = Vec::new();
        for range in &self.ranges {
            here.push(self.offsets.hold_in_tx(db, range).await?);
        }
        match here.iter().filter(|here| **here).count() {
            0 => Ok(false),
            all if all == here.len() => Ok(true),
            _ => Err(TaskError::permanent(format!(
                "{}: some of the ranges that the dataset was made of are loaded already, others are \
                 not: load each in a task of its own",
                self.target
            ))),
        }
    }

    fn nothing_to_load(&self) -> Loaded {
        Loaded {
            table_name: self.params.table.clone(),
            mode: mode_name(self.params.mode).to_owned(),
            rows_read: 0,
            rows_loaded: 0,
            rows_rejected: 0,
            rows_filtered: 0,
            earlier: Some(Earlier::Range),
        }
    }

    pub(crate) async fn execute(
        &self,
        db: &mut PgConnection,
        sql: String,
    ) -> Result<u64, TaskError> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await;
        done.map(|done| done.rows_affected()).map_err(|error| self.target.failure(error))
    }

    /// Opens the dataset, only those columns that the table takes.
    async fn read(&self) -> Result<Input, TaskError> {
        let also = if self.params.mode == LoadMode::Upsert { &upsert::ORDER[..] } else { &[] };
        let columns = mapping::read_columns(&self.params.columns, also, &self.dataset.schema);
        let rows = self.ctx.datasets.read(&self.dataset, columns.as_deref(), self.ctx).await?;
        Ok(Input::new(rows, self.replay.clone(), self.ctx))
    }

    /// What fills the table's columns.
    pub(crate) fn pairs(&self, schema: &SchemaRef) -> Result<Vec<Pair>, TaskError> {
        mapping::pairs(&self.params.columns, schema, &self.ctx.identity.run_id)
    }

    async fn table_in_tx(
        &self,
        db: &mut PgConnection,
        schema: &SchemaRef,
    ) -> Result<Table, TaskError> {
        if let Some(table) = catalog::table(db, &self.target, &self.table).await? {
            return Ok(table);
        }
        if !self.params.create {
            return Err(self.no_table(db, schema).await?);
        }
        self.create_in_tx(db, schema).await?;
        let made = catalog::table(db, &self.target, &self.table).await?;
        made.ok_or_else(|| {
            TaskError::transient(format!("table {} was dropped by somebody else", self.table))
        })
    }

    async fn no_table(
        &self,
        db: &mut PgConnection,
        schema: &SchemaRef,
    ) -> Result<TaskError, TaskError> {
        let names = catalog::table_names(db, &self.target).await?;
        let near = did_you_mean(&self.params.table, names.iter().map(String::as_str));
        let ddl = self.ddl(schema)?;
        Ok(TaskError::permanent(format!(
            "{}: table `{}` does not exist{near}\nLet the task create it with `create: true`, or run:\
             \n\n{ddl}",
            self.target, self.params.table
        )))
    }

    /// Removes all rows; readers see them until the commit.
    async fn empty_in_tx(&self, db: &mut PgConnection, table: &Table) -> Result<(), TaskError> {
        // Another replacement must not begin before this one is committed: it would not see the rows
        // that it has to remove. Readers are not held up.
        let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", table.name);
        self.execute(db, lock).await?;
        let removed = self.execute(db, format!("DELETE FROM {}", table.name)).await?;
        self.ctx.log(format!("{removed} rows of `{}` to be replaced", table.shown));
        Ok(())
    }

    async fn copy_in_tx(
        &self,
        db: &mut PgConnection,
        table: &Table,
        fields: Vec<Field>,
        input: Input,
    ) -> Result<Copied, TaskError> {
        let columns = columns(&fields)?;
        let statement =
            format!("COPY {} ({}) FROM STDIN (FORMAT binary)", table.name, name::list(&columns));
        let encoder = Encoder::new(&input.schema, fields, false)?;
        copy_in::copy_in(self, db, &statement, encoder, input).await
    }

    /// Dead letters of the try that loaded the rows may have died with it: they are made again. Those
    /// that are kept already are known by their rows.
    async fn reject_again_in_tx(
        &self,
        db: &mut PgConnection,
        loaded: Loaded,
    ) -> Result<Loaded, TaskError> {
        if self.params.on_bad_row != OnBadRow::DeadLetter {
            return Ok(loaded);
        }
        let Some(table) = catalog::table(db, &self.target, &self.table).await? else {
            return Ok(loaded);
        };
        let input = self.read().await?;
        let fields = mapping::fields(self.pairs(&input.schema)?, &input.schema, &table)?;
        let encoder = Encoder::new(&input.schema, fields, false)?;
        let rows_rejected = copy_in::reject_again(self, encoder, input).await?;
        Ok(Loaded { rows_rejected, ..loaded })
    }

    /// Checks that the key is unique in the table and given by the dataset.
    fn check_key(&self, table: &Table, fields: &[Field]) -> Result<(), TaskError> {
        let key: BTreeSet<String> = self.key.iter().map(|name| name.as_str().to_owned()).collect();
        let absent = key.iter().find(|name| !fields.iter().any(|field| field.target == **name));
        if let Some(absent) = absent {
            let names = fields.iter().map(|field| field.target.as_str());
            return Err(TaskError::permanent(format!(
                "`key` names `{absent}`, which is not loaded{}",
                did_you_mean(absent, names)
            )));
        }
        if table.unique.contains(&key) {
            return Ok(());
        }
        let there: Vec<String> = table
            .unique
            .iter()
            .map(|set| format!("({})", set.iter().cloned().collect::<Vec<_>>().join(", ")))
            .collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        Err(TaskError::permanent(format!(
            "mode `upsert` needs a unique index on exactly ({}) of table `{}`; its unique keys: {there}\
             \nTo add it: CREATE UNIQUE INDEX ON {} ({});",
            self.params.key.join(", "),
            table.shown,
            table.name,
            name::list(&self.key)
        )))
    }
}

/// The table's columns that are filled, in order.
pub(crate) fn columns(fields: &[Field]) -> Result<Vec<Identifier>, TaskError> {
    fields.iter().map(|field| Identifier::new(&field.target)).collect()
}
