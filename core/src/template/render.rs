//! Runs templates: a task's `with` as written becomes what its operator reads.

use minijinja::ErrorKind;
use minijinja::value::Value as Jinja;
use serde_json::{Map, Value};

use super::context::RunContext;
use super::environment::ENVIRONMENT;
use super::value::json;
use super::{expression, is_template};

/// A template that failed: a variable is undefined, or a call went wrong.
#[derive(Debug, thiserror::Error)]
#[error("template {template:?} can't be rendered: {reason}")]
pub struct RenderError {
    template: String,
    reason: String,
}

/// Renders every text in `with`. A text that is exactly one `{{ expression }}` becomes the
/// expression's value (a number, a list, a dataset), any other stays text.
pub fn render(with: &Value, context: &RunContext) -> Result<Value, RenderError> {
    if !has_templates(with) {
        return Ok(with.clone());
    }
    value(with, &context.variables())
}

fn has_templates(with: &Value) -> bool {
    match with {
        Value::String(text) => is_template(text),
        Value::Array(items) => items.iter().any(has_templates),
        Value::Object(entries) => entries.values().any(has_templates),
        _ => false,
    }
}

fn value(with: &Value, variables: &Jinja) -> Result<Value, RenderError> {
    Ok(match with {
        Value::String(template) if is_template(template) => {
            text(template, variables).map_err(|error| failed(template, &error))?
        }
        Value::Array(items) => {
            items.iter().map(|item| value(item, variables)).collect::<Result<_, _>>()?
        }
        Value::Object(entries) => entries
            .iter()
            .map(|(key, entry)| Ok((key.clone(), value(entry, variables)?)))
            .collect::<Result<Map<_, _>, _>>()?
            .into(),
        other => other.clone(),
    })
}

fn text(template: &str, variables: &Jinja) -> Result<Value, minijinja::Error> {
    let Some(inner) = expression(template) else {
        return Ok(ENVIRONMENT.render_str(template, variables.clone())?.into());
    };
    let found = ENVIRONMENT.compile_expression(inner)?.eval(variables.clone())?;
    if found.is_undefined() {
        // Renders to the error that names what is undefined.
        return Ok(ENVIRONMENT.render_str(template, variables.clone())?.into());
    }
    json(&found)
}

/// Variables that a run without logical date lacks.
const OF_DATE: &[&str] = &["ds", "ts", "logical_date", "data_interval"];

fn failed(template: &str, error: &minijinja::Error) -> RenderError {
    let mut reason = error.kind().to_string();
    if let Some(detail) = error.detail() {
        reason = format!("{reason}: {detail}");
    }
    let of_date = |name: &&str| reason.contains(&format!("`{name}"));
    if error.kind() == ErrorKind::UndefinedError && OF_DATE.iter().any(|name| of_date(&name)) {
        reason.push_str(": the run has no logical date");
    }
    RenderError { template: template.to_owned(), reason }
}
