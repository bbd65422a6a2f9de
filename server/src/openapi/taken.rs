//! What extractors take from a request.

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use schemars::{JsonSchema, Schema, json_schema};
use serde_json::Value;

use super::operation::{Operation, Parameter, Schemas};
use crate::app::App;
use crate::audit::Trail;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};

/// An extractor that says what it takes.
pub(crate) trait Taken {
    /// Adds it.
    fn take(operation: &mut Operation, schemas: &mut Schemas);
}

impl Taken for State<App> {
    fn take(_: &mut Operation, _: &mut Schemas) {}
}

impl Taken for Caller {
    fn take(_: &mut Operation, _: &mut Schemas) {}
}

impl Taken for Trail {
    fn take(_: &mut Operation, _: &mut Schemas) {}
}

impl Taken for Option<Extension<ConnectInfo<SocketAddr>>> {
    fn take(_: &mut Operation, _: &mut Schemas) {}
}

impl Taken for HeaderMap {
    fn take(_: &mut Operation, _: &mut Schemas) {}
}

impl<T: JsonSchema> Taken for Json<T> {
    fn take(operation: &mut Operation, schemas: &mut Schemas) {
        operation.body.push(("application/json", schemas.requests.subschema_for::<T>()));
    }
}

impl<T: JsonSchema> Taken for Path<T> {
    fn take(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = schemas.requests.subschema_for::<T>();
        operation.path = match schema.get("prefixItems").and_then(Value::as_array) {
            Some(parts) => parts.iter().cloned().filter_map(|it| it.try_into().ok()).collect(),
            None => vec![schema],
        };
    }
}

impl<T: JsonSchema> Taken for Query<T> {
    fn take(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = schemas.requests.subschema_for::<T>();
        let required = schema.get("required").and_then(Value::as_array).cloned();
        let required = required.unwrap_or_default();
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        for (name, of) in properties {
            let name = name.clone();
            let required = required.iter().any(|it| *it == name);
            operation.query.push(Parameter { schema: single(of), required, name });
        }
    }
}

/// A parameter that is left out is not sent as null.
fn single(schema: &Value) -> Schema {
    let mut schema: Schema =
        schema.clone().try_into().unwrap_or_else(|_| json_schema!({ "type": "string" }));
    let Some(fields) = schema.as_object_mut() else { return schema };
    fields.remove("default");
    if let Some(kinds) = fields.get("type").and_then(Value::as_array) {
        let kind = kinds.iter().find(|kind| *kind != "null").cloned();
        fields.insert("type".to_owned(), kind.unwrap_or(Value::from("string")));
    }
    schema
}
