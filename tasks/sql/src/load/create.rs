//! Tables made from a dataset's columns, or the statement that would make them.

use arrow::datatypes::SchemaRef;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use subak_core::operators::sql::LoadMode;
use subak_task::TaskError;

use crate::copy::ddl_type;
use crate::load::Load;
use crate::load::mapping::Pair;
use crate::name::{self, Identifier};

/// Keeps two creators of tables apart, anywhere in the database.
const CREATE_LOCK: i64 = 0x5375_6261_6b54_6162;

impl Load<'_> {
    /// Creates the table in the open transaction.
    pub(crate) async fn create_in_tx(
        &self,
        db: &mut PgConnection,
        schema: &SchemaRef,
    ) -> Result<(), TaskError> {
        let ddl = self.ddl(schema)?;
        let create = format!("SELECT pg_advisory_xact_lock({CREATE_LOCK}); {ddl}");
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(db)
            .await
            .map_err(|error| self.target.failure(error))?;
        self.ctx.log(format!("table {} created:\n{ddl}", self.table));
        Ok(())
    }

    /// Returns the statement that creates the table for the dataset.
    pub(crate) fn ddl(&self, schema: &SchemaRef) -> Result<String, TaskError> {
        let mut lines = Vec::new();
        for Pair { target, named, source } in self.pairs(schema)? {
            let data_type = source.data_type(schema);
            let ddl_type = ddl_type(&data_type).ok_or_else(|| {
                TaskError::permanent(format!(
                    "column `{named}` of the dataset is {data_type}, for which there is no column \
                     type: turn it into text or columns in a `transform`"
                ))
            })?;
            lines.push(format!("    {} {ddl_type}", Identifier::new(&target)?));
        }
        if self.params.mode == LoadMode::Upsert {
            lines.push(format!("    PRIMARY KEY ({})", name::list(&self.key)));
        }
        Ok(format!("CREATE TABLE IF NOT EXISTS {} (\n{}\n);", self.table, lines.join(",\n")))
    }
}
