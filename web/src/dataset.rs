//! A dataset: its columns with what is known of them, and its first rows.

use serde_json::Value;

use crate::format::{bytes, count, cut};
use crate::text::Text;

/// Cells are cut at this many characters; rows and columns at what a page can hold.
const CELL_CHARS: usize = 80;
const ROWS_MOST: usize = 100;
const COLUMNS_MOST: usize = 60;

/// A dataset to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetView {
    pub title: String,
    pub kind: String,
    pub rows: String,
    pub size: String,
    pub columns: Vec<ColumnView>,
    pub preview: Vec<Vec<String>>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnView {
    pub name: String,
    pub data_type: String,
    pub nulls: String,
    pub distinct: String,
    pub smallest: String,
    pub largest: String,
    /// Numbers stand at the right.
    pub is_number: bool,
}

impl DatasetView {
    /// Reads what the worker sent of a dataset; what is missing is left blank.
    #[must_use]
    pub fn new(name: &str, reference: &Value, stats: &Value, preview: &Value, t: &Text) -> Self {
        let schema = schema(reference, stats);
        let columns: Vec<ColumnView> =
            schema.iter().take(COLUMNS_MOST).map(|column| ColumnView::new(column, stats)).collect();
        let rows = preview.as_array().or_else(|| stats["preview"].as_array());
        let cells = |row: &Value| columns.iter().map(|it| cell(&row[&it.name])).collect();
        Self {
            title: t.fill(t.dataset, name),
            kind: text(&reference["source"]["kind"]),
            rows: stats["rows"].as_u64().map_or_else(|| t.not_counted.to_owned(), count),
            size: stats["bytes"].as_u64().map_or_else(String::new, bytes),
            preview: rows
                .map(|rows| rows.iter().take(ROWS_MOST).map(cells).collect())
                .unwrap_or_default(),
            columns,
        }
    }
}

fn schema<'a>(reference: &'a Value, stats: &'a Value) -> &'a [Value] {
    let of = |value: &'a Value| value["schema"].as_array().filter(|it| !it.is_empty());
    of(stats).or_else(|| of(reference)).map_or(&[], Vec::as_slice)
}

impl ColumnView {
    fn new(column: &Value, stats: &Value) -> Self {
        let name = text(&column["name"]);
        let known = &stats["columns"][&name];
        let number = |value: &Value| value.as_u64().map_or_else(String::new, count);
        let data_type = text(&column["type"]);
        let is_number =
            ["Int", "UInt", "Float", "Decimal"].iter().any(|it| data_type.starts_with(it));
        Self {
            nulls: number(&known["nulls"]),
            distinct: number(&known["distinct"]),
            smallest: cell(&known["min"]),
            largest: cell(&known["max"]),
            name,
            data_type,
            is_number,
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => cut(text, CELL_CHARS),
        other => cut(&other.to_string(), CELL_CHARS),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::text::ENGLISH;

    #[test]
    fn a_dataset_shows_what_is_known() {
        let reference = json!({"source": {"kind": "ipc"}, "schema": [
            {"name": "month", "type": "Int32", "nullable": false},
            {"name": "note", "type": "Utf8", "nullable": true},
        ]});
        let stats = json!({"rows": 541_909, "bytes": 45_600_000,
            "columns": {"month": {"nulls": 0, "distinct": 12, "min": "1", "max": "12"}}});
        let preview = json!([{"month": 1, "note": null}, {"month": 2, "note": "x".repeat(100)}]);
        let view = DatasetView::new("clean", &reference, &stats, &preview, &ENGLISH);
        assert_eq!(view.rows, "541,909");
        assert_eq!(view.columns[0].distinct, "12");
        assert!(view.columns[0].is_number);
        assert_eq!(view.preview[0], ["1", ""]);
        assert_eq!(view.preview[1][1].chars().count(), 80);
    }

    #[test]
    fn anything_else_shows_nothing() {
        let view = DatasetView::new("d", &json!(null), &json!([1]), &json!("x"), &ENGLISH);
        assert_eq!(view.rows, "not counted yet");
        assert_eq!(view.columns, []);
    }
}
