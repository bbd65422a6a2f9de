//! A DAG's version: the hash of its canonical form.
//!
//! Canonical means: keys sorted, tasks sorted by id, comments and order of the file gone, defaults
//! written out. Two files that mean the same have the same version. The order of params stays: forms have
//! it.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::model::Dag;

/// The canonical form of a DAG.
#[must_use]
pub fn canonical(dag: &Dag) -> Value {
    let mut dag = dag.clone();
    dag.tasks.sort_by(|left, right| left.task_id.cmp(&right.task_id));
    serde_json::to_value(&dag).expect("a DAG's maps have text keys and its numbers are finite")
}

/// SHA-256 of the canonical form, in hexadecimal.
#[must_use]
pub fn hash(dag: &Dag) -> String {
    let mut text = String::new();
    write_sorted(&canonical(dag), &mut text);
    let mut hash = String::with_capacity(64);
    for byte in Sha256::digest(text) {
        write!(hash, "{byte:02x}").expect("a string takes everything");
    }
    hash
}

/// JSON with sorted keys, whatever order the map type of this build keeps.
fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(entries) => {
            let mut keys: Vec<&String> = entries.keys().collect();
            keys.sort_unstable();
            text.push('{');
            for key in keys {
                write!(text, "{}:", Value::from(key.as_str())).expect("a string takes everything");
                write_sorted(&entries[key], text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_sorted(item, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => write!(text, "{scalar}").expect("a string takes everything"),
    }
}
