//! Connections: which types there are, and what a connection of each must say.

mod kafka;

use serde::Deserialize;
use serde_json::{Map, Value};

pub use kafka::{DEFAULT_PORT, Kafka};

/// The types of connections that tasks can use.
pub const TYPES: [&str; 2] = ["kafka", "postgres"];

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

/// What is wrong with a connection. Its words never hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnectionProblem(pub(crate) String);

/// Checks a connection as far as it can be without connecting.
pub fn check(value: &Value) -> Result<(), ConnectionProblem> {
    let fields = fields(value)?;
    match fields.conn_type.as_str() {
        "kafka" => Kafka::new(fields).map(drop),
        "postgres" => Ok(()),
        other => Err(ConnectionProblem(format!(
            "there is no connection type `{other}`: it is one of {}",
            TYPES.join(", ")
        ))),
    }
}

/// Reads the fields of a connection.
pub fn fields(value: &Value) -> Result<Fields, ConnectionProblem> {
    // The parser's own words could quote a secret.
    Fields::deserialize(value).map_err(|_| {
        ConnectionProblem(
            "it has other fields than conn_type, host, port, login, password, schema and extra, or \
             one of another type"
                .to_owned(),
        )
    })
}
