//! An operator's reference page, in Markdown, from the doc comments of its parameters.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use subak_core::operators::Operator;

/// Returns the page.
pub(crate) fn markdown(operator: &Operator) -> String {
    let schema = operator.schema();
    let mut page = format!("# {}\n\n{}\n\n", operator.name, one_line(&operator.doc()));
    let output = if operator.has_output {
        "Hands on a dataset: other tasks refer to it as `{{ tasks.<task id>.output }}`.\n\n"
    } else {
        ""
    };
    page.push_str(output);
    let empty = Map::new();
    let arguments = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    if arguments.is_empty() {
        page.push_str("It takes no arguments.\n");
        return page;
    }
    table(&mut page, "argument of `with`", schema.as_value(), arguments);
    for (name, argument) in arguments {
        let items = argument.get("items").unwrap_or(&Value::Null);
        if let Some(keys) = items.get("properties").and_then(Value::as_object) {
            let about = items.get("description").and_then(Value::as_str).unwrap_or_default();
            let _ = write!(page, "\n## Each of `{name}`\n\n{}\n\n", one_line(about));
            table(&mut page, "key", items, keys);
        }
    }
    page
}

/// Adds a table of a schema's keys.
fn table(page: &mut String, heading: &str, schema: &Value, keys: &Map<String, Value>) {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let required: Vec<&str> = required.filter_map(Value::as_str).collect();
    let _ = write!(page, "| {heading} | type | default | |\n|---|---|---|---|\n");
    for (name, argument) in keys {
        let default = match argument.get("default") {
            _ if required.contains(&name.as_str()) => "required".to_owned(),
            Some(default) if !default.is_null() => format!("`{default}`"),
            _ => String::new(),
        };
        let description = argument.get("description").and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(
            page,
            "| `{name}` | {} | {} | {} |",
            escaped(&type_of(argument)),
            escaped(&default),
            escaped(&one_line(description)),
        );
    }
}

/// The text with its line breaks gone.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A bar would end the table's cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A schema's type in words.
fn type_of(schema: &Value) -> String {
    if let Some(options) = schema.get("oneOf").or_else(|| schema.get("anyOf")) {
        let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
        let names: Vec<String> =
            options.iter().map(type_of).filter(|name| name != "null").collect();
        return names.join(" | ");
    }
    if let Some(value) = schema.get("const") {
        return format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let names: Vec<String> =
            values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        return names.join(" | ");
    }
    match schema.get("type") {
        Some(Value::String(name)) => named_type(name, schema),
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.map(|name| named_type(name, schema)).collect::<Vec<_>>().join(" | ")
        }
        _ => "any".to_owned(),
    }
}

fn named_type(name: &str, schema: &Value) -> String {
    match name {
        "array" => {
            let items = schema.get("items").map_or_else(|| "any".to_owned(), type_of);
            format!("list of {items}")
        }
        "object" => match schema.get("additionalProperties") {
            Some(values) if values.is_object() => format!("map of {}", type_of(values)),
            _ => "map".to_owned(),
        },
        name => name.to_owned(),
    }
}
