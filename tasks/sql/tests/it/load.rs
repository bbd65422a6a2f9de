//! Operator `postgres.load`: modes, mapping, tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use serde_json::json;
use sqlx::Connection as _;

use crate::support::{Database, Try};

/// Columns `month` and `customers`.
pub(crate) fn monthly(rows: &[(i32, i64)]) -> RecordBatch {
    let months: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0)));
    let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
    RecordBatch::try_from_iter([("month", months), ("customers", counts)]).unwrap()
}

pub(crate) fn users(rows: &[(Option<&str>, &str)]) -> RecordBatch {
    let emails: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>());
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)));
    RecordBatch::try_from_iter([("email", emails), ("name", names)]).unwrap()
}

const TABLE: &str = "CREATE TABLE retention (invoice_month integer, unique_customers bigint)";
const ROWS: &str = "SELECT * FROM retention ORDER BY 1, 2";

#[tokio::test]
async fn append_adds_rows_through_a_mapping_and_records_the_load() -> Result<()> {
    let database = Database::new().await?;
    database.run(TABLE).await?;
    database.run("INSERT INTO retention VALUES (0, 0)").await?;
    let batches = vec![monthly(&[(1, 948), (2, 783)]), monthly(&[]), monthly(&[(3, 1020)])];
    let a_try = Try::with(database.connection(), batches);
    let columns = json!({ "invoice_month": "month", "unique_customers": "customers" });
    let value = a_try.load("retention", json!({ "columns": columns })).await?;
    assert_eq!(
        value,
        json!({
            "table": "retention", "mode": "append",
            "rows": 3, "rows_read": 3, "rows_rejected": 0, "rows_filtered": 0,
        })
    );
    assert_eq!(database.rows(ROWS).await?, ["0|0", "1|948", "2|783", "3|1020"]);
    let ledger = "SELECT run_uuid, task_id, map_index, resets, table_name, mode, rows_read,
                         rows_loaded, rows_rejected, rows_filtered, ranges FROM subak_loads";
    assert_eq!(
        database.rows(ledger).await?,
        ["9d2f3c1e-0000-4000-8000-000000000002|load|-1|0|retention|append|3|3|0|0|\
          [{\"to\": 9, \"from\": 0, \"topic\": \"t\"}]"]
    );
    ensure!(a_try.log().contains("loaded and committed: 3 rows into retention (append)"));
    Ok(())
}

#[tokio::test]
async fn a_reader_never_sees_a_replaced_table_empty_or_half_filled() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE retention (month integer, customers bigint)").await?;
    let rows = |generation| (0..500).map(|month| (month, generation)).collect::<Vec<_>>();
    let load = |run: i64| {
        let a_try = Try::with(database.connection(), vec![monthly(&rows(run))])
            .identified(|identity| identity.run_uuid = format!("run {run}"));
        async move { a_try.load("retention", json!({ "mode": "replace" })).await }
    };
    load(0).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let mut reader = database.connect().await?;
    let reading = tokio::spawn(async move {
        let mut seen = std::collections::BTreeSet::new();
        while !stopped.load(Ordering::SeqCst) {
            let query = "SELECT count(*), min(customers), max(customers) FROM retention";
            let row: (i64, Option<i64>, Option<i64>) =
                sqlx::query_as(query).fetch_one(&mut reader).await?;
            seen.insert(row);
        }
        Ok::<_, sqlx::Error>(seen)
    });
    for run in 1..=20 {
        load(run).await?;
    }
    stop.store(true, Ordering::SeqCst);
    let seen = reading.await??;
    ensure!(seen.len() > 2, "the reader saw nothing change: {seen:?}");
    for (count, low, high) in seen {
        ensure!(count == 500 && low == high, "{count} rows of {low:?} to {high:?}");
    }
    Ok(())
}

