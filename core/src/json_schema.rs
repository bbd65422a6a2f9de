//! JSON Schema, of the drafts 4 to 2020-12: what values must be.

use std::error::Error;
use std::fmt;

use boon::{
    CompileError, Compiler, ErrorKind, Format, SchemaIndex, Schemas, UrlLoader, ValidationError,
};
use chrono::DateTime;
use serde_json::Value;

use crate::problem::Limit;

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

/// Why a value is not what a schema says. It is written as the validator of JSON Schema tells it: in
/// English.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Where in the value: `name.first`; empty: the value itself.
    pub place: String,
    pub fault: Fault,
    said: String,
}

/// What is wrong, as far as it is told in other languages, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is not of this format.
    Format(&'static str),
    Pattern(String),
    MultipleOf(String),
    /// A limit of a number.
    Bound(Limit, String),
    /// It must be this, as JSON.
    Constant(String),
    /// These properties are missing.
    Missing(String),
    /// There are no such properties.
    Unknown(String),
    /// Two items are the same: their places.
    Same(usize, usize),
    /// What the validator says.
    Other(String),
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
    pub fn reasons(&self, value: &Value) -> Vec<Reason> {
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
fn gather(error: &ValidationError<'_, '_>, reasons: &mut Vec<Reason>) {
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
    let said = cut(&if place.is_empty() { kind } else { format!("{place}: {kind}") });
    reasons.push(Reason { place: cut(&place), fault: fault(&error.kind), said });
}

fn fault(kind: &ErrorKind<'_, '_>) -> Fault {
    match kind {
        ErrorKind::Format { want, .. } => Fault::Format(want),
        ErrorKind::Pattern { want, .. } => Fault::Pattern(cut(want)),
        ErrorKind::MultipleOf { want, .. } => Fault::MultipleOf(want.to_string()),
        ErrorKind::Minimum { want, .. } => Fault::Bound(Limit::AtLeast, want.to_string()),
        ErrorKind::Maximum { want, .. } => Fault::Bound(Limit::AtMost, want.to_string()),
        ErrorKind::ExclusiveMinimum { want, .. } => Fault::Bound(Limit::MoreThan, want.to_string()),
        ErrorKind::ExclusiveMaximum { want, .. } => Fault::Bound(Limit::LessThan, want.to_string()),
        ErrorKind::Const { want } => Fault::Constant(cut(&want.to_string())),
        ErrorKind::Required { want } => Fault::Missing(cut(&want.join(", "))),
        ErrorKind::AdditionalProperties { got } => Fault::Unknown(cut(&got.join(", "))),
        ErrorKind::UniqueItems { got: [one, other] } => Fault::Same(*one, *other),
        other => Fault::Other(cut(&other.to_string())),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

/// What is wrong with a schema, in one line and without the name that it has here.
fn said(error: &CompileError) -> String {
    let mut reasons = Vec::new();
    if let CompileError::ValidationError { src, .. } = error {
        gather(src, &mut reasons);
    }
    let reasons: Vec<String> =
        reasons.iter().map(|reason| in_one_line(&reason.to_string())).collect();
    let text = match reasons.is_empty() {
        true => in_one_line(&format!("{error:#}")),
        false => reasons.join("; "),
    };
    cut(&text.replace(ROOT, ""))
}

/// A regular expression is drawn over several lines, the last of which says what is wrong with it.
fn in_one_line(text: &str) -> String {
    let drawn = text.split_once("regex parse error:");
    match drawn.and_then(|(before, drawn)| Some((before, drawn.rsplit_once("error: ")?.1))) {
        Some((before, why)) => format!("{before}{}", why.trim()),
        None => text.lines().map(str::trim).collect::<Vec<_>>().join(" "),
    }
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
        assert!(schema.reasons(&fits).is_empty());
        let wrong = json!({"id": 0, "email": "x", "name": {"first": ""}});
        let mut reasons = schema.reasons(&wrong);
        reasons.sort_unstable_by(|one, other| one.place.cmp(&other.place));
        let places: Vec<&str> = reasons.iter().map(|reason| reason.place.as_str()).collect();
        assert_eq!(places, ["email", "id", "name.first"], "{reasons:?}");
        assert_eq!(reasons[0].fault, Fault::Format("email"));
        assert_eq!(reasons[1].fault, Fault::Bound(Limit::AtLeast, "1".to_owned()));
        assert!(reasons[1].to_string().starts_with("id: "), "{reasons:?}");
        let missing = schema.reasons(&json!({})).remove(0);
        assert_eq!(missing.fault, Fault::Missing("id, name".to_owned()));
        assert!(missing.to_string().contains("name"), "{missing}");
        let long = json!({"id": 1, "name": {}, "email": "x".repeat(1_000)});
        assert!(schema.reasons(&long)[0].to_string().chars().count() <= CHARS_MOST + 1);
    }

    #[test]
    fn a_schema_that_is_none_says_so_and_nothing_is_fetched() {
        let refused = JsonSchema::new(&json!({"type": "no type"})).unwrap_err();
        assert!(refused.contains("type"), "{refused}");
        let refused = JsonSchema::new(&json!({"pattern": "a("})).unwrap_err();
        assert_eq!(refused, "pattern: 'a(' is not valid regex: unclosed group");
        for away in ["https://example.org/other.json", "file:///etc/hosts"] {
            let refused = JsonSchema::new(&json!({"$ref": away})).unwrap_err();
            assert!(refused.contains(away), "{refused}");
        }
    }
}
