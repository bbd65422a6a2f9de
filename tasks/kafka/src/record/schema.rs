//! The JSON Schema of a task's records.

use std::path::Path;

use serde_json::Value;
use subak_core::json_schema::JsonSchema;
use subak_core::operators::kafka::RecordSchema;
use subak_task::{FileAccess, TaskError};

/// A larger file is no schema.
const FILE_BYTES_MOST: u64 = 4 << 20;

/// Reads the schema that a task names.
pub(super) fn read(given: &RecordSchema, files: &FileAccess) -> Result<JsonSchema, TaskError> {
    let (value, named) = match given {
        RecordSchema::Inline(object) => (Value::Object(object.clone()), "`schema`".to_owned()),
        RecordSchema::File(path) => (file(path, files)?, format!("`schema` ({path})")),
    };
    JsonSchema::new(&value)
        .map_err(|why| TaskError::permanent(format!("{named} is no JSON Schema: {why}")))
}

fn file(path: &str, files: &FileAccess) -> Result<Value, TaskError> {
    let failed = |why: String| TaskError::permanent(format!("`schema`: {path}: {why}"));
    let file = Path::new(path);
    files.check(file)?;
    let size = std::fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if size > FILE_BYTES_MOST {
        return Err(failed(format!("{size} bytes are too many for a schema")));
    }
    let bytes = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| failed(format!("not JSON: {error}")))
}
