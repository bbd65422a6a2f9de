//! Connections from the environment: `SUBAK_CONN_<NAME>`, JSON or a URL; and variables:
//! `SUBAK_VAR_<NAME>`.

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

/// Returns the connection `id` of the environment, as the JSON that a task is handed.
pub fn from_environment(id: &str) -> anyhow::Result<Option<Value>> {
    let name = format!("SUBAK_CONN_{}", id.to_uppercase());
    match std::env::var(&name) {
        // The message names the variable, never its value.
        Ok(text) => parse(&text).with_context(|| format!("the variable {name}")).map(Some),
        Err(_) => Ok(None),
    }
}

/// Returns the ids of the connections of the environment, as tasks may name them.
pub(crate) fn of_environment() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let ids = names.filter_map(|name| name.strip_prefix("SUBAK_CONN_").map(str::to_lowercase));
    let mut ids: Vec<String> = ids.filter(|id| !id.is_empty()).collect();
    ids.sort_unstable();
    ids
}

/// Returns the variable of the environment, `SUBAK_VAR_<NAME>`.
#[must_use]
pub fn variable_from_environment(name: &str) -> Option<String> {
    std::env::var(format!("SUBAK_VAR_{}", name.to_uppercase())).ok()
}

/// Reads a connection from JSON, or from a URL `type://login:password@host:port/schema?extra=…`.
pub fn parse(text: &str) -> anyhow::Result<Value> {
    let text = text.trim();
    if text.starts_with('{') {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| anyhow::anyhow!("is not JSON: {}", error.classify_for_people()))?;
        return Ok(value);
    }
    from_url(text)
}

fn from_url(text: &str) -> anyhow::Result<Value> {
    let Ok(url) = url::Url::parse(text) else {
        bail!("is neither JSON nor a URL such as postgres://login:password@host:5432/database")
    };
    if matches!(url.scheme(), "http" | "https") {
        return Ok(of_web(url));
    }
    let decode = |part: &str| percent_decode(part);
    let mut value = Map::new();
    value.insert("conn_type".to_owned(), json!(url.scheme().replace("postgresql", "postgres")));
    if let Some(host) = url.host_str().filter(|host| !host.is_empty()) {
        value.insert("host".to_owned(), json!(decode(host)));
    }
    if let Some(port) = url.port() {
        value.insert("port".to_owned(), json!(port));
    }
    if !url.username().is_empty() {
        value.insert("login".to_owned(), json!(decode(url.username())));
    }
    if let Some(password) = url.password() {
        value.insert("password".to_owned(), json!(decode(password)));
    }
    let schema = url.path().trim_start_matches('/');
    if !schema.is_empty() {
        value.insert("schema".to_owned(), json!(decode(schema)));
    }
    let mut extra = Map::new();
    for (key, item) in url.query_pairs() {
        // libpq's way to name a socket's folder.
        match &*key {
            "host" => drop(value.insert("host".to_owned(), json!(item))),
            _ => drop(extra.insert(key.into_owned(), json!(item))),
        }
    }
    if !extra.is_empty() {
        value.insert("extra".to_owned(), Value::Object(extra));
    }
    Ok(Value::Object(value))
}

/// `https://login:password@host/path?header.accept=…`: the base address stays one.
fn of_web(mut url: url::Url) -> Value {
    let mut value = Map::new();
    value.insert("conn_type".to_owned(), json!("http"));
    if !url.username().is_empty() {
        value.insert("login".to_owned(), json!(percent_decode(url.username())));
    }
    if let Some(password) = url.password() {
        value.insert("password".to_owned(), json!(percent_decode(password)));
    }
    let extra: Map<String, Value> =
        url.query_pairs().map(|(key, item)| (key.into_owned(), json!(item))).collect();
    if !extra.is_empty() {
        value.insert("extra".to_owned(), Value::Object(extra));
    }
    // These fail only for addresses without a host.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    value.insert("host".to_owned(), json!(url.as_str()));
    Value::Object(value)
}

fn percent_decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// What is wrong with JSON without quoting it: it may hold a password.
trait ClassifyForPeople {
    fn classify_for_people(&self) -> String;
}

impl ClassifyForPeople for serde_json::Error {
    fn classify_for_people(&self) -> String {
        format!("{:?} error at line {}, column {}", self.classify(), self.line(), self.column())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_url_and_json_say_the_same() {
        let url = parse("postgresql://ann:p%40ss@db:5433/sales?sslmode=require").unwrap();
        let json = parse(
            r#"{"conn_type": "postgres", "host": "db", "port": 5433, "login": "ann",
                "password": "p@ss", "schema": "sales", "extra": {"sslmode": "require"}}"#,
        );
        assert_eq!(url, json.unwrap());
    }

    #[test]
    fn an_address_of_the_web_stays_whole() {
        let url = parse("https://:to%2Fken@api.example.org:8443/v1?test_path=status").unwrap();
        let expected = json!({
            "conn_type": "http", "host": "https://api.example.org:8443/v1", "password": "to/ken",
            "extra": {"test_path": "status"},
        });
        assert_eq!(url, expected);
        assert!(subak_core::connection::check(&url).is_ok());
    }

    #[test]
    fn docker_compose_has_every_connection_that_our_dags_name() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let compose = std::fs::read_to_string(root.join("docker-compose.yml")).unwrap();
        let defined = compose.lines().filter_map(|line| {
            let (name, value) = line.trim().strip_prefix("SUBAK_CONN_")?.split_once(": ")?;
            assert!(subak_core::connection::check(&parse(value).unwrap()).is_ok(), "{line}");
            Some(name.to_lowercase())
        });
        let defined: BTreeSet<String> = defined.collect();

        let (mut folders, mut named) = (vec![root.join("dags")], BTreeSet::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|it| it == "yaml") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let parsed = subak_core::dag::parse(&path.display().to_string(), &text);
                    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
                    let tasks = parsed.dags.into_iter().flat_map(|dag| dag.tasks);
                    named.extend(tasks.flat_map(|task| task.connections));
                }
            }
        }
        for name in ["warehouse", "kafka_main", "users_api"] {
            assert!(named.contains(name), "{named:?}");
        }
        let missing: Vec<_> = named.difference(&defined).collect();
        assert!(missing.is_empty(), "docker-compose.yml lacks SUBAK_CONN_… of {missing:?}");
    }

    #[test]
    fn an_error_does_not_quote_the_secret() {
        let error = format!("{:#}", parse(r#"{"password": "hunter2"#).unwrap_err());
        assert!(!error.contains("hunter2"), "{error}");
    }
}
