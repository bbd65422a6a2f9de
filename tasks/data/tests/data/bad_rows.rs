//! `on_bad_row: skip` and `dead_letter`: every bad row is counted, logged and, if wanted, kept.

use serde_json::json;

use crate::context::{Tasks, rows};

const TEXT: &str =
    "id,at,name\n1,2010-12-01,a\nx,2010-13-01,b\n2,2010-12-02,\"c\nd\"\n3\n4,2010-12-04,\"e,f\"\n";

fn columns() -> serde_json::Value {
    json!({"id": "bigint", "at": "date", "name": "string"})
}

#[tokio::test]
async fn skipped_rows_are_counted_and_logged() {
    let tasks = Tasks::new();
    let file = tasks.file("rows.csv", TEXT);
    let with = json!({"path": file, "columns": columns(), "on_bad_row": "skip"});
    let output = tasks.run("csv.read", "extract", with).await.unwrap();
    assert_eq!(output.rows_rejected, 2);
    let kept: Vec<_> = rows(&output).await.iter().map(|row| row["id"].clone()).collect();
    assert_eq!(kept, [1, 2, 4]);
    let statistics = &output.dataset.as_ref().unwrap().1;
    assert_eq!(statistics.rows, Some(3));
    assert_eq!(statistics.columns["id"].max.as_deref(), Some("4"));
    let lines = tasks.recorded.lines.lock().unwrap().join("\n");
    assert!(lines.contains("rows.csv:3: column id: \"x\" is not an integer (64 bits); column at: \"2010-13-01\" is not a date in ISO 8601"), "{lines}");
    assert!(lines.contains("rows.csv:6: 1 fields instead of 3"), "{lines}");
    assert!(lines.contains("2 bad rows of 5 rows skipped"), "{lines}");
    assert!(tasks.recorded.dead_letters.lock().unwrap().is_empty());
}

#[tokio::test]
async fn dead_letters_carry_line_reasons_and_bytes() {
    let tasks = Tasks::new();
    let file = tasks.file("rows.csv", TEXT);
    let with = json!({"path": file, "columns": columns(), "on_bad_row": "dead_letter"});
    let output = tasks.run("csv.read", "extract", with).await.unwrap();
    assert_eq!(output.rows_rejected, 2);
    let letters = tasks.recorded.dead_letters.lock().unwrap();
    let positions: Vec<_> =
        letters.iter().map(|letter| (letter.position, letter.reasons.len())).collect();
    assert_eq!(positions, [(3, 2), (6, 1)]);
    assert_eq!(letters[0].raw, b"x,2010-13-01,b");
    assert_eq!(letters[0].source, file.display().to_string());
}

#[tokio::test]
async fn thousands_of_bad_rows_all_arrive() {
    let tasks = Tasks::new();
    let mut text = "n\n".to_owned();
    for number in 0..300_000 {
        text.push_str(if number % 100 == 7 { "bad\n" } else { "12345\n" });
    }
    let file = tasks.file("many.csv", text);
    let with = json!({"path": file, "columns": {"n": "bigint"}, "on_bad_row": "dead_letter"});
    let output = tasks.run("csv.read", "extract", with).await.unwrap();
    assert_eq!(output.rows_rejected, 3_000);
    assert_eq!(output.dataset.as_ref().unwrap().1.rows, Some(297_000));
    let letters = tasks.recorded.dead_letters.lock().unwrap();
    let expected: Vec<i64> = (0..3_000).map(|hundred| hundred * 100 + 9).collect();
    let positions: Vec<i64> = letters.iter().map(|letter| letter.position).collect();
    assert_eq!(positions, expected);
}
