//! Parameters of the built-in operators: `with:` of a task, before and after rendering.
//!
//! They live here, without their implementations, so that the parser, the JSON Schema, the editor
//! and the reference pages know them. `tasks/*` and the worker implement them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub mod data;
pub mod plain;
pub mod process;
pub mod sql;

/// Another task's dataset: `{{ tasks.<task id>.output }}` in the file, the dataset's reference once
/// rendered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Input(pub Value);

impl JsonSchema for Input {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Input".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "Another task's dataset: {{ tasks.<task id>.output }}",
            "pattern": r"^\s*\{\{\s*tasks\.[^{}]+\.output\s*\}\}\s*$",
        })
    }
}
