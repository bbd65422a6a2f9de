//! The document, OpenAPI 3.1: every operation of the API with what refuses it.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Map, Value, json};
use subak_store::access::Role;

use super::operation::{Answer, Operation, Parameter, Schemas};
use crate::router::{Access, Known};

/// Where the document of refusals is.
const PROBLEM: &str = "#/components/schemas/Problem";

/// Describes these operations.
pub(crate) fn document(known: &[Known]) -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    let mut names = BTreeSet::new();
    for it in known {
        let operation = (it.describe)(&mut schemas);
        let mut name = it.name.unwrap_or(operation.handler).replace("::", "_");
        while !names.insert(name.clone()) {
            name.push_str("_too");
        }
        let path = paths.entry(it.path).or_insert_with(|| json!({}));
        path[it.method.as_str().to_lowercase()] = described(it, &name, operation);
    }
    let mut named = schemas.answers.take_definitions(true);
    named.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Subak",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The paths, fields and meanings of Airflow 3.3's REST API, and what Subak has \
                            beside them: datasets, topics, ranges, dead letters, explanations, users, \
                            tokens, workers. A parameter \
                            of a query that is not listed here is refused.",
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": named,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "From `POST /auth/token`.",
                },
            },
        },
    })
}

fn described(it: &Known, name: &str, operation: Operation) -> Value {
    let tag = it.path.trim_start_matches("/api/v2/").split('/').next().unwrap_or_default();
    let tag = if it.path.contains("/taskInstances") { "taskInstances" } else { tag };
    let role = match it.access {
        Access::Public => "everybody",
        Access::Sighted => "any: each sees the DAGs that they may see",
        Access::Role(Role::None) => "any",
        Access::Role(role) => role.as_str(),
    };
    let mut value = json!({
        "operationId": name,
        "tags": [tag.trim_start_matches('/')],
        "description": format!("Role: {role}."),
        "parameters": parameters(it.path, &operation),
        "responses": responses(it, &operation),
    });
    if it.access == Access::Public {
        value["security"] = json!([]);
    }
    if !operation.body.is_empty() {
        value["requestBody"] = json!({ "required": true, "content": content(&operation.body) });
    }
    value
}

fn parameters(path: &str, operation: &Operation) -> Vec<Value> {
    let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let text = || json!({ "type": "string" });
    let in_path = in_path.enumerate().map(|(at, name)| {
        let schema = operation.path.get(at).map_or_else(text, |schema| json!(schema));
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let in_query = operation.query.iter().map(|it| {
        json!({ "name": it.name, "in": "query", "required": it.required, "schema": it.schema })
    });
    in_path.chain(in_query).collect()
}

fn responses(it: &Known, operation: &Operation) -> Value {
    let mut all = Map::new();
    let mut shapes: Vec<&Answer> = operation.answers.iter().collect();
    shapes.sort_by_key(|answer| answer.status);
    for same in shapes.chunk_by(|a, b| a.status == b.status) {
        let parts: Vec<_> = same.iter().flat_map(|answer| answer.content.clone()).collect();
        let mut response = json!({ "description": "As asked for." });
        if !parts.is_empty() {
            response["content"] = content(&parts);
        }
        all.insert(same[0].status.to_string(), response);
    }
    for (status, why) in refusals(it, operation) {
        all.insert(
            status.to_string(),
            json!({
                "description": why,
                "content": { "application/problem+json": { "schema": { "$ref": PROBLEM } } },
            }),
        );
    }
    Value::Object(all)
}

/// Kinds of content; one that has several shapes has any of them.
fn content(parts: &[(&'static str, schemars::Schema)]) -> Value {
    let mut all = Map::new();
    for (kind, _) in parts {
        let of: Vec<Value> =
            parts.iter().filter(|(other, _)| other == kind).map(|(_, it)| json!(it)).collect();
        let schema = if of.len() == 1 { of[0].clone() } else { json!({ "anyOf": of }) };
        all.insert((*kind).to_owned(), json!({ "schema": schema }));
    }
    Value::Object(all)
}

/// The refusals that an operation may answer with, by what it takes.
fn refusals(it: &Known, operation: &Operation) -> Vec<(u16, &'static str)> {
    let mut all = Vec::new();
    if operation.is_not_built {
        all.push((501, "Not built yet."));
    }
    let changes = it.method != Method::GET;
    if it.access != Access::Public {
        all.push((401, "Not signed in."));
        all.push((403, "Not allowed, or sent by another site."));
    } else if changes {
        all.push((401, "Name and password do not fit."));
        all.push((403, "Sent by another site."));
        all.push((429, "Too many failed sign-ins."));
    }
    let asks_for_one = |it: &Parameter| it.name == "dag_id" || it.name == "connection";
    if it.path.contains('{')
        || operation.query.iter().any(asks_for_one)
        || operation.body.iter().any(|(_, schema)| names_one(schema))
    {
        all.push((404, "There is no such thing."));
    }
    if changes {
        all.push((409, "It cannot be done as things stand."));
    }
    if !operation.body.is_empty() {
        all.push((400, "Not what can be read."));
        all.push((413, "Too large."));
    }
    all.push((422, "Not valid: `detail` says where and why."));
    if operation.refuses {
        all.push((503, "Not now: try again."));
    }
    all
}

/// Whether a body says which DAG or asset it is about.
fn names_one(body: &schemars::Schema) -> bool {
    let required = body.get("required").and_then(Value::as_array);
    required.is_some_and(|all| all.iter().any(|it| it == "dag_id" || it == "asset_id"))
}

/// Problem details (RFC 9457), as every refusal has them.
fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string", "description": "The page that says what to do." },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "anyOf": [
                { "type": "string" },
                { "type": "array", "items": {
                    "type": "object",
                    "required": ["loc", "msg", "type"],
                    "properties": {
                        "loc": { "type": "array", "items": { "type": "string" } },
                        "msg": { "type": "string" },
                        "type": { "type": "string" },
                    },
                } },
            ] },
        },
    })
}
