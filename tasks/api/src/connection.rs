//! A connection as a try is handed it: secrets readable here, printed nowhere.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where and how to reach an outside system; the fields are Airflow's.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// `postgres`, …
    pub conn_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Value>,
}

impl Connection {
    /// Every secret in it, for the log's masker.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        const SECRET: [&str; 5] = ["password", "secret", "token", "key", "passphrase"];
        const HEADERS: [&str; 2] = ["auth", "cookie"];
        let hidden = self.extra.iter().filter_map(|(name, value)| {
            let name = name.to_lowercase();
            let is_secret = SECRET.iter().any(|word| name.contains(word))
                || (name.starts_with("header.") && HEADERS.iter().any(|word| name.contains(word)));
            is_secret.then(|| value.as_str()).flatten()
        });
        self.password.as_deref().into_iter().chain(hidden).filter(|secret| !secret.is_empty())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("conn_type", &self.conn_type)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("login", &self.login)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}
