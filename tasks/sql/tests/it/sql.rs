//! Operator `sql`.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use subak_task::ErrorClass;

use crate::support::{Database, Try};

async fn sql(database: &Database, sql: &str) -> Result<Value, subak_task::TaskError> {
    Try::new(database.connection()).sql(json!({ "connection": "w", "sql": sql })).await
}

#[tokio::test]
async fn the_last_statement_s_rows_are_the_value() -> Result<()> {
    let database = Database::new().await?;
    let rows = sql(
        &database,
        "CREATE TABLE t (id int, name text);
         INSERT INTO t VALUES (1, 'a;b'), (2, NULL); -- two
         SELECT id, name FROM t ORDER BY id;",
    )
    .await?;
    assert_eq!(rows, json!([{ "id": 1, "name": "a;b" }, { "id": 2, "name": null }]));
    assert_eq!(database.rows("SELECT count(*) FROM t").await?, ["2"]);
    Ok(())
}

#[tokio::test]
async fn every_type_becomes_json_that_says_the_same() -> Result<()> {
    let database = Database::new().await?;
    let rows = sql(
        &database,
        r#"SELECT 1::smallint AS small, 9007199254740993 AS big, 1.50::numeric AS price,
                  12345678901234567890.123456789::numeric AS exact, 0.1::real AS real,
                  'NaN'::float8 AS nan, true AS yes, NULL::int AS none,
                  date '2011-12-09' AS day, timestamp '2011-12-09 12:50' AS at,
                  timestamptz '2011-12-09 12:50+07' AS zoned, '{"b": [1, null]}'::jsonb AS doc,
                  ARRAY[1, NULL, 3] AS numbers, ARRAY['a,b', 'c"d'] AS texts,
                  '\xdead'::bytea AS bytes, interval '1 day' AS span,
                  '9d2f3c1e-0000-4000-8000-000000000001'::uuid AS id, 1 AS same, 2 AS same"#,
    )
    .await?;
    assert_eq!(
        rows[0],
        json!({
            "small": 1, "big": 9_007_199_254_740_993_i64, "price": 1.5,
            "exact": "12345678901234567890.123456789", "real": 0.1,
            "nan": "NaN", "yes": true, "none": null,
            "day": "2011-12-09", "at": "2011-12-09T12:50:00",
            "zoned": "2011-12-09T05:50:00+00:00", "doc": { "b": [1, null] },
            "numbers": [1, null, 3], "texts": ["a,b", "c\"d"],
            "bytes": "\\xdead", "span": "1 day",
            "id": "9d2f3c1e-0000-4000-8000-000000000001", "same": 1, "same_2": 2,
        })
    );
    Ok(())
}

#[tokio::test]
async fn parameters_take_the_types_that_the_statement_gives_them() -> Result<()> {
    let database = Database::new().await?;
    let rows = Try::new(database.connection())
        .sql(json!({
            "connection": "w",
            "sql": "SELECT $1::int + 1 AS n, $2 || '!' AS text, $3::date + 1 AS day,
                           $4::jsonb ->> 'a' AS a, $5::int[] AS list, $6::text AS none,
                           $7::numeric AS price",
            "parameters": [41, "it's \\ fine'); --", "2011-12-09", { "a": "x" }, [1, 2], null, 1.25],
        }))
        .await?;
    assert_eq!(
        rows,
        json!([{
            "n": 42, "text": "it's \\ fine'); --!", "day": "2011-12-10", "a": "x",
            "list": [1, 2], "none": null, "price": 1.25,
        }])
    );
    Ok(())
}

#[tokio::test]
async fn wrong_parameters_are_explained() -> Result<()> {
    let database = Database::new().await?;
    let a_try = Try::new(database.connection());
    let run = |sql: &str, parameters: Value| {
        let with = json!({ "connection": "w", "sql": sql, "parameters": parameters });
        let a_try = &a_try;
        async move { a_try.sql(with).await.unwrap_err().message }
    };
    let message = run("SELECT $1::int", json!([])).await;
    ensure!(message.contains("there is no parameter $1"), "{message}");
    let message = run("SELECT $1::int", json!([1, 2])).await;
    ensure!(message.contains("has 1 parameters, but `parameters` lists 2"), "{message}");
    let message = run("SELECT $1::int", json!(["x"])).await;
    ensure!(message.contains("invalid input syntax for type integer: \"x\""), "{message}");
    let message = run("SELECT 1; SELECT $1::int", json!([1])).await;
    ensure!(message.contains("`sql` contains 2"), "{message}");
    let message = run("SELECT\n  $1::int,\n  nope", json!([1])).await;
    ensure!(message.contains("line 3, column 3:\n3 |   nope\n      ^"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_failing_statement_undoes_those_before_it_and_shows_its_place() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE t (id int, customer text)").await?;
    let error = sql(&database, "INSERT INTO t VALUES (1, 'é€');\nSELECT 'é',\n  custmer FROM t;")
        .await
        .unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    let database_label = format!(
        "connection `w` (PostgreSQL at {}:",
        database.connection().host.unwrap_or_default()
    );
    ensure!(error.message.starts_with(&database_label), "{error}");
    ensure!(
        error.message.contains(
            "column \"custmer\" does not exist (SQLSTATE 42703) at line 3, column 3:\n\
             3 |   custmer FROM t;\n      ^\n\
             hint: Perhaps you meant to reference the column \"t.customer\"."
        ),
        "{error}"
    );
    assert_eq!(database.rows("SELECT count(*) FROM t").await?, ["0"]);
    Ok(())
}

#[tokio::test]
async fn too_many_rows_change_nothing() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE t AS SELECT generate_series(1, 1001) AS n").await?;
    let error = sql(&database, "DELETE FROM t RETURNING n").await.unwrap_err();
    ensure!(error.message.contains("more than 1000 rows"), "{error}");
    assert_eq!(database.rows("SELECT count(*) FROM t").await?, ["1001"]);
    let rows = sql(&database, "DELETE FROM t WHERE n > 1 RETURNING n").await?;
    assert_eq!(rows.as_array().map(Vec::len), Some(1000));
    Ok(())
}

#[tokio::test]
async fn a_function_with_a_body_is_one_statement() -> Result<()> {
    let database = Database::new().await?;
    let rows = sql(
        &database,
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 7; END; $$;
         CREATE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT 1; SELECT f(); END;
         SELECT g();",
    )
    .await?;
    assert_eq!(rows, json!([{ "g": 7 }]));
    Ok(())
}