#[tokio::test]
async fn two_replacements_at_once_leave_one_of_them() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE retention (month integer, customers bigint)").await?;
    let load = |run: i64| {
        let rows: Vec<_> = (0..2_000).map(|month| (month, run)).collect();
        let a_try = Try::with(database.connection(), vec![monthly(&rows)])
            .identified(|identity| identity.run_uuid = format!("run {run}"));
        async move { a_try.load("retention", json!({ "mode": "replace" })).await }
    };
    for round in 0..5 {
        tokio::try_join!(load(2 * round), load(2 * round + 1))?;
        let counts = "SELECT count(*), count(DISTINCT customers) FROM retention";
        assert_eq!(database.rows(counts).await?, ["2000|1"], "round {round}");
    }
    Ok(())
}

#[tokio::test]
async fn replace_keeps_views_and_grants() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE retention (month integer PRIMARY KEY, customers bigint)").await?;
    database.run("INSERT INTO retention VALUES (1, 1)").await?;
    database.run("CREATE VIEW best AS SELECT max(customers) FROM retention").await?;
    let a_try = Try::with(database.connection(), vec![monthly(&[(1, 948)])]);
    a_try.load("public.retention", json!({ "mode": "replace" })).await?;
    assert_eq!(database.rows("SELECT * FROM best").await?, ["948"]);
    Ok(())
}

#[tokio::test]
async fn upsert_lets_the_later_row_of_a_key_win() -> Result<()> {
    let database = Database::new().await?;
    database
        .run(
            "CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY, email text UNIQUE,
                  name text NOT NULL, seen timestamptz DEFAULT now())",
        )
        .await?;
    database.run("INSERT INTO users (email, name) VALUES ('a', 'old'), ('z', 'kept')").await?;
    let batches = vec![
        users(&[(Some("a"), "first"), (Some("b"), "only")]),
        users(&[(Some("c"), "one"), (Some("a"), "second"), (Some("c"), "two")]),
    ];
    let a_try = Try::with(database.connection(), batches);
    let value = a_try.load("users", json!({ "mode": "upsert", "key": ["email"] })).await?;
    assert_eq!(
        value,
        json!({
            "table": "users", "mode": "upsert",
            "rows": 3, "rows_read": 5, "rows_rejected": 0, "rows_filtered": 2,
        })
    );
    let rows = database.rows("SELECT email, name FROM users ORDER BY email").await?;
    assert_eq!(rows, ["a|second", "b|only", "c|two", "z|kept"]);
    Ok(())
}

#[tokio::test]
async fn upsert_explains_a_wrong_key() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE users (email text, name text, UNIQUE (email, name))").await?;
    let batch = || vec![users(&[(Some("a"), "x"), (None, "y")])];
    let load = |key: serde_json::Value| {
        let a_try = Try::with(database.connection(), batch());
        async move {
            let with = json!({ "mode": "upsert", "key": key });
            a_try.load("users", with).await.unwrap_err().message
        }
    };
    let message = load(json!(["email"])).await;
    ensure!(
        message.contains("needs a unique index on exactly (email) of table `public.users`")
            && message.contains("its unique keys: (email, name)")
            && message.contains("CREATE UNIQUE INDEX ON \"public\".\"users\" (\"email\");"),
        "{message}"
    );
    let message = load(json!(["mail"])).await;
    ensure!(message.contains("`key` names `mail`") && message.contains("`email`"), "{message}");
    let message = load(json!([])).await;
    ensure!(message.contains("mode upsert needs \"key\""), "{message}");
    let message = load(json!(["name", "email"])).await;
    ensure!(message.contains("row 2: key column `email` is null"), "{message}");
    assert_eq!(database.rows("SELECT count(*) FROM users").await?, ["0"]);
    Ok(())
}

#[tokio::test]
async fn a_missing_table_is_answered_with_near_names_and_its_ddl() -> Result<()> {
    let database = Database::new().await?;
    database.run(TABLE).await?;
    let a_try = Try::with(database.connection(), vec![monthly(&[(1, 948)])]);
    let message = a_try.load("retentions", json!({})).await.unwrap_err().message;
    ensure!(
        message.contains("table `retentions` does not exist; did you mean `retention`?")
            && message.contains("`create: true`")
            && message.contains(
                "CREATE TABLE IF NOT EXISTS \"retentions\" (\n    \"month\" integer,\n    \
                 \"customers\" bigint\n);"
            ),
        "{message}"
    );
    Ok(())
}

