//! A connection of type `postgres`: what its settings may be.

use serde_json::Value;

use super::{ConnectionProblem as Wrong, Fields};

/// How a session is encrypted, from not at all to with the server's name checked.
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// What a setting holds.
#[derive(Debug, Clone, Copy)]
enum Kind {
    SslMode,
    /// A whole number of them.
    Seconds,
    /// PostgreSQL, or the system that the worker runs on, knows what it may be.
    Text,
}

/// Settings of `extra` that tasks heed. Others are there for templates.
const SETTINGS: [(&str, Kind); 14] = [
    ("sslmode", Kind::SslMode),
    ("sslrootcert", Kind::Text),
    ("sslcert", Kind::Text),
    ("sslkey", Kind::Text),
    ("connect_timeout", Kind::Seconds),
    ("watch_every", Kind::Seconds),
    ("ledger_schema", Kind::Text),
    ("lock_timeout", Kind::Text),
    ("statement_timeout", Kind::Text),
    ("idle_in_transaction_session_timeout", Kind::Text),
    ("client_connection_check_interval", Kind::Text),
    ("tcp_keepalives_idle", Kind::Text),
    ("tcp_keepalives_interval", Kind::Text),
    ("tcp_keepalives_count", Kind::Text),
];

/// Checks a connection's fields.
pub(super) fn check(fields: &Fields) -> Result<(), Wrong> {
    let host = fields.host.as_deref().unwrap_or_default();
    if host.contains("://") || host.contains('@') {
        return Err(Wrong::ServerAlone);
    }
    fields.extra.iter().try_for_each(|(name, value)| check_setting(name, value))
}

/// One entry of `extra`. One that is nearly a setting would be passed over, and with it what it is to
/// protect.
fn check_setting(name: &str, value: &Value) -> Result<(), Wrong> {
    let Some((_, kind)) = SETTINGS.iter().find(|(known, _)| *known == name) else {
        return match SETTINGS.iter().find(|(known, _)| letters(known) == letters(name)) {
            Some((meant, _)) => Err(Wrong::Misspelt { setting: name.to_owned(), meant }),
            None => Ok(()),
        };
    };
    let text = match value {
        Value::Null => return Ok(()),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(Wrong::NoTextOrNumber(name.to_owned())),
    };
    let setting = name.to_owned();
    match kind {
        Kind::SslMode if SSL_MODES.iter().any(|mode| mode.eq_ignore_ascii_case(&text)) => Ok(()),
        Kind::SslMode => {
            Err(Wrong::NotOneOf { setting, value: text, allowed: SSL_MODES.join(", ") })
        }
        Kind::Seconds if text.parse::<u64>().is_ok_and(|seconds| seconds > 0) => Ok(()),
        Kind::Seconds => Err(Wrong::NoSeconds { setting, value: text }),
        Kind::Text if text.trim().is_empty() => Err(Wrong::Empty(setting)),
        Kind::Text => Ok(()),
    }
}

/// What a name comes to however its words are put together.
fn letters(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::check;
    use super::*;

    fn postgres(mut value: Value) -> Result<(), Wrong> {
        value["conn_type"] = json!("postgres");
        check(&value)
    }

    #[test]
    fn settings_that_there_are_pass_and_so_does_what_templates_want() {
        assert_eq!(postgres(json!({})), Ok(()));
        let extra = json!({
            "sslmode": "Verify-Full", "connect_timeout": 3, "watch_every": "20", "lock_timeout": "5s",
            "statement_timeout": 0, "sslkey": null, "mode": "nightly", "options": {"a": 1},
        });
        assert_eq!(postgres(json!({"host": "/run/postgresql", "extra": extra})), Ok(()));
    }

    #[test]
    fn what_does_not_fit_is_named_and_no_secret_is() {
        let check = |value: Value, expected: &str| {
            let said = postgres(value).unwrap_err().to_string();
            assert!(said.contains(expected) && !said.contains("hunter2"), "{said}");
        };
        let own_fields = "stand in fields of their own";
        check(json!({"host": "postgres://etl:hunter2@db/users"}), own_fields);
        check(json!({"host": "etl:hunter2@db"}), own_fields);
        check(json!({"extra": {"sslmode": "on"}}), "cannot be `on`: it is one of disable, allow");
        check(json!({"extra": {"ssl_mode": "require"}}), "it is `sslmode`");
        check(json!({"extra": {"lockTimeout": "1s"}}), "it is `lock_timeout`");
        check(json!({"extra": {"connect_timeout": "10s"}}), "a whole number of seconds");
        check(json!({"extra": {"watch_every": 0}}), "a whole number of seconds");
        check(json!({"extra": {"lock_timeout": ["hunter2"]}}), "must be text or a number");
        check(json!({"extra": {"ledger_schema": " "}}), "`ledger_schema` is empty");
    }
}
