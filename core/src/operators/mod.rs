//! Parameters of the built-in operators: `with:` of a task, before and after rendering.
//!
//! They live here, without their implementations, so that the parser, the JSON Schema, the editor
//! and the reference pages know them. `tasks/*` and the worker implement them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub mod data;
pub mod feed;
pub mod flow;
pub mod kafka;
pub mod letters;
pub mod plain;
pub mod process;
pub mod produce;
mod rules;
pub mod sql;
pub mod validate;

pub use rules::Rules;

use crate::dag::Page;
use crate::dag::yaml::{Node, Read, read};

/// Another task's dataset: `{{ tasks.<task id>.output }}` in the file, the dataset's reference once
/// rendered.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Input(pub Value);

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "expected another task's dataset: \"{{ tasks.<task id>.output }}\"";
        let value = Value::deserialize(deserializer)?;
        let is_input = match &value {
            Value::String(text) => crate::template::is_output(text),
            other => other.is_object(),
        };
        if is_input { Ok(Self(value)) } else { Err(de::Error::custom(EXPECTED)) }
    }
}

impl JsonSchema for Input {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Input".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "Another task's dataset: {{ tasks.<task id>.output }}",
            "pattern": r"^\s*\{\{.*\}\}\s*$",
        })
    }
}

/// What the parser, the schema and the reference pages know of an operator.
pub struct Operator {
    /// Its name in a DAG file.
    pub name: &'static str,
    /// Whether it hands on a dataset, so that `{{ tasks.<id>.output }}` exists.
    pub has_output: bool,
    /// Arguments that are run as code: no value from outside the file may stand in them.
    pub code: &'static [&'static str],
    schema: fn(&mut SchemaGenerator) -> Schema,
    check: fn(&Node, &Read<'_>),
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Every operator that is built, by name.
pub const OPERATORS: &[Operator] = &[
    operator::<data::SqlTransform>("aggregate", true, &[]),
    operator::<process::Bash>("bash", false, &["command"]),
    operator::<flow::Branch>("branch", false, &[]),
    operator::<data::CsvRead>("csv.read", true, &[]),
    operator::<data::CsvWrite>("csv.write", false, &[]),
    operator::<plain::Nothing>("empty", false, &[]),
    operator::<data::FilesList>("files.list", false, &[]),
    operator::<feed::Generate>("generate", true, &[]),
    operator::<feed::HttpPoll>("http.poll", false, &[]),
    operator::<kafka::KafkaConsume>("kafka.consume", true, &[]),
    operator::<produce::KafkaProduce>("kafka.produce", false, &[]),
    operator::<flow::LatestOnly>("latest_only", false, &[]),
    operator::<plain::Nothing>("noop", false, &[]),
    operator::<data::ParquetRead>("parquet.read", true, &[]),
    operator::<data::ParquetWrite>("parquet.write", false, &[]),
    operator::<sql::PostgresLoad>("postgres.load", false, &[]),
    operator::<process::Python>("python", false, &["code"]),
    operator::<flow::ShortCircuit>("short_circuit", false, &[]),
    operator::<sql::Sql>("sql", false, &[]),
    operator::<data::Transform>("transform", true, &[]),
    operator::<validate::Validate>("validate", true, &[]),
];

/// Operators that are part of the format, and not built yet.
pub const NOT_YET: &[&str] = &[
    "airflow",
    "approval",
    "http",
    "mysql.cdc",
    "mysql.load",
    "notify",
    "sensor.file",
    "sensor.http",
    "sensor.kafka",
    "sensor.python",
    "sensor.sql",
    "sensor.task",
    "sensor.time",
    "spark_submit",
    "stream",
    "trigger_dag",
];

const fn operator<T: DeserializeOwned + JsonSchema + Rules>(
    name: &'static str,
    has_output: bool,
    code: &'static [&'static str],
) -> Operator {
    Operator { name, has_output, code, schema: schema_of::<T>, check: check::<T> }
}

/// Returns the operator of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.name == name)
}

impl Operator {
    /// JSON Schema of the operator's `with`, complete in itself.
    #[must_use]
    pub fn schema(&self) -> Schema {
        let mut generator = schemars::generate::SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator();
        (self.schema)(&mut generator)
    }

    /// What the operator does: the doc comment of its parameters, in Markdown.
    #[must_use]
    pub fn doc(&self) -> String {
        let schema = self.schema();
        schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The schema of `with`, made once.
    pub(crate) fn with_schema(&self) -> &'static Value {
        static SCHEMAS: LazyLock<BTreeMap<&str, Value>> = LazyLock::new(|| {
            let schema = |operator: &Operator| operator.schema().to_value();
            OPERATORS.iter().map(|operator| (operator.name, schema(operator))).collect()
        });
        &SCHEMAS[self.name]
    }

    /// Reports everything wrong with a task's `with`.
    pub(crate) fn check(&self, with: &Node, how: &Read<'_>) {
        static REQUIRED: LazyLock<BTreeMap<&str, Vec<String>>> = LazyLock::new(|| {
            OPERATORS.iter().map(|operator| (operator.name, operator.required())).collect()
        });
        (self.check)(with, &Read { required: &REQUIRED[self.name], ..*how });
    }

    /// The arguments that have no default.
    fn required(&self) -> Vec<String> {
        let required = self.with_schema()["required"].as_array().into_iter().flatten();
        required.filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.root_schema_for::<T>()
}

fn check<T: DeserializeOwned + Rules>(with: &Node, how: &Read<'_>) {
    // A template of another type than text can't be read yet: then the worker applies the rules.
    if let Some(parameters) = read::<T>(with, how) {
        for (key, message) in parameters.broken_rules() {
            let at = with.get(key).map_or(with.at, |node| node.at);
            how.report.error(Page::Arguments, at, format!("{}: {message}", how.what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_sorted_documented_and_closed() {
        let names: Vec<_> = OPERATORS.iter().map(|operator| operator.name).collect();
        assert!(names.is_sorted());
        assert!(NOT_YET.is_sorted());
        for operator in OPERATORS {
            assert!(!operator.doc().is_empty(), "{operator:?}");
            let closed = operator.schema().get("additionalProperties") == Some(&Value::Bool(false));
            assert!(closed, "{operator:?} takes unknown keys");
            assert!(!NOT_YET.contains(&operator.name));
        }
    }
}
