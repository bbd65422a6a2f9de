//! Columns of JSON records, where nobody names them: what the first ones hold.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use subak_core::operators::data::DataType;
use subak_core::operators::kafka::{METADATA, RecordColumn, TypedColumn};

/// Objects in objects whose fields become columns; what is deeper stays JSON.
const DEPTH_MOST: usize = 6;
/// Columns that are made at most.
const COLUMNS_MOST: usize = 500;

/// What records hold, seen so far.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    root: Node,
    /// Records that are objects.
    pub(crate) records: u64,
}

/// A place in the records.
#[derive(Debug, Default)]
struct Node {
    /// Of the values that are no objects.
    kind: Option<Kind>,
    fields: BTreeMap<String, Self>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Bigint,
    Double,
    Text,
}

impl Sample {
    /// Looks at a record; one that is no object says nothing.
    pub(crate) fn add(&mut self, payload: &[u8]) {
        if let Ok(Value::Object(object)) = serde_json::from_slice(payload) {
            self.records += 1;
            self.root.add_fields(&object, 0);
        }
    }

    /// The columns, and whether fields were left out because there are too many.
    pub(crate) fn columns(&self) -> (BTreeMap<String, RecordColumn>, bool) {
        let mut leaves = Vec::new();
        self.root.leaves(&mut Vec::new(), &mut leaves);
        let is_cut = leaves.len() > COLUMNS_MOST;
        leaves.truncate(COLUMNS_MOST);
        let mut columns = BTreeMap::new();
        for (path, data_type) in leaves {
            let mut name = path.replace('.', "_");
            while columns.contains_key(&name) || METADATA.contains(&name.as_str()) {
                name.push('_');
            }
            let column = TypedColumn { path: Some(path), data_type, format: None };
            columns.insert(name, RecordColumn::Typed(column));
        }
        (columns, is_cut)
    }
}

impl Node {
    fn add_fields(&mut self, object: &Map<String, Value>, depth: usize) {
        for (name, value) in object {
            // Such a name would be read as a path.
            if name.is_empty() || name.contains('.') {
                self.kind = Some(Kind::Text);
                continue;
            }
            self.fields.entry(name.clone()).or_default().add(value, depth + 1);
        }
    }

    fn add(&mut self, value: &Value, depth: usize) {
        let kind = match value {
            Value::Null => return,
            Value::Object(object) if depth < DEPTH_MOST && !object.is_empty() => {
                return self.add_fields(object, depth);
            }
            Value::Bool(_) => Kind::Boolean,
            Value::Number(number) if number.is_i64() => Kind::Bigint,
            Value::Number(_) => Kind::Double,
            Value::String(_) | Value::Array(_) | Value::Object(_) => Kind::Text,
        };
        self.kind = Some(match (self.kind, kind) {
            (None, kind) => kind,
            (Some(known), kind) if known == kind => kind,
            (Some(Kind::Bigint), Kind::Double) | (Some(Kind::Double), Kind::Bigint) => Kind::Double,
            _ => Kind::Text,
        });
    }

    /// Paths that become columns, with their types.
    fn leaves(&self, path: &mut Vec<String>, leaves: &mut Vec<(String, DataType)>) {
        // An object here and something else there: the column has both, as JSON.
        let is_column = !path.is_empty() && (self.kind.is_some() || self.fields.is_empty());
        if is_column {
            let kind = if self.fields.is_empty() { self.kind } else { None };
            leaves.push((path.join("."), kind.map_or(DataType::String, Kind::data_type)));
            return;
        }
        for (name, field) in &self.fields {
            path.push(name.clone());
            field.leaves(path, leaves);
            path.pop();
        }
    }
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Bigint => DataType::Bigint,
            Self::Double => DataType::Double,
            Self::Text => DataType::String,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(records: &[&str]) -> Vec<String> {
        let mut sample = Sample::default();
        records.iter().for_each(|record| sample.add(record.as_bytes()));
        let (columns, _) = sample.columns();
        let shown = |(name, column): (&String, &RecordColumn)| {
            format!("{name} {:?} {}", column.data_type(), column.path(name))
        };
        columns.iter().map(shown).collect()
    }

    #[test]
    fn types_are_those_that_hold_every_value() {
        let check = |records: &[&str], expected: &[&str]| assert_eq!(columns(records), expected);
        check(
            &[
                r#"{"a": 1, "b": true, "c": "x", "d": null, "e": [1]}"#,
                r#"{"a": 2.5, "b": null, "f": 1}"#,
            ],
            &["a Double a", "b Boolean b", "c String c", "d String d", "e String e", "f Bigint f"],
        );
        check(&[r#"{"a": 1}"#, r#"{"a": "1"}"#], &["a String a"]);
        // Beyond 64 bits only a fraction's type holds it.
        check(&[r#"{"a": 18446744073709551615}"#], &["a Double a"]);
        check(&["oops", "[1]", ""], &[]);
    }

    #[test]
    fn nested_fields_are_columns_by_their_path() {
        let check = |records: &[&str], expected: &[&str]| assert_eq!(columns(records), expected);
        check(
            &[r#"{"name": {"first": "A", "age": 3}, "name_first": "b", "_offset": 1}"#],
            &[
                "_offset_ Bigint _offset",
                "name_age Bigint name.age",
                "name_first String name.first",
                "name_first_ String name_first",
            ],
        );
        check(&[r#"{"n": {"a": 1}}"#, r#"{"n": 7}"#], &["n String n"]);
        check(&[r#"{"n": {}}"#, r#"{"n": {"a": 1}}"#], &["n String n"]);
        check(&[r#"{"n": {"a.b": 1}, "c.d": 1, "e": 1}"#], &["e Bigint e", "n String n"]);
    }

    #[test]
    fn what_is_deep_or_much_is_bounded() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(20), "}".repeat(20));
        assert_eq!(columns(&[&deep]), ["a_a_a_a_a_a String a.a.a.a.a.a"]);
        let wide: Vec<String> = (0..600).map(|at| format!("\"f{at}\": 1")).collect();
        let mut sample = Sample::default();
        sample.add(format!("{{{}}}", wide.join(",")).as_bytes());
        let (columns, is_cut) = sample.columns();
        assert!(columns.len() == COLUMNS_MOST && is_cut);
    }
}
