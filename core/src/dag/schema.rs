//! JSON Schema of a DAG file, from the structs that read it.

use schemars::Schema;
use serde_json::{Map, Value, json};

use super::raw::RawDag;
use crate::operators::OPERATORS;

/// JSON Schema (2020-12) of one DAG: for editors, `subak dags schema` and the API.
#[must_use]
pub fn schema() -> Value {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.root_schema_for::<RawDag>();
    schema.insert("title".to_owned(), json!("DAG"));
    schema.to_value()
}

/// Adds to a task's schema: its operator is one of those built, and `with` fits the operator.
pub(super) fn with_by_operator(mut task: Schema) -> Schema {
    let names: Vec<&str> = OPERATORS.iter().map(|operator| operator.name).collect();
    if let Some(operator) = task.pointer_mut("/properties/operator").and_then(Value::as_object_mut)
    {
        operator.insert("type".to_owned(), json!("string"));
        operator.insert("enum".to_owned(), json!(names));
    }
    let by_operator: Vec<Value> = OPERATORS
        .iter()
        .map(|operator| {
            let mut with = operator.schema().to_value();
            allow_templates(&mut with);
            // A mapped task has some of its arguments elsewhere.
            let mut some = with.clone();
            if let Some(some) = some.as_object_mut() {
                some.remove("required");
            }
            json!({
                "if": {
                    "properties": { "operator": { "const": operator.name } },
                    "required": ["operator"],
                },
                "then": {
                    "if": { "required": ["expand"] },
                    "then": { "properties": { "with": some, "partial": some } },
                    "else": { "properties": { "with": with } },
                },
            })
        })
        .collect();
    task.insert("allOf".to_owned(), by_operator.into());
    task
}

/// A template may stand for a value of any type: each property that is no text takes one too.
fn allow_templates(schema: &mut Value) {
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.remove("title");
    }
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for property in properties.values_mut() {
        let is_text = property.get("type") == Some(&json!("string"));
        if is_text && property.get("enum").is_none() && property.get("maxLength").is_none() {
            continue;
        }
        let mut typed = property.take();
        let mut outer = Map::new();
        for key in ["description", "default"] {
            if let Some(value) = typed.as_object_mut().and_then(|typed| typed.remove(key)) {
                outer.insert(key.to_owned(), value);
            }
        }
        let template = json!({ "type": "string", "pattern": r"^\s*\{\{.*\}\}\s*$" });
        outer.insert("anyOf".to_owned(), json!([typed, template]));
        *property = outer.into();
    }
}
