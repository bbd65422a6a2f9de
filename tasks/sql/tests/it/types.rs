//! Each pair of types that `postgres.load` takes, compared with what PostgreSQL prints.

use std::sync::Arc;

use anyhow::{Result, ensure};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    FixedSizeBinaryArray, Float32Array, Float64Array, Int16Array, Int64Array, LargeStringArray,
    NullArray, RecordBatch, StringArray, StringViewArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type;
use serde_json::json;

use crate::support::{Database, Try};

/// Loads one column into one of `pg_type`; returns the texts, or the error.
async fn load(database: &Database, array: ArrayRef, pg_type: &str) -> Result<Vec<String>, String> {
    database
        .run(&format!("DROP TABLE IF EXISTS t; CREATE TABLE t (n serial, c {pg_type})"))
        .await
        .map_err(|error| error.to_string())?;
    let batch = RecordBatch::try_from_iter_with_nullable([("c", array, true)]).unwrap();
    let a_try = Try::with(database.connection(), vec![batch]);
    database.run("DROP TABLE IF EXISTS subak_loads").await.map_err(|error| error.to_string())?;
    a_try.load("t", json!({})).await.map_err(|error| error.message)?;
    database.rows("SELECT c::text FROM t ORDER BY n").await.map_err(|error| error.to_string())
}

async fn check(
    database: &Database,
    array: impl arrow::array::Array + 'static,
    pg_type: &str,
    expected: &[&str],
) {
    let rows = load(database, Arc::new(array), pg_type).await;
    assert_eq!(
        rows.as_deref(),
        Ok(expected.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>().as_slice()),
        "{pg_type}"
    );
}

async fn refused(
    database: &Database,
    array: impl arrow::array::Array + 'static,
    pg_type: &str,
    why: &str,
) {
    let error = load(database, Arc::new(array), pg_type).await.unwrap_err();
    assert!(error.contains(why) && error.contains("column `c`"), "{pg_type}: {error}");
}

#[tokio::test]
async fn numbers_arrive_exactly() -> Result<()> {
    let database = &Database::new().await?;
    let some = || Int64Array::from(vec![Some(0), None, Some(-42), Some(32_767)]);
    let expected = ["0", "null", "-42", "32767"];
    for pg_type in ["smallint", "integer", "bigint", "real", "double precision", "numeric", "text"]
    {
        check(database, some(), pg_type, &expected).await;
    }
    check(database, Int16Array::from(vec![7]), "numeric(10,2)", &["7.00"]).await;
    check(database, UInt64Array::from(vec![u64::MAX]), "numeric", &["18446744073709551615"]).await;
    check(
        database,
        Int64Array::from(vec![i64::MIN, 10_000, 100_000_000]),
        "numeric",
        &["-9223372036854775808", "10000", "100000000"],
    )
    .await;
    let doubles = || Float64Array::from(vec![0.1, -1e-7, 1e20, f64::NAN, 1234.5, 0.0]);
    check(
        database,
        doubles(),
        "double precision",
        &["0.1", "-1e-07", "1e+20", "NaN", "1234.5", "0"],
    )
    .await;
    check(
        database,
        doubles(),
        "numeric",
        &["0.1", "-0.0000001", "100000000000000000000", "NaN", "1234.5", "0"],
    )
    .await;
    check(database, Float64Array::from(vec![3.0, -8.0]), "integer", &["3", "-8"]).await;
    check(database, Float64Array::from(vec![0.5]), "real", &["0.5"]).await;
    check(database, Float32Array::from(vec![0.1, 2.0]), "numeric", &["0.1", "2"]).await;
    let decimals =
        || Decimal128Array::from(vec![12_345, -5, 0, 100]).with_precision_and_scale(38, 2).unwrap();
    check(database, decimals(), "numeric", &["123.45", "-0.05", "0.00", "1.00"]).await;
    check(database, decimals(), "text", &["123.45", "-0.05", "0.00", "1.00"]).await;
    let wide = Decimal128Array::from(vec![i128::pow(10, 37) + 1])
        .with_precision_and_scale(38, 38)
        .unwrap();
    check(database, wide, "numeric", &["0.10000000000000000000000000000000000001"]).await;
    let zeros = Decimal128Array::from(vec![300_000_000]).with_precision_and_scale(20, 0).unwrap();
    check(database, zeros, "numeric", &["300000000"]).await;
    Ok(())
}

#[tokio::test]
async fn numbers_that_would_change_are_refused() -> Result<()> {
    let database = &Database::new().await?;
    refused(database, Int64Array::from(vec![1, 40_000]), "smallint", "row 2, column `c`").await;
    refused(database, Int64Array::from(vec![40_000]), "smallint", "40000 is out of range").await;
    refused(database, Int64Array::from(vec![(1 << 53) + 1]), "double precision", "more digits")
        .await;
    refused(database, Float64Array::from(vec![0.1]), "real", "more digits").await;
    refused(database, Float64Array::from(vec![1.5]), "integer", "1.5 is no integer").await;
    refused(database, Float64Array::from(vec![f64::NAN]), "integer", "NaN is no integer").await;
    refused(database, StringArray::from(vec!["1"]), "integer", "cast it in a `transform`").await;
    refused(database, BooleanArray::from(vec![true]), "integer", "cast it in a `transform`").await;
    Ok(())
}

