//! The page that describes the REST API: what the OpenAPI document has, laid out.

use std::collections::BTreeMap;

use axum::response::Html;
use serde_json::Value;
use subak_web::api::{ApiAnswer, ApiGroup, ApiOperation, ApiPage, ApiParameter};

use super::viewer::Viewer;
use crate::problem::ApiError;
use crate::router::openapi;

pub(super) async fn show(viewer: Viewer) -> Result<Html<String>, ApiError> {
    let mut groups: BTreeMap<String, Vec<ApiOperation>> = BTreeMap::new();
    let paths = openapi()["paths"].as_object().into_iter().flatten();
    for (path, operations) in paths {
        for (method, it) in operations.as_object().into_iter().flatten() {
            let group = text(&it["tags"][0]);
            groups.entry(group).or_default().push(operation(path, method, it));
        }
    }
    let group = |(name, operations)| ApiGroup { name, operations };
    let page = ApiPage { frame: viewer.frame(), groups: groups.into_iter().map(group).collect() };
    Ok(Html(page.page()))
}

fn operation(path: &str, method: &str, it: &Value) -> ApiOperation {
    let parameter = |it: &Value| ApiParameter {
        name: text(&it["name"]),
        place: text(&it["in"]),
        kind: kind(&it["schema"]),
        about: text(&it["schema"]["description"]),
    };
    let answer = |(status, it): (&String, &Value)| {
        let contents = it["content"].as_object().into_iter().flatten();
        let shape =
            |(content, it): (&String, &Value)| format!("{content}: {}", kind(&it["schema"]));
        ApiAnswer {
            status: status.clone(),
            about: text(&it["description"]),
            shape: contents.map(shape).collect::<Vec<_>>().join("; "),
        }
    };
    let contents = it["requestBody"]["content"].as_object();
    let body = contents.and_then(|it| it.values().next()).map(|it| &it["schema"]);
    ApiOperation {
        anchor: text(&it["operationId"]),
        method: method.to_uppercase(),
        path: path.to_owned(),
        role: text(&it["description"]),
        is_built: it["responses"]["501"].is_null(),
        parameters: it["parameters"].as_array().into_iter().flatten().map(parameter).collect(),
        body: body.and_then(|it| serde_json::to_string_pretty(it).ok()),
        answers: it["responses"].as_object().into_iter().flatten().map(answer).collect(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A schema in a word.
fn kind(schema: &Value) -> String {
    if let Some(named) = schema["$ref"].as_str() {
        return named.rsplit('/').next().unwrap_or(named).to_owned();
    }
    if let Some(any) = schema["anyOf"].as_array() {
        return any.iter().map(kind).collect::<Vec<_>>().join(" | ");
    }
    match (&schema["type"], schema["format"].as_str()) {
        (Value::String(kind), None) if kind == "array" => {
            format!("[{}]", self::kind(&schema["items"]))
        }
        (Value::String(kind), Some(format)) => format!("{kind} ({format})"),
        (Value::String(kind), None) => kind.clone(),
        (Value::Array(kinds), _) => kinds.iter().map(text).collect::<Vec<_>>().join(" | "),
        _ => "any".to_owned(),
    }
}
