//! Nested values: fields by path, whole records as JSON, which of two records is the later one.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Int32Type};
use serde_json::json;

use crate::support::{Database, Try};

/// Columns `id`, `name {first, last}`, `marks` (a list) and those of a topic's records.
fn people() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values([1, 2, 3]));
    let text = |name, values: [Option<&str>; 3]| {
        let values: ArrayRef = Arc::new(StringArray::from_iter(values));
        (Arc::new(Field::new(name, DataType::Utf8, true)), values)
    };
    let first = text("first", [Some("Ada"), None, Some("Linus")]);
    let last = text("last", [Some("Lovelace"), Some("Hopper"), Some("hidden")]);
    let (fields, arrays): (Vec<_>, Vec<_>) = [first, last].into_iter().unzip();
    let present = NullBuffer::from(vec![true, true, false]);
    let names: ArrayRef = Arc::new(StructArray::new(fields.into(), arrays, Some(present)));
    let marks: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        Some(vec![]),
        None,
    ]));
    let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values([7, 8, 9]));
    let columns = [("id", ids), ("name", names), ("marks", marks), ("_offset", offsets)];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[tokio::test]
async fn fields_records_and_the_run_fill_columns() -> Result<()> {
    let database = Database::new().await?;
    database
        .run(
            "CREATE TABLE people (id bigint, first_name text, last_name text, marks json,
                                  raw jsonb, dag_run_id text)",
        )
        .await?;
    let columns = json!({
        "id": "id", "first_name": "name.first", "last_name": "name.last", "marks": "marks",
        "raw": "$record", "dag_run_id": "$run_id",
    });
    let a_try = Try::with(database.connection(), vec![people()]);
    a_try.load("people", json!({ "columns": columns })).await?;
    assert_eq!(
        database.rows("SELECT * FROM people ORDER BY id").await?,
        [
            "1|Ada|Lovelace|[1,null]|{\"id\": 1, \"name\": {\"last\": \"Lovelace\", \"first\": \
             \"Ada\"}, \"marks\": [1, null]}|manual__1",
            "2|null|Hopper|[]|{\"id\": 2, \"name\": {\"last\": \"Hopper\", \"first\": null}, \
             \"marks\": []}|manual__1",
            "3|null|null|null|{\"id\": 3, \"name\": null, \"marks\": null}|manual__1",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_created_table_keeps_nested_values() -> Result<()> {
    let database = Database::new().await?;
    let a_try = Try::with(database.connection(), vec![people()]);
    a_try.load("people", json!({ "create": true })).await?;
    let types = "SELECT column_name, data_type FROM information_schema.columns
                 WHERE table_name = 'people' ORDER BY ordinal_position";
    assert_eq!(database.rows(types).await?, ["id|bigint", "name|jsonb", "marks|jsonb"]);
    let query = "SELECT id, name->>'last', marks->0 FROM people ORDER BY id";
    assert_eq!(database.rows(query).await?, ["1|Lovelace|1", "2|Hopper|null", "3|null|null"]);
    Ok(())
}

#[tokio::test]
async fn what_a_path_lacks_is_named() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE people (a text)").await?;
    for (path, expected) in [
        ("name.firstt", "no column `name.firstt`; did you mean `first`?; it has `first`, `last`"),
        ("id.x", "no `id.x`: what `x` should be in has no fields"),
        ("names", "no column `names`; did you mean `name`?"),
    ] {
        let a_try = Try::with(database.connection(), vec![people()]);
        let error = a_try.load("people", json!({ "columns": { "a": path } })).await.unwrap_err();
        assert!(error.message.contains(expected), "{}", error.message);
    }
    let number = json!({ "columns": { "n": "name" }, "create": false });
    database.run("CREATE TABLE numbers (n bigint)").await?;
    let a_try = Try::with(database.connection(), vec![people()]);
    let error = a_try.load("numbers", number).await.unwrap_err();
    assert!(error.message.contains("type jsonb, json or text"), "{}", error.message);
    Ok(())
}

#[tokio::test]
async fn jsonb_cannot_hold_nul_and_the_row_is_named() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE raw (r jsonb)").await?;
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(["fine \\u0000", "bad\0"]));
    let batch = RecordBatch::try_from_iter([("name", names)])?;
    let a_try = Try::with(database.connection(), vec![batch]);
    let error = a_try.load("raw", json!({ "columns": { "r": "$record" } })).await.unwrap_err();
    let expected = "row 2, column `$record` of the dataset does not fit column `r` of the table \
                    (jsonb): it contains a NUL character";
    assert!(error.message.contains(expected), "{}", error.message);
    Ok(())
}

/// Records of a topic: `(key, value, timestamp, partition, offset)`.
fn records(rows: &[(&str, &str, Option<i64>, i32, i64)]) -> RecordBatch {
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)));
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)));
    let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.2)));
    let partitions: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.3)));
    let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.4)));
    RecordBatch::try_from_iter([
        ("key", keys),
        ("value", values),
        ("_timestamp", at),
        ("_partition", partitions),
        ("_offset", offsets),
    ])
    .unwrap()
}

#[tokio::test]
async fn of_two_records_with_a_key_the_later_wins_whatever_their_order() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE users (key text PRIMARY KEY, value text)").await?;
    let batch = records(&[
        ("time", "later", Some(2_000), 0, 1),
        ("time", "earlier", Some(1_000), 1, 9),
        ("partition", "later", Some(1_000), 1, 3),
        ("partition", "earlier", Some(1_000), 0, 7),
        ("offset", "later", Some(1_000), 0, 6),
        ("offset", "earlier", Some(1_000), 0, 5),
        ("none", "has a time", Some(1), 0, 1),
        ("none", "has none", None, 0, 2),
    ]);
    let a_try = Try::with(database.connection(), vec![batch]);
    let with = json!({
        "mode": "upsert", "key": ["key"], "columns": { "key": "key", "value": "value" },
    });
    let loaded = a_try.load("users", with).await?;
    assert_eq!((&loaded["rows"], &loaded["rows_filtered"]), (&json!(4), &json!(4)));
    assert_eq!(
        database.rows("SELECT * FROM users ORDER BY key").await?,
        ["none|has a time", "offset|later", "partition|later", "time|later"]
    );
    Ok(())
}
