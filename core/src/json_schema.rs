//! JSON Schema, of the drafts 4 to 2020-12: what values must be.

use std::error::Error;
use std::fmt;

use boon::{CompileError, Compiler, Format, SchemaIndex, Schemas, UrlLoader, ValidationError};
use chrono::DateTime;
use serde_json::Value;

/// What a schema is called that stands in a file of its own or of a DAG.
const ROOT: &str = "subak:schema";

/// Reasons that one value has at most, and characters of one: they quote the value.
const REASONS_MOST: usize = 50;
const CHARS_MOST: usize = 300;

/// A schema that can be held against values.
pub struct JsonSchema {
    schemas: Schemas,
    root: SchemaIndex,
}

/// Fetches nothing: a schema that refers to another file or server is refused.
struct Nothing;

impl UrlLoader for Nothing {
    fn load(&self, url: &str) -> Result<Value, Box<dyn Error>> {
        Err(format!("{url} is not fetched: put it below `$defs`").into())
    }
}

impl JsonSchema {
    /// Reads a schema, or says what is wrong with it.
    pub fn new(schema: &Value) -> Result<Self, String> {
        Self::compile(schema, Compiler::new())
    }

    /// Reads the schema of a param. The format `time` may lack an offset there: it must in Airflow.
    pub fn of_param(schema: &Value) -> Result<Self, String> {
        let mut compiler = Compiler::new();
        compiler.register_format(Format { name: "time", func: time_of_day });
        Self::compile(schema, compiler)
    }

    fn compile(schema: &Value, mut compiler: Compiler) -> Result<Self, String> {
        compiler.enable_format_assertions();
        compiler.use_loader(Box::new(Nothing));
        compiler.add_resource(ROOT, schema.clone()).map_err(|error| said(&error))?;
        let mut schemas = Schemas::new();
        let root = compiler.compile(ROOT, &mut schemas).map_err(|error| said(&error))?;
        Ok(Self { schemas, root })
    }

    /// Why a value is not what the schema says, each reason with its place: `email: …`.
    #[must_use]
    pub fn reasons(&self, value: &Value) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Err(error) = self.schemas.validate(value, self.root) {
            gather(&error, &mut reasons);
        }
        reasons
    }
}

impl fmt::Debug for JsonSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonSchema")
    }
}

/// A time of the day, with an offset or without.
fn time_of_day(value: &Value) -> Result<(), Box<dyn Error>> {
    let Some(text) = value.as_str() else { return Ok(()) };
    let reads = |zone| DateTime::parse_from_rfc3339(&format!("1970-01-01T{text}{zone}")).is_ok();
    if reads("") || reads("Z") { Ok(()) } else { Err("it is written as 16:30:00".into()) }
}

/// The errors that have no others below them.
fn gather(error: &ValidationError<'_, '_>, reasons: &mut Vec<String>) {
    if reasons.len() >= REASONS_MOST {
        return;
    }
    if !error.causes.is_empty() {
        error.causes.iter().for_each(|cause| gather(cause, reasons));
        return;
    }
    let place = error.instance_location.to_string();
    let place = place.trim_start_matches('/').replace('/', ".");
    let kind = error.kind.to_string();
    reasons.push(cut(&if place.is_empty() { kind } else { format!("{place}: {kind}") }));
}

/// What is wrong with a schema, without the name that it has here.
fn said(error: &CompileError) -> String {
    let text = match error {
        CompileError::ValidationError { src, .. } => format!("{src:#}"),
        error => format!("{error:#}"),
    };
    cut(&text.replace(ROOT, ""))
}

fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(CHARS_MOST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_has_all_reasons_why_it_is_another() {
        let schema = JsonSchema::new(&json!({
            "type": "object",
            "required": ["id", "name"],
            "properties": {
                "id": {"type": "integer", "minimum": 1},
                "email": {"type": "string", "format": "email"},
                "name": {"properties": {"first": {"minLength": 1}}},
            },
        }))
        .unwrap();
        let fits = json!({"id": 1, "name": {"first": "A"}, "email": "a@b.org"});
        assert_eq!(schema.reasons(&fits), [] as [&str; 0]);
        let wrong = json!({"id": 0, "email": "x", "name": {"first": ""}});
        let mut reasons = schema.reasons(&wrong);
        reasons.sort_unstable();
        let places: Vec<&str> =
            reasons.iter().filter_map(|reason| reason.split(':').next()).collect();
        assert_eq!(places, ["email", "id", "name.first"], "{reasons:?}");
        let missing = schema.reasons(&json!({})).join(" ");
        assert!(missing.contains("id") && missing.contains("name"), "{missing}");
        let long = json!({"id": 1, "name": {}, "email": "x".repeat(1_000)});
        assert!(schema.reasons(&long)[0].chars().count() <= CHARS_MOST + 1);
    }

    #[test]
    fn a_schema_that_is_none_says_so_and_nothing_is_fetched() {
        let refused = JsonSchema::new(&json!({"type": "no type"})).unwrap_err();
        assert!(refused.contains("type"), "{refused}");
        for away in ["https://example.org/other.json", "file:///etc/hosts"] {
            let refused = JsonSchema::new(&json!({"$ref": away})).unwrap_err();
            assert!(refused.contains(away), "{refused}");
        }
    }
}
