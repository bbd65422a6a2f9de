//! Runs templates: a task's `with` as written becomes what its operator reads.

use std::io::{self, Write};

use minijinja::ErrorKind;
use minijinja::value::Value as Jinja;
use serde_json::{Map, Value};

use super::context::RunContext;
use super::references::references;
use super::value::json;
use super::{arithmetic, bounds, expression, is_output, is_template};
use crate::dag::model::Task;
use crate::operators;

/// The longest text that a template may become.
const TEXT_BYTES: usize = 4 << 20;

/// A template that failed: a variable is undefined, or a call went wrong.
#[derive(Debug, thiserror::Error)]
#[error("template {template:?} can't be rendered: {reason}")]
pub struct RenderError {
    template: String,
    reason: String,
}

/// Renders a task's `with` for its operator: as [`render`] does, but where the operator reads text,
/// a number or a list becomes its text. What a mapped task is
/// given by other tasks goes in as it is.
pub fn render_task(task: &Task, context: &RunContext) -> Result<Value, RenderError> {
    let schema = operators::find(&task.operator).map(operators::Operator::with_schema);
    let mut with = render_as(&task.with, schema.unwrap_or(&Value::Null), context)?;
    if let Some(with) = with.as_object_mut() {
        // Nothing in them is a template: they come from outside the DAG file.
        with.extend(context.arguments.clone());
    }
    Ok(with)
}

impl RenderError {
    /// Names a variable or a connection that does not exist, if one is the cause.
    fn of_missing(mut self, with: &Value, context: &RunContext) -> Self {
        let named = references(with);
        let is_missing = |id: &&String| {
            self.template.contains(id.as_str()) && !context.connections.contains_key(id.as_str())
        };
        if let Some(id) = named.connections.iter().find(is_missing) {
            self.reason = format!(
                "connection `{id}` does not exist: add it with `subak connections add {id}`"
            );
        }
        let named = named.variables.into_iter();
        let missing = named
            .filter(|(_, optional)| !optional)
            .find(|(key, _)| self.template.contains(key) && !context.variables.contains_key(key));
        if let Some((key, _)) = missing {
            self.reason = format!(
                "variable `{key}` does not exist: set it with `subak variables set {key} VALUE`"
            );
        }
        self
    }
}

/// Renders every text in `with`. A text that is exactly one `{{ expression }}` becomes the
/// expression's value (a number, a list, a dataset), any other stays text.
pub fn render(with: &Value, context: &RunContext) -> Result<Value, RenderError> {
    render_as(with, &Value::Null, context)
}

fn render_as(with: &Value, schema: &Value, context: &RunContext) -> Result<Value, RenderError> {
    if !has_templates(with) {
        return Ok(with.clone());
    }
    value(with, schema, &context.variables()).map_err(|error| error.of_missing(with, context))
}

/// Whether a text in `with` holds template syntax.
#[must_use]
pub fn has_templates(with: &Value) -> bool {
    match with {
        Value::String(text) => is_template(text),
        Value::Array(items) => items.iter().any(has_templates),
        Value::Object(entries) => entries.values().any(has_templates),
        _ => false,
    }
}

/// Renders a value; `schema` is what JSON Schema says of it, null if nothing.
fn value(with: &Value, schema: &Value, variables: &Jinja) -> Result<Value, RenderError> {
    Ok(match with {
        Value::String(template) if is_template(template) => {
            text(template, schema, variables).map_err(|error| failed(template, &error))?
        }
        Value::Array(items) => {
            let schema = &schema["items"];
            items.iter().map(|item| value(item, schema, variables)).collect::<Result<_, _>>()?
        }
        Value::Object(entries) => entries
            .iter()
            .map(|(key, entry)| {
                let known = schema["properties"].get(key);
                let schema = known.unwrap_or(&schema["additionalProperties"]);
                Ok((key.clone(), value(entry, schema, variables)?))
            })
            .collect::<Result<Map<_, _>, _>>()?
            .into(),
        other => other.clone(),
    })
}

fn text(template: &str, schema: &Value, variables: &Jinja) -> Result<Value, minijinja::Error> {
    bounds::check(template)?;
    let as_text = || {
        let mut text = Bounded::default();
        let rendered = arithmetic::render(template, variables, &mut text);
        text.finish(rendered)
    };
    let Some(inner) = expression(template) else { return as_text() };
    let found = arithmetic::eval(inner, variables.clone())?;
    // What is undefined renders to the error that names it.
    if found.is_undefined() || (is_text(schema, &found) && !is_output(template)) {
        return as_text();
    }
    json(&found)
}

/// A text that ends when it is too long.
#[derive(Default)]
struct Bounded {
    text: Vec<u8>,
    is_full: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > TEXT_BYTES {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Bounded {
    fn finish(self, rendered: Result<(), minijinja::Error>) -> Result<Value, minijinja::Error> {
        if self.is_full {
            let why = "the text is longer than 4 MiB: hand large data on as a dataset or a file";
            return Err(minijinja::Error::new(ErrorKind::InvalidOperation, why));
        }
        rendered?;
        Ok(Value::from(String::from_utf8_lossy(&self.text).into_owned()))
    }
}

/// Whether this value is to become text, because the operator reads nothing else.
fn is_text(schema: &Value, found: &Jinja) -> bool {
    let nullable = schema["type"].as_array().is_some_and(|types| types.contains(&"null".into()));
    let reads_text = schema["type"] == "string" || schema["type"][0] == "string";
    reads_text && !(nullable && found.is_none())
}

/// Variables that a run without logical date lacks.
const OF_DATE: &[&str] = &["ds", "ts", "logical_date", "data_interval", "task_instance_key_str"];

fn failed(template: &str, error: &minijinja::Error) -> RenderError {
    let mut reason = error.kind().to_string();
    if let Some(detail) = error.detail() {
        reason = format!("{reason}: {detail}");
    }
    let of_date = |name: &str| reason.contains(&format!("`{name}"));
    if error.kind() == ErrorKind::UndefinedError && OF_DATE.iter().any(|name| of_date(name)) {
        reason.push_str(": the run has no logical date");
    }
    RenderError { template: template.to_owned(), reason }
}
