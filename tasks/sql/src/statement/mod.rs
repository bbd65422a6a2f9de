//! Operator `sql`: statements in one transaction, the last one's rows as XCom.

mod json;
mod parameters;
mod split;

use futures::TryStreamExt as _;
use serde_json::Value;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Either};
use subak_core::operators::sql::Sql;
use subak_task::{Operator, TaskContext, TaskError, TaskOutput};

use crate::failure::{self, Statement};
use crate::session::Session;
use crate::statement::split::{Piece, split};
use crate::target::Target;

/// Rows that an XCom may hold.
const ROWS_MAX: usize = 1_000;
/// Bytes of JSON that an XCom of rows may hold.
const BYTES_MAX: usize = 1 << 20;

/// `sql`: runs statements on PostgreSQL, all or none.
pub(crate) struct SqlOperator;

impl Operator for SqlOperator {
    const NAME: &'static str = "sql";
    type Params = Sql;

    async fn run(&self, params: Sql, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let target = Target::named(&params.connection, ctx)?;
        let pieces = checked(&params)?;
        let mut session = ctx
            .cancel
            .run_until_cancelled(Session::open(&target))
            .await
            .unwrap_or_else(|| Err(TaskError::cancelled()))?;
        let backend = session.backend();
        let work = transaction(&mut session.db, &target, &params, &pieces, ctx);
        let rows = backend.guard(&ctx.cancel, work).await?;
        Ok(TaskOutput { value: Some(Value::Array(rows)), ..TaskOutput::default() })
    }
}

/// Splits the text and refuses what cannot run in one transaction of ours.
fn checked(params: &Sql) -> Result<Vec<Piece<'_>>, TaskError> {
    let pieces = split(&params.sql);
    if pieces.is_empty() {
        return Err(TaskError::permanent("`sql` contains no statement"));
    }
    if !params.parameters.is_empty() && pieces.len() > 1 {
        return Err(TaskError::permanent(format!(
            "`parameters` go with a single statement, but `sql` contains {}: \
             make each a task, or pass them all in one statement",
            pieces.len()
        )));
    }
    for piece in &pieces {
        refuse(&params.sql, piece)?;
    }
    Ok(pieces)
}

fn refuse(text: &str, piece: &Piece<'_>) -> Result<(), TaskError> {
    let words: Vec<String> = piece.words().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let why = match words.as_slice() {
        ["ROLLBACK", rest @ ..] if rest.contains(&"TO") => return Ok(()),
        ["BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "ABORT", ..]
        | ["START" | "PREPARE", "TRANSACTION", ..] => {
            "the statements run in one transaction already, which the task commits at its end"
        }
        ["COPY", rest @ ..] if rest.contains(&"STDIN") || rest.contains(&"STDOUT") => {
            "a task has no standard input or output: load a dataset with `postgres.load`"
        }
        _ => return Ok(()),
    };
    let line = text[..piece.start].matches('\n').count() + 1;
    Err(TaskError::permanent(format!("line {line}, `{}`: {why}", words[0])))
}

async fn transaction(
    db: &mut PgConnection,
    target: &Target,
    params: &Sql,
    pieces: &[Piece<'_>],
    ctx: &TaskContext,
) -> Result<Vec<Value>, TaskError> {
    execute(db, "BEGIN").await.map_err(|error| target.failure(error))?;
    let mut last = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let place = Statement { text: &params.sql, start: piece.start, prefix: 0 };
        let (sent, place) = if params.parameters.is_empty() {
            (piece.sql.to_owned(), Some(place))
        } else {
            let sent =
                parameters::prepare(db, target, &params.sql, piece, &params.parameters).await?;
            // A place in `EXECUTE …` is none that the user wrote.
            (sent, None)
        };
        let (rows, affected) = fetch(db, sent).await.map_err(|error| match error {
            Fetch::Sql(error) => failure::task_error(error, target, place),
            Fetch::TooMany(why) => TaskError::permanent(why),
        })?;
        ctx.log(format!("statement {} of {}: {affected} rows", index + 1, pieces.len()));
        last = rows;
    }
    execute(db, "COMMIT").await.map_err(|error| commit_failure(error, target))?;
    Ok(last)
}

/// A failure to commit says so: a lost answer leaves the outcome open.
fn commit_failure(error: sqlx::Error, target: &Target) -> TaskError {
    let lost = matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_));
    let mut failure = target.failure(error);
    if lost {
        failure.message.push_str(
            "; it was committing, so the statements may or may not have taken effect: another try \
             runs them again",
        );
    }
    failure
}

enum Fetch {
    Sql(sqlx::Error),
    TooMany(String),
}

impl From<sqlx::Error> for Fetch {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

/// Runs one statement; returns its rows as objects and how many it returned or changed.
async fn fetch(db: &mut PgConnection, sql: String) -> Result<(Vec<Value>, u64), Fetch> {
    let mut results = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(db);
    let (mut rows, mut bytes, mut affected) = (Vec::new(), 0, 0);
    while let Some(result) = results.try_next().await? {
        match result {
            Either::Left(done) => affected += done.rows_affected(),
            Either::Right(row) => {
                let object = json::object(&row)?;
                bytes += size(&row);
                if rows.len() == ROWS_MAX || bytes > BYTES_MAX {
                    return Err(Fetch::TooMany(too_many(rows.len() == ROWS_MAX)));
                }
                rows.push(object);
            }
        }
    }
    Ok((rows, affected))
}

fn too_many(by_rows: bool) -> String {
    let limit = if by_rows { format!("{ROWS_MAX} rows") } else { format!("{BYTES_MAX} bytes") };
    format!(
        "the last statement returns more than {limit}, too much to hand to other tasks; nothing was \
         changed: add a LIMIT, aggregate, or write into a table instead"
    )
}

fn size(row: &PgRow) -> usize {
    use sqlx::Row as _;
    (0..row.len())
        .filter_map(|column| row.try_get_raw(column).ok()?.as_bytes().ok().map(<[u8]>::len))
        .sum()
}

async fn execute(db: &mut PgConnection, sql: &'static str) -> sqlx::Result<()> {
    sqlx::raw_sql(sql).execute(db).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str) {
        let params = Sql { connection: "w".into(), sql: sql.into(), parameters: Vec::new() };
        let message = checked(&params).err().map(|error| error.message).unwrap_or_default();
        assert!(message.contains(expected), "{sql}: {message}");
        assert_eq!(message.is_empty(), expected.is_empty(), "{sql}: {message}");
    }

    #[test]
    fn transaction_control_is_refused_by_line() {
        check("SELECT 1;\nCOMMIT", "line 2, `COMMIT`");
        check("start transaction", "`START`");
        check("SAVEPOINT a; ROLLBACK TO a", "");
        check("PREPARE q AS SELECT 1", "");
        check("SELECT 'commit'; -- COMMIT\n SELECT 2", "");
        check("COPY t FROM stdin", "postgres.load");
        check("COPY t TO '/tmp/x'", "");
        check(" -- nothing", "no statement");
    }
}
