//! Rows that do not fit their columns: failed, skipped or kept as dead letters.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use serde_json::{Value, json};

use crate::support::{Database, Try};

const TABLE: &str = "CREATE TABLE stock (item text, amount smallint, code uuid)";
const UUID: &str = "9d2f3c1e-0000-4000-8000-000000000002";

/// Of four rows the second and the last do not fit, the last twice.
fn stock() -> RecordBatch {
    let items: ArrayRef = Arc::new(StringArray::from_iter_values(["a", "b", "c", "d"]));
    let amounts: ArrayRef = Arc::new(Int64Array::from_iter_values([1, 40_000, 3, -40_000]));
    let codes: ArrayRef = Arc::new(StringArray::from_iter_values([UUID, UUID, UUID, "none"]));
    RecordBatch::try_from_iter([("item", items), ("amount", amounts), ("code", codes)]).unwrap()
}

fn counts(loaded: &Value) -> [i64; 4] {
    ["rows_read", "rows", "rows_rejected", "rows_filtered"]
        .map(|count| loaded[count].as_i64().unwrap())
}

const AMOUNT: &str = "column `amount` of the dataset does not fit column `amount` of the table \
                      (smallint):";

#[tokio::test]
async fn a_row_that_does_not_fit_fails_the_load_and_nothing_stays() -> Result<()> {
    let database = Database::new().await?;
    database.run(TABLE).await?;
    let a_try = Try::with(database.connection(), vec![stock()]);
    let error = a_try.load("stock", json!({})).await.unwrap_err();
    assert!(error.message.contains(&format!("row 2, {AMOUNT} 40000")), "{}", error.message);
    assert_eq!(database.rows("SELECT * FROM stock").await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn rows_that_do_not_fit_become_dead_letters_with_all_reasons() -> Result<()> {
    for mode in ["append", "replace", "upsert"] {
        let database = Database::new().await?;
        database.run(TABLE).await?;
        database.run("CREATE UNIQUE INDEX ON stock (item)").await?;
        let mut with = json!({ "mode": mode, "on_bad_row": "dead_letter" });
        if mode == "upsert" {
            with["key"] = json!(["item"]);
        }
        let a_try = Try::with(database.connection(), vec![stock()]);
        let loaded = a_try.load("stock", with.clone()).await?;
        assert_eq!(counts(&loaded), [4, 2, 2, 0], "{mode}");
        let rows = database.rows("SELECT item, amount FROM stock ORDER BY item").await?;
        assert_eq!(rows, ["a|1", "c|3"]);
        let letters = a_try.letters();
        let [second, last] = &letters[..] else { panic!("{letters:#?}") };
        assert!(second.starts_with(&format!("monthly/0/2: {AMOUNT} 40000")), "{second}");
        assert!(second.contains(r#""item":"b""#) && second.ends_with('}'), "{second}");
        assert!(last.contains("-40000 is out of range; column `code`"), "{last}");
        assert!(last.contains("`none` is no UUID"), "{last}");
        assert!(a_try.log().contains("2 bad rows of 4 rows kept as dead letters"));

        // The try after one that died between its commit and its report brings the letters again.
        let next = Try::with(database.connection(), vec![stock()]);
        assert_eq!(next.load("stock", with).await?, loaded, "{mode}");
        assert_eq!(next.letters(), letters);
        assert_eq!(database.rows("SELECT count(*) FROM stock").await?, ["2"]);
    }
    Ok(())
}

#[tokio::test]
async fn rows_can_be_skipped_and_are_counted() -> Result<()> {
    let database = Database::new().await?;
    database.run(TABLE).await?;
    let a_try = Try::with(database.connection(), vec![stock()]);
    let loaded = a_try.load("stock", json!({ "on_bad_row": "skip" })).await?;
    assert_eq!(counts(&loaded), [4, 2, 2, 0]);
    assert_eq!(a_try.letters(), [""; 0]);
    assert!(a_try.log().contains("2 bad rows of 4 rows skipped"), "{}", a_try.log());
    let ledger = "SELECT rows_read, rows_loaded, rows_rejected, rows_filtered FROM subak_loads";
    assert_eq!(database.rows(ledger).await?, ["4|2|2|0"]);
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_names_the_record_it_was() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE stock (amount smallint)").await?;
    let amounts: ArrayRef = Arc::new(Int64Array::from_iter_values([1, 40_000]));
    let topics: ArrayRef = Arc::new(StringArray::from_iter_values(["stock", "stock"]));
    let partitions: ArrayRef = Arc::new(Int32Array::from_iter_values([0, 3]));
    let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values([17, 4]));
    let batch = RecordBatch::try_from_iter([
        ("amount", amounts),
        ("_topic", topics),
        ("_partition", partitions),
        ("_offset", offsets),
    ])?;
    let a_try = Try::with(database.connection(), vec![batch]);
    a_try.load("stock", json!({ "on_bad_row": "dead_letter" })).await?;
    let letters = a_try.letters();
    assert!(letters.len() == 1 && letters[0].starts_with("stock/3/4: "), "{letters:?}");
    Ok(())
}
