//! A connection of type `kafka`: its brokers, and librdkafka's properties.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ConnectionProblem as Wrong, Fields};

/// Of a broker whose port is not named.
pub const DEFAULT_PORT: u16 = 9092;

/// How clients may prove who they are. Others need libraries that Subak is not built with.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL", "SSL"];

/// Properties on which exactly-once rests: Subak alone sets them.
const OURS: [&str; 13] = [
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "partition.assignment.strategy",
    "transactional.id",
    "acks",
    "request.required.acks",
];

/// Properties that would load code into the worker.
const CODE: [&str; 3] = ["plugin.library.paths", "ssl.engine.location", "ssl.providers"];

/// A connection to brokers. It holds secrets, so it does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Kafka {
    /// `host:port`, at least one.
    pub servers: Vec<String>,
    /// librdkafka's, by name: security, secrets, and whatever the connection's extra says.
    pub properties: BTreeMap<String, String>,
}

impl Kafka {
    /// Reads and checks a connection's fields.
    pub fn new(fields: Fields) -> Result<Self, Wrong> {
        if fields.conn_type != "kafka" {
            return Err(Wrong::OtherType { found: fields.conn_type, needed: "kafka" });
        }
        if fields.schema.is_some() {
            return Err(Wrong::NoDatabase);
        }
        let servers = servers(fields.host.as_deref().unwrap_or_default(), fields.port)?;
        let mut properties = BTreeMap::new();
        for (name, value) in &fields.extra {
            let (name, value) = property(name, value)?;
            properties.insert(name, value);
        }
        secure(&mut properties, fields.login, fields.password)?;
        Ok(Self { servers, properties })
    }
}

/// `host` is one broker or several with commas between; `port` is that of those without one.
fn servers(host: &str, port: Option<u16>) -> Result<Vec<String>, Wrong> {
    let port = port.unwrap_or(DEFAULT_PORT);
    let servers = host.split(',').map(str::trim).filter(|server| !server.is_empty());
    let servers: Result<Vec<String>, Wrong> = servers
        .map(|server| {
            // `[::1]` and `[::1]:9092` are addresses, too.
            let after = server.rfind(']').map_or(0, |end| end + 1);
            match server[after..].rsplit_once(':') {
                None => Ok(format!("{server}:{port}")),
                Some((_, number)) if number.parse::<u16>().is_ok_and(|port| port > 0) => {
                    Ok(server.to_owned())
                }
                Some(_) => Err(Wrong::Broker(server.to_owned())),
            }
        })
        .collect();
    match servers?.as_slice() {
        [] => Err(Wrong::NoBroker),
        servers => Ok(servers.to_vec()),
    }
}

/// One entry of `extra`.
fn property(name: &str, value: &Value) -> Result<(String, String), Wrong> {
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'_'
        });
    if !is_name {
        return Err(Wrong::NoProperty(name.to_owned()));
    }
    if matches!(name, "bootstrap.servers" | "metadata.broker.list") {
        return Err(Wrong::BrokersInExtra(name.to_owned()));
    }
    if matches!(name, "sasl.username" | "sasl.password") {
        return Err(Wrong::SecretInExtra(name.to_owned()));
    }
    if OURS.contains(&name) {
        return Err(Wrong::Ours(name.to_owned()));
    }
    if CODE.contains(&name) {
        return Err(Wrong::Code(name.to_owned()));
    }
    let value = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => return Err(Wrong::NoScalar(name.to_owned())),
    };
    let name = if name == "sasl.mechanisms" { "sasl.mechanism" } else { name };
    Ok((name.to_owned(), value))
}

/// Settles protocol and mechanism: a login means `SASL_SSL` with PLAIN, as managed clusters have it.
fn secure(
    properties: &mut BTreeMap<String, String>,
    login: Option<String>,
    password: Option<String>,
) -> Result<(), Wrong> {
    let default = if login.is_some() { "SASL_SSL" } else { "PLAINTEXT" };
    let protocol = properties.remove("security.protocol").unwrap_or_else(|| default.to_owned());
    let protocol = one_of("security.protocol", &protocol, &PROTOCOLS)?;
    let is_sasl = protocol.starts_with("SASL");
    properties.insert("security.protocol".to_owned(), protocol.to_lowercase());
    match (login, is_sasl) {
        (None, false) if !properties.contains_key("sasl.mechanism") => Ok(()),
        (None, _) => Err(Wrong::NoLogin),
        (Some(_), false) => Err(Wrong::LoginWithoutSasl(protocol)),
        (Some(login), true) => {
            let password = password.ok_or(Wrong::NoPassword)?;
            let mechanism = properties.remove("sasl.mechanism");
            let mechanism = mechanism.as_deref().unwrap_or("PLAIN");
            let mechanism = one_of("sasl.mechanism", mechanism, &MECHANISMS)?;
            properties.insert("sasl.mechanism".to_owned(), mechanism.to_owned());
            properties.insert("sasl.username".to_owned(), login);
            properties.insert("sasl.password".to_owned(), password);
            Ok(())
        }
    }
}

