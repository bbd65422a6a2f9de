//! Connections: which types there are, and what a connection of each must say.

mod http;
mod kafka;
mod notices;
mod postgres;
mod problem;

use serde::Deserialize;
use serde_json::{Map, Value};

pub use http::Http;
pub use kafka::{DEFAULT_PORT, Kafka};
pub use notices::{Slack, Smtp, SmtpTls, Webhook};
pub use problem::ConnectionProblem;

/// The types of connections: those that tasks use, and those by which people are told of ends.
pub const TYPES: [&str; 6] = ["http", "kafka", "postgres", "slack", "smtp", "webhook"];

/// The fields of a connection, which are Airflow's.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    pub conn_type: String,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub login: Option<String>,
    pub password: Option<String>,
    /// The database.
    pub schema: Option<String>,
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// Checks a connection as far as it can be without connecting.
pub fn check(value: &Value) -> Result<(), ConnectionProblem> {
    let fields = fields(value)?;
    match fields.conn_type.as_str() {
        "http" => Http::new(fields).map(drop),
        "kafka" => Kafka::new(fields).map(drop),
        "postgres" => postgres::check(&fields),
        "slack" => Slack::new(fields).map(drop),
        "smtp" => Smtp::new(fields).map(drop),
        "webhook" => Webhook::new(fields).map(drop),
        other => Err(ConnectionProblem::Type { found: other.to_owned(), known: TYPES.join(", ") }),
    }
}

/// Where a connection leads, for people: its server, port and database, nothing of its secrets.
#[must_use]
pub fn place(value: &Value) -> String {
    let Ok(fields) = fields(value) else { return String::new() };
    match fields.conn_type.as_str() {
        "http" => Http::new(fields).map_or_else(|_| String::new(), |http| http.base),
        "kafka" => {
            Kafka::new(fields).map_or_else(|_| String::new(), |kafka| kafka.servers.join(", "))
        }
        "slack" => Slack::new(fields).map_or_else(|_| String::new(), |it| notices::server(&it.url)),
        "webhook" => {
            Webhook::new(fields).map_or_else(|_| String::new(), |it| notices::server(&it.url))
        }
        _ => {
            let mut place = fields.host.unwrap_or_else(|| "localhost".to_owned());
            if let Some(port) = fields.port {
                place = format!("{place}:{port}");
            }
            match fields.schema {
                Some(database) => format!("{place}/{database}"),
                None => place,
            }
        }
    }
}

/// Reads the fields of a connection.
pub fn fields(value: &Value) -> Result<Fields, ConnectionProblem> {
    // The parser's own words could quote a secret.
    Fields::deserialize(value).map_err(|_| ConnectionProblem::Fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_names_no_secret() {
        let check = |value: Value, expected: &str| assert_eq!(place(&value), expected);
        check(
            json!({"conn_type": "postgres", "host": "db", "port": 1, "schema": "d", "password": "p"}),
            "db:1/d",
        );
        check(json!({"conn_type": "kafka", "host": "a,b:1"}), "a:9092, b:1");
        check(
            json!({"conn_type": "http", "host": "https://a/v1", "password": "p"}),
            "https://a/v1",
        );
        check(json!({"conn_type": "http", "host": "https://u:p@a/v1"}), "");
        check(
            json!({"conn_type": "webhook", "host": "https://u:p@a:8443/b?token=p", "password": "p"}),
            "https://a:8443",
        );
        check(json!({"conn_type": "slack", "password": "https://hooks.a/p/p"}), "https://hooks.a");
        check(json!({"no": "connection"}), "");
    }
}
