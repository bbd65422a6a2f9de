//! How fast rows arrive, beside `psql` and CSV; and that they are the same rows.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use serde_json::json;

use crate::support::{Database, Try, server};

/// `SUBAK_COPY_ROWS=1000000` measures; the default only compares.
const ROWS: i64 = 100_000;
const BATCH: i64 = 8_192;
const TABLE: &str = "(id bigint, customer integer, country text, price double precision,
                      at timestamp, note text)";

#[tokio::test]
async fn copied_rows_equal_those_of_csv() -> Result<()> {
    let rows = std::env::var("SUBAK_COPY_ROWS").map_or(Ok(ROWS), |rows| rows.parse())?;
    let database = Database::new().await?;
    database
        .run(&format!("CREATE TABLE binary_rows {TABLE}; CREATE TABLE csv_rows {TABLE}"))
        .await?;
    let starts = (0..rows).step_by(usize::try_from(BATCH)?);
    let batches = starts.map(|start| batch(start, (start + BATCH).min(rows))).collect();
    let a_try = Try::with(database.connection(), batches);
    let since = Instant::now();
    a_try.load("binary_rows", json!({})).await?;
    let binary = since.elapsed();

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rows.csv");
    std::fs::write(&file, csv(rows))?;
    let since = Instant::now();
    let copied = Command::new(server().await?.binaries().program("psql"))
        .args([&server().await?.url(&database.name), "-qc"])
        .arg(format!("\\copy csv_rows FROM '{}' CSV", file.display()))
        .output()?;
    let csv = since.elapsed();
    ensure!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let rate =
        |took: std::time::Duration| f64::from(u32::try_from(rows).unwrap()) / took.as_secs_f64();
    eprintln!("{rows} rows: binary {:.0}/s, psql CSV {:.0}/s", rate(binary), rate(csv));

    let count = format!("SELECT count(*) = {rows} FROM binary_rows");
    assert_eq!(database.rows(&count).await?, ["t"]);
    let differing = "SELECT count(*) FROM
        (TABLE binary_rows EXCEPT ALL TABLE csv_rows UNION ALL
         (TABLE csv_rows EXCEPT ALL TABLE binary_rows)) AS differing";
    assert_eq!(database.rows(differing).await?, ["0"]);
    Ok(())
}

fn country(id: i64) -> &'static str {
    ["United Kingdom", "Germany", "France", "EIRE"][usize::try_from(id % 4).unwrap()]
}

fn batch(start: i64, end: i64) -> RecordBatch {
    let ids = || start..end;
    let customers = ids().map(|id| (id % 4 != 3).then(|| i32::try_from(id % 4_372).unwrap()));
    let columns: [(&str, ArrayRef); 6] = [
        ("id", Arc::new(Int64Array::from_iter_values(ids()))),
        ("customer", Arc::new(customers.collect::<Int32Array>())),
        ("country", Arc::new(StringArray::from_iter_values(ids().map(country)))),
        ("price", Arc::new(ids().map(|id| Some(price(id))).collect::<Float64Array>())),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from_iter_values(
                ids().map(|id| (1_291_191_960 + id) * 1_000_000),
            )),
        ),
        (
            "note",
            Arc::new(StringArray::from_iter_values(
                ids().map(|id| format!("WHITE \"HANGING\" HEART, {id}")),
            )),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn price(id: i64) -> f64 {
    f64::from(u32::try_from(id % 10_000).unwrap()) / 100.0
}

fn csv(rows: i64) -> String {
    let epoch = 1_291_191_960;
    (0..rows).fold(String::new(), |mut out, id| {
        let customer = if id % 4 == 3 { String::new() } else { (id % 4_372).to_string() };
        let at = chrono::DateTime::from_timestamp(epoch + id, 0).unwrap().naive_utc();
        let (country, price) = (country(id), price(id));
        let _ = writeln!(
            out,
            "{id},{customer},{country},{price},{at},\"WHITE \"\"HANGING\"\" HEART, {id}\""
        );
        out
    })
}