fn one_of(name: &str, value: &str, allowed: &[&'static str]) -> Result<&'static str, Wrong> {
    match allowed.iter().find(|allowed| allowed.eq_ignore_ascii_case(value)) {
        Some(found) => Ok(found),
        None => Err(Wrong::NotOneOf {
            setting: name.to_owned(),
            value: value.to_owned(),
            allowed: allowed.join(", "),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{check, fields};
    use super::*;

    fn kafka(mut value: Value) -> Result<Kafka, Wrong> {
        value["conn_type"] = json!("kafka");
        Kafka::new(fields(&value)?)
    }

    #[test]
    fn brokers_get_the_port_that_they_lack() {
        let check = |value: Value, expected: &[&str]| {
            assert_eq!(kafka(value).ok().unwrap().servers, expected);
        };
        check(json!({"host": "a"}), &["a:9092"]);
        check(json!({"host": "a:1, b", "port": 7}), &["a:1", "b:7"]);
        check(json!({"host": "[::1]"}), &["[::1]:9092"]);
        check(json!({"host": "[::1]:9093,"}), &["[::1]:9093"]);
    }

    #[test]
    fn a_login_means_sasl_over_tls() {
        let found = kafka(json!({"host": "a", "login": "key", "password": "secret"})).ok().unwrap();
        let expected = [
            ("sasl.mechanism", "PLAIN"),
            ("sasl.password", "secret"),
            ("sasl.username", "key"),
            ("security.protocol", "sasl_ssl"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found.properties, BTreeMap::from(expected));
        let scram = json!({"host": "a", "login": "u", "password": "p", "extra": {
            "security.protocol": "sasl_plaintext", "sasl.mechanisms": "scram-sha-512",
            "socket.timeout.ms": 5000, "socket.keepalive.enable": true,
        }});
        let found = kafka(scram).ok().unwrap().properties;
        assert_eq!(found["sasl.mechanism"], "SCRAM-SHA-512");
        assert_eq!(found["security.protocol"], "sasl_plaintext");
        assert_eq!(found["socket.timeout.ms"], "5000");
        assert_eq!(found["socket.keepalive.enable"], "true");
    }

    #[test]
    fn what_does_not_fit_is_named_and_no_secret_is() {
        let check = |value: Value, expected: &str| {
            let said = kafka(value).err().unwrap().to_string();
            assert!(said.contains(expected) && !said.contains("hunter2"), "{said}");
        };
        check(json!({}), "`host` is missing");
        check(json!({"host": "a:x"}), "`a:x` is not `host:port`");
        check(json!({"host": "a", "schema": "d"}), "no database");
        check(json!({"host": "a", "login": "u"}), "`password` of the login is missing");
        check(json!({"host": "a", "extra": {"security.protocol": "SASL_SSL"}}), "needs a `login`");
        check(json!({"host": "a", "extra": {"sasl.mechanism": "PLAIN"}}), "needs a `login`");
        check(json!({"host": "a", "extra": {"group.id": "x"}}), "is set by Subak");
        check(json!({"host": "a", "extra": {"plugin.library.paths": "x"}}), "load a library");
        check(
            json!({"host": "a", "extra": {"sasl.password": "hunter2"}}),
            "in `login` and `password`",
        );
        check(json!({"host": "a", "extra": {"Socket": 1}}), "no property of librdkafka");
        check(json!({"host": "a", "extra": {"security.protocol": "tls"}}), "cannot be `tls`");
        check(json!({"host": "a", "password": 1, "login": "hunter2"}), "one of another type");
        let login = json!({"host": "a", "login": "u", "password": "hunter2", "extra": {"security.protocol": "ssl"}});
        check(login, "is for SASL");
        let kerberos = json!({"host": "a", "login": "u", "password": "hunter2", "extra": {"sasl.mechanism": "GSSAPI"}});
        check(kerberos, "it is one of PLAIN");
    }

    #[test]
    fn only_types_that_there_are_pass() {
        assert_eq!(check(&json!({"conn_type": "postgres", "host": "db"})), Ok(()));
        assert!(check(&json!({"conn_type": "kafka"})).is_err());
        let error = check(&json!({"conn_type": "mysql"})).unwrap_err().to_string();
        assert!(error.contains("it is one of http, kafka, postgres"), "{error}");
    }
}
