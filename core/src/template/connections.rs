//! `conn`: the connections that a template names, by Airflow's fields.

use std::collections::BTreeMap;

use minijinja::Value as Jinja;
use serde_json::{Value, json};

use super::value::jinja;

/// What a connection has. One without a value is None, as in Airflow.
pub(super) const FIELDS: &[&str] = &[
    "conn_id",
    "conn_type",
    "host",
    "port",
    "login",
    "password",
    "schema",
    "extra",
    "extra_dejson",
];

/// Returns `conn`.
pub(super) fn connections(values: &BTreeMap<String, Value>) -> Jinja {
    Jinja::from_pairs(values.iter().map(|(id, value)| (id.as_str(), connection(id, value))))
}

fn connection(id: &str, value: &Value) -> Jinja {
    let extra = value.get("extra").filter(|extra| extra.is_object());
    let of = |field: &&'static str| {
        let found = match *field {
            "conn_id" => id.into(),
            "extra" => extra.map_or(Value::Null, |extra| extra.to_string().into()),
            "extra_dejson" => extra.cloned().unwrap_or_else(|| json!({})),
            field => value.get(field).cloned().unwrap_or_default(),
        };
        (*field, jinja(&found))
    };
    Jinja::from_pairs(FIELDS.iter().map(of))
}
