//! Dead letters into a table: each once, however often it is exported.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use subak_task::{Connection, ExportedLetter, TaskError};

use crate::name::TableName;
use crate::session::Session;
use crate::target::Target;

/// The columns beside the key.
const REST: [&str; 7] =
    ["dead_letter_id", "reasons", "state", "rejected_at", "record", "record_text", "details"];

/// A table that takes dead letters; a later export of one replaces it.
pub struct LetterTable {
    target: Target,
    session: Session,
    table: TableName,
}

impl LetterTable {
    /// Connects, and makes the table if there is none.
    pub async fn open(id: &str, connection: &Connection, table: &str) -> Result<Self, TaskError> {
        let target = Target::new(id, connection)?;
        let table = TableName::parse(table)?;
        let mut session = Session::open(&target).await?;
        let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(table.to_string())
            .fetch_one(&mut session.db)
            .await
            .map_err(|error| target.failure(error))?;
        if !is_there {
            // Made by somebody else meanwhile: just as well.
            let made = sqlx::raw_sql(AssertSqlSafe(ddl(&table))).execute(&mut session.db).await;
            made.map_err(|error| {
                let error = target.failure(error);
                let message = format!(
                    "{}\nthe table of dead letters could not be made; whoever may can do it with:\n{}",
                    error.message,
                    ddl(&table)
                );
                TaskError { message, ..error }
            })?;
        }
        Ok(Self { target, session, table })
    }

    /// Writes dead letters in one transaction.
    pub async fn put(&mut self, letters: &[ExportedLetter]) -> Result<(), TaskError> {
        // One statement cannot write a row twice: the later letter of a record counts.
        let mut distinct: BTreeMap<_, &ExportedLetter> = BTreeMap::new();
        for it in letters {
            let key = (&it.dag_id, &it.task_id, &it.of_run, &it.source, it.partition, it.position);
            distinct.insert(key, it);
        }
        let rows: Vec<&ExportedLetter> = distinct.into_values().collect();
        let texts = |text: fn(&ExportedLetter) -> &String| -> Vec<String> {
            rows.iter().map(|it| without_nul(text(it))).collect()
        };
        let record_text = |it: &&ExportedLetter| {
            String::from_utf8(it.record.clone()).ok().filter(|text| !text.contains('\0'))
        };
        let query = sqlx::query(AssertSqlSafe(upsert(&self.table)))
            .bind(texts(|it| &it.dag_id))
            .bind(texts(|it| &it.task_id))
            .bind(texts(|it| &it.of_run))
            .bind(texts(|it| &it.source))
            .bind(rows.iter().map(|it| it.partition).collect::<Vec<_>>())
            .bind(rows.iter().map(|it| it.position).collect::<Vec<_>>())
            .bind(rows.iter().map(|it| it.id).collect::<Vec<_>>())
            .bind(rows.iter().map(|it| reasons(it)).collect::<Vec<_>>())
            .bind(texts(|it| &it.state))
            .bind(rows.iter().map(|it| it.rejected_at).collect::<Vec<_>>())
            .bind(rows.iter().map(|it| it.record.clone()).collect::<Vec<_>>())
            .bind(rows.iter().map(record_text).collect::<Vec<_>>())
            .bind(rows.iter().map(|it| details(it)).collect::<Vec<_>>());
        let done = query.execute(&mut self.session.db).await;
        done.map(drop).map_err(|error| {
            let error = self.target.failure(error);
            let message = format!(
                "{}\nthe table {} takes dead letters if it has the columns of:\n{}",
                error.message,
                self.table,
                ddl(&self.table)
            );
            TaskError { message, ..error }
        })
    }
}

fn ddl(table: &TableName) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
    dag_id text NOT NULL,
    task_id text NOT NULL,
    of_run text NOT NULL,
    source text NOT NULL,
    partition integer NOT NULL,
    position bigint NOT NULL,
    dead_letter_id bigint NOT NULL,
    reasons jsonb NOT NULL,
    state text NOT NULL,
    rejected_at timestamptz NOT NULL,
    record bytea NOT NULL,
    record_text text,
    details jsonb NOT NULL,
    PRIMARY KEY (dag_id, task_id, of_run, source, partition, position)
)"
    )
}

fn upsert(table: &TableName) -> String {
    let rest = REST.join(", ");
    let excluded: Vec<String> =
        REST.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    format!(
        "INSERT INTO {table} (dag_id, task_id, of_run, source, partition, position, {rest})
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[],
                              $6::bigint[], $7::bigint[], $8::jsonb[], $9::text[],
                              $10::timestamptz[], $11::bytea[], $12::text[], $13::jsonb[])
         ON CONFLICT (dag_id, task_id, of_run, source, partition, position)
         DO UPDATE SET {}",
        excluded.join(", ")
    )
}

fn reasons(letter: &ExportedLetter) -> Value {
    letter.reasons.iter().map(|reason| without_nul(reason)).collect()
}

/// What else the API tells; the record stands in columns of its own.
fn details(letter: &ExportedLetter) -> Value {
    let fields = ["dag_run_id", "map_index", "try_number", "size_bytes", "replay_dag_run_id"];
    fields
        .iter()
        .map(|name| ((*name).to_owned(), letter.value.get(*name).cloned().unwrap_or(json!(null))))
        .collect()
}

/// PostgreSQL's texts hold none.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