#[tokio::test]
async fn missing_columns_are_named_on_either_side() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE t (month integer, costumers bigint, region text NOT NULL)").await?;
    let load = |with: serde_json::Value| {
        let a_try = Try::with(database.connection(), vec![monthly(&[(1, 948)])]);
        async move { a_try.load("t", with).await.unwrap_err().message }
    };
    let message = load(json!({})).await;
    ensure!(
        message.contains("table `public.t` has no column `customers`; did you mean `costumers`?")
            && message.contains("ALTER TABLE \"public\".\"t\" ADD COLUMN \"customers\" bigint;"),
        "{message}"
    );
    let message = load(json!({ "columns": { "month": "Month" } })).await;
    ensure!(
        message.contains("the dataset has no column `Month`; did you mean `month`?"),
        "{message}"
    );
    let message = load(json!({ "columns": { "month": "month" } })).await;
    ensure!(message.contains("needs values for \"region\""), "{message}");
    Ok(())
}

#[tokio::test]
async fn create_makes_the_table_once_however_many_ask() -> Result<()> {
    let database = Database::new().await?;
    let load = |run: i64| {
        let a_try = Try::with(database.connection(), vec![monthly(&[(1, run)])])
            .identified(|identity| identity.run_uuid = format!("run {run}"));
        async move { a_try.load("made", json!({ "create": true })).await }
    };
    tokio::try_join!(load(1), load(2), load(3), load(4), load(5), load(6))?;
    assert_eq!(database.rows("SELECT count(*), sum(customers) FROM made").await?, ["6|21"]);
    let types = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
                 WHERE attrelid = 'made'::regclass AND attnum > 0 ORDER BY attnum";
    assert_eq!(database.rows(types).await?, ["month|integer", "customers|bigint"]);
    Ok(())
}

#[tokio::test]
async fn a_created_table_has_the_datasets_order_of_columns() -> Result<()> {
    let database = Database::new().await?;
    let a_try = Try::with(database.connection(), vec![monthly(&[(1, 948)])]);
    let columns = json!({ "which_month": "month", "how_many": "customers" });
    a_try.load("made", json!({ "create": true, "columns": columns })).await?;
    assert_eq!(database.rows("SELECT * FROM made").await?, ["1|948"]);
    Ok(())
}

#[tokio::test]
async fn create_for_an_upsert_makes_its_key() -> Result<()> {
    let database = Database::new().await?;
    for run in 1..=2 {
        let a_try = Try::with(database.connection(), vec![monthly(&[(1, run), (2, run)])])
            .identified(|identity| identity.run_uuid = format!("run {run}"));
        let with = json!({ "create": true, "mode": "upsert", "key": ["month"] });
        a_try.load("made", with).await?;
    }
    let rows = database.rows("SELECT * FROM made ORDER BY 1").await?;
    assert_eq!(rows, ["1|2", "2|2"]);
    Ok(())
}

#[tokio::test]
async fn a_stopped_try_ends_its_statement_on_the_server() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE retention (month integer, customers bigint)").await?;
    // The load waits for this lock until it is stopped.
    let mut holder = database.connect().await?;
    let mut holding = holder.begin().await?;
    sqlx::raw_sql("LOCK TABLE retention").execute(&mut *holding).await?;

    let a_try = Arc::new(Try::with(database.connection(), vec![monthly(&[(1, 1)])]));
    let running = Arc::clone(&a_try);
    let load =
        tokio::spawn(async move { running.load("retention", json!({ "mode": "replace" })).await });
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND application_name = 'subak retail.load'
                     AND datname = current_database()";
    while database.rows(waiting).await? != ["1"] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    a_try.ctx.cancel.cancel();
    let error = load.await?.unwrap_err();
    assert_eq!(error.class, subak_task::ErrorClass::Cancelled);
    // Its end was asked for before the try returned; the process needs a moment.
    while database.rows(waiting).await? != ["0"] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    holding.rollback().await?;
    assert_eq!(database.rows("SELECT count(*) FROM retention").await?, ["0"]);
    Ok(())
}