#[tokio::test]
async fn text_and_bytes_arrive_whole() -> Result<()> {
    let database = &Database::new().await?;
    let texts = ["", "é€😀", "a\tb\n\\.", "\"quoted\", 'x'"];
    check(database, StringArray::from(texts.to_vec()), "text", &texts).await;
    check(database, StringViewArray::from(texts.to_vec()), "varchar(40)", &texts).await;
    check(database, LargeStringArray::from(vec!["ab"]), "char(3)", &["ab"]).await;
    let dictionary: DictionaryArray<Int32Type> = vec!["x", "y", "x"].into_iter().collect();
    check(database, dictionary, "text", &["x", "y", "x"]).await;
    check(database, StringArray::from(vec!["{\"a\": 1}"]), "jsonb", &["{\"a\": 1}"]).await;
    check(database, StringArray::from(vec!["[1,  2]"]), "json", &["[1,  2]"]).await;
    check(database, BinaryArray::from(vec![&b"\x00\xff"[..]]), "bytea", &["\\x00ff"]).await;
    let id = "9d2f3c1e-0000-4000-8000-000000000001";
    check(database, StringArray::from(vec![id, &id.to_uppercase()]), "uuid", &[id, id]).await;
    let bytes = FixedSizeBinaryArray::try_from_iter(std::iter::once([1_u8; 16])).unwrap();
    check(database, bytes, "uuid", &["01010101-0101-0101-0101-010101010101"]).await;
    check(
        database,
        BooleanArray::from(vec![Some(true), Some(false), None]),
        "boolean",
        &["true", "false", "null"],
    )
    .await;
    check(database, NullArray::new(2), "date", &["null", "null"]).await;
    database.run("CREATE TYPE mood AS ENUM ('sad', 'glad')").await?;
    check(database, StringArray::from(vec!["glad"]), "mood", &["glad"]).await;
    database.run("CREATE DOMAIN small AS integer CHECK (VALUE < 10)").await?;
    check(database, Int64Array::from(vec![9]), "small", &["9"]).await;
    Ok(())
}

#[tokio::test]
async fn text_that_does_not_fit_is_refused() -> Result<()> {
    let database = &Database::new().await?;
    refused(database, StringArray::from(vec!["a", "b\0c"]), "text", "row 2, column `c`").await;
    refused(database, StringArray::from(vec!["a\0"]), "text", "NUL character").await;
    refused(database, StringArray::from(vec!["nope"]), "uuid", "`nope` is no UUID").await;
    for (array, pg_type, why) in [
        (StringArray::from(vec!["abcd"]), "varchar(3)", "value too long"),
        (StringArray::from(vec!["{"]), "jsonb", "invalid input syntax for type json"),
    ] {
        let error = load(database, Arc::new(array), pg_type).await.unwrap_err();
        ensure!(error.contains(why) && error.contains("COPY t, line 1, column c"), "{error}");
    }
    let error = load(database, Arc::new(StringArray::from(vec!["x"])), "inet").await.unwrap_err();
    ensure!(error.contains("is of type inet, which `postgres.load` cannot fill"), "{error}");
    Ok(())
}

#[tokio::test]
async fn dates_and_times_keep_their_instant() -> Result<()> {
    let database = &Database::new().await?;
    check(
        database,
        Date32Array::from(vec![0, -1, 15_317, 10_957]),
        "date",
        &["1970-01-01", "1969-12-31", "2011-12-09", "2000-01-01"],
    )
    .await;
    check(database, Date32Array::from(vec![15_317]), "timestamp", &["2011-12-09 00:00:00"]).await;
    let micros = || TimestampMicrosecondArray::from(vec![1_323_435_000_000_001, -1]);
    check(
        database,
        micros(),
        "timestamp",
        &["2011-12-09 12:50:00.000001", "1969-12-31 23:59:59.999999"],
    )
    .await;
    check(
        database,
        micros().with_timezone("+07:00"),
        "timestamptz",
        &["2011-12-09 12:50:00.000001+00", "1969-12-31 23:59:59.999999+00"],
    )
    .await;
    check(
        database,
        TimestampSecondArray::from(vec![1_323_435_000]),
        "timestamp",
        &["2011-12-09 12:50:00"],
    )
    .await;
    check(
        database,
        TimestampNanosecondArray::from(vec![1_323_435_000_000_001_000]),
        "timestamp",
        &["2011-12-09 12:50:00.000001"],
    )
    .await;
    check(database, TimestampSecondArray::from(vec![1_323_388_800]), "date", &["2011-12-09"]).await;
    check(database, Time64MicrosecondArray::from(vec![46_200_000_000]), "time", &["12:50:00"])
        .await;
    check(database, Date32Array::from(vec![15_317]), "text", &["2011-12-09"]).await;

    refused(database, TimestampNanosecondArray::from(vec![1]), "timestamp", "1 ns beyond").await;
    refused(database, TimestampSecondArray::from(vec![1]), "date", "it has a time of day").await;
    refused(database, micros(), "timestamptz", "AT TIME ZONE").await;
    refused(database, micros().with_timezone("UTC"), "timestamp", "lose the zone").await;
    refused(database, StringArray::from(vec!["2011-12-09"]), "date", "cast it").await;
    Ok(())
}
