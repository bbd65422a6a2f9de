//! Where a connection leads: sqlx's options out of a [`Connection`].

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use subak_task::{Connection, TaskContext, TaskError};

use crate::failure::{self, Statement};

/// Settings of a session that a connection's `extra` may replace, with their defaults.
///
/// Waiting for a lock is bounded: a frozen writer is an error, not a hang. The server asks the
/// network whether a silent client still lives, and gives up its work if not.
const SETTINGS: [(&str, &str); 7] = [
    ("lock_timeout", "30s"),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "10min"),
    ("client_connection_check_interval", "5s"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

/// A database, how it is reached, and what it is called in messages.
#[derive(Clone)]
pub(crate) struct Target {
    label: String,
    pub(crate) options: PgConnectOptions,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) connect_timeout: Duration,
    /// How often a long statement's server is asked whether it still works on it.
    pub(crate) watch_every: Duration,
    /// The schema of `subak_loads`.
    pub(crate) ledger_schema: String,
}

impl Target {
    /// Returns the target of a connection that the task names.
    pub(crate) fn named(id: &str, ctx: &TaskContext) -> Result<Self, TaskError> {
        let mut target = Self::new(id, ctx.connection(id)?)?;
        let name = format!("subak {}.{}", ctx.identity.dag_id, ctx.identity.task_id);
        // PostgreSQL keeps 63 bytes of it and takes ASCII only.
        let name: String = name.chars().filter(char::is_ascii).take(63).collect();
        target.options = target.options.application_name(&name);
        Ok(target)
    }

    /// Reads a connection; `id` is for messages, empty for one that has no name yet.
    pub(crate) fn new(id: &str, connection: &Connection) -> Result<Self, TaskError> {
        if !matches!(connection.conn_type.as_str(), "postgres" | "postgresql") {
            return Err(TaskError::permanent(format!(
                "connection `{id}` is of type `{}`, but a `postgres` one is needed",
                connection.conn_type
            )));
        }
        let extra = Extra { id, values: &connection.extra };
        Ok(Self {
            label: label(id, connection),
            options: options(connection, &extra)?,
            settings: SETTINGS
                .iter()
                .map(|(name, default)| Ok((*name, extra.text(name)?.unwrap_or((*default).into()))))
                .map(|setting: Result<_, TaskError>| setting.map(|(n, v)| (n.to_owned(), v)))
                .collect::<Result<_, _>>()?,
            connect_timeout: Duration::from_secs(extra.parsed("connect_timeout")?.unwrap_or(10)),
            watch_every: Duration::from_secs(extra.parsed("watch_every")?.unwrap_or(20)),
            ledger_schema: extra.text("ledger_schema")?.unwrap_or_else(|| "public".to_owned()),
        })
    }

    /// Turns a failure into what the user sees.
    pub(crate) fn failure(&self, error: sqlx::Error) -> TaskError {
        failure::task_error(error, self, None)
    }

    /// Likewise, showing the place in the statement.
    pub(crate) fn failure_in(&self, error: sqlx::Error, statement: Statement<'_>) -> TaskError {
        failure::task_error(error, self, Some(statement))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

fn label(id: &str, connection: &Connection) -> String {
    let host = connection.host.as_deref().unwrap_or("localhost");
    let port = connection.port.unwrap_or(5432);
    let database = connection.schema.as_deref().unwrap_or_default();
    let at = format!("PostgreSQL at {host}:{port}/{database}");
    if id.is_empty() { at } else { format!("connection `{id}` ({at})") }
}

fn options(connection: &Connection, extra: &Extra<'_>) -> Result<PgConnectOptions, TaskError> {
    let mut options = PgConnectOptions::new_without_pgpass()
        .application_name("subak")
        .ssl_mode(extra.parsed::<PgSslMode>("sslmode")?.unwrap_or(PgSslMode::Prefer));
    options = match connection.host.as_deref() {
        Some(folder) if folder.starts_with('/') => options.socket(folder),
        host => options.host(host.unwrap_or("localhost")),
    };
    options = options.port(connection.port.unwrap_or(5432));
    if let Some(login) = &connection.login {
        options = options.username(login);
    }
    if let Some(password) = &connection.password {
        options = options.password(password);
    }
    if let Some(database) = &connection.schema {
        options = options.database(database);
    }
    if let Some(file) = extra.text("sslrootcert")? {
        options = options.ssl_root_cert(file);
    }
    if let Some(file) = extra.text("sslcert")? {
        options = options.ssl_client_cert(file);
    }
    if let Some(file) = extra.text("sslkey")? {
        options = options.ssl_client_key(file);
    }
    Ok(options)
}

/// The free part of a connection.
struct Extra<'a> {
    id: &'a str,
    values: &'a BTreeMap<String, Value>,
}

impl Extra<'_> {
    fn text(&self, name: &str) -> Result<Option<String>, TaskError> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(other) => Err(self.wrong(name, &other.to_string())),
        }
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, TaskError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.wrong(name, &text))
    }

    fn wrong(&self, name: &str, value: &str) -> TaskError {
        let id = self.id;
        TaskError::permanent(format!("connection `{id}`: extra `{name}` cannot be `{value}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(json: Value) -> Connection {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_host_or_a_socket_folder_is_reached() {
        let host = connection(serde_json::json!({
            "conn_type": "postgres", "host": "db.example", "port": 6432, "login": "etl",
            "password": "secret", "schema": "warehouse",
            "extra": { "sslmode": "verify-full", "connect_timeout": 3, "lock_timeout": "5s" },
        }));
        let target = Target::new("w", &host).unwrap();
        assert_eq!(target.options.get_host(), "db.example");
        assert_eq!(target.options.get_port(), 6432);
        assert_eq!(target.options.get_username(), "etl");
        assert_eq!(target.options.get_database(), Some("warehouse"));
        assert!(matches!(target.options.get_ssl_mode(), PgSslMode::VerifyFull));
        assert_eq!(target.connect_timeout, Duration::from_secs(3));
        assert!(target.settings.contains(&("lock_timeout".to_owned(), "5s".to_owned())));
        assert_eq!(target.to_string(), "connection `w` (PostgreSQL at db.example:6432/warehouse)");

        let socket = connection(serde_json::json!({ "conn_type": "postgres", "host": "/run/pg" }));
        let target = Target::new("w", &socket).unwrap();
        assert_eq!(target.options.get_socket().unwrap().to_str(), Some("/run/pg"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mysql = connection(serde_json::json!({ "conn_type": "mysql" }));
        let error = Target::new("w", &mysql).err().unwrap();
        assert_eq!(
            error.message,
            "connection `w` is of type `mysql`, but a `postgres` one is needed"
        );
        let wrong = serde_json::json!({ "conn_type": "postgres", "extra": { "sslmode": "on" } });
        let error = Target::new("w", &connection(wrong)).err().unwrap();
        assert_eq!(error.message, "connection `w`: extra `sslmode` cannot be `on`");
    }
}
