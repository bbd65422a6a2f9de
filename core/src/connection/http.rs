//! A connection of type `http`: a base address, and how one says who one is.

use std::fmt;

use serde_json::Value;

use super::{ConnectionProblem as Wrong, Fields};

/// What may stand in `extra`.
const SETTINGS: &str = "`header`, `header.<name>`, `ca`, `test_path`";

/// A connection to a web server. It holds secrets, so it does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Http {
    /// `https://api.example.org/v1`, without a slash at its end.
    pub base: String,
    /// Sent with every request, secrets among them.
    pub headers: Vec<(String, String)>,
    /// User and password, where the server asks for these.
    pub basic: Option<(String, String)>,
    /// A file of certificates to trust besides the system's.
    pub authority: Option<String>,
    /// What a test asks for, below the base.
    pub test_path: String,
}

impl Http {
    /// Reads and checks a connection's fields.
    pub fn new(fields: Fields) -> Result<Self, Wrong> {
        if fields.conn_type != "http" {
            return Err(Wrong::OtherType { found: fields.conn_type, needed: "http" });
        }
        let base = base(
            fields.host.as_deref().unwrap_or_default(),
            fields.port,
            fields.schema.as_deref(),
        )?;
        let mut http = Self {
            base,
            headers: Vec::new(),
            basic: None,
            authority: None,
            test_path: String::new(),
        };
        let mut secret_header = None;
        for (name, value) in &fields.extra {
            let Value::String(value) = value else {
                return Err(Wrong::NoText(name.clone()));
            };
            match name.as_str() {
                "header" => secret_header = Some(header(value)?),
                "ca" => http.authority = Some(value.clone()),
                "test_path" => http.test_path = test_path(value)?,
                name => match name.strip_prefix("header.") {
                    Some(name) => http.headers.push((header(name)?, header_value(name, value)?)),
                    None => {
                        let (setting, known) = (name.to_owned(), SETTINGS.to_owned());
                        return Err(Wrong::Unknown { setting, known });
                    }
                },
            }
        }
        match (fields.login, fields.password, secret_header) {
            (None, None, None) => {}
            (None, None, Some(_)) => return Err(Wrong::NoHeaderPassword),
            (Some(_), _, Some(_)) => return Err(Wrong::LoginBesideHeader),
            (Some(login), password, None) if !login.contains(':') => {
                http.basic = Some((login, password.unwrap_or_default()));
            }
            (Some(_), ..) => return Err(Wrong::Colon),
            (None, Some(secret), Some(name)) => {
                let value = header_value(&name, &secret)?;
                http.headers.push((name, value));
            }
            (None, Some(token), None) => {
                let value = header_value("authorization", &format!("Bearer {token}"))?;
                http.headers.push(("authorization".to_owned(), value));
            }
        }
        Ok(http)
    }

    /// The address of a path below the base.
    #[must_use]
    pub fn address(&self, path: &str) -> String {
        match path.trim_start_matches('/') {
            "" => self.base.clone(),
            path => format!("{}/{path}", self.base),
        }
    }
}

impl fmt::Display for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

/// `host` is an address, or a server's name; `schema` is then the protocol, as in Airflow.
fn base(host: &str, port: Option<u16>, schema: Option<&str>) -> Result<String, Wrong> {
    let host = host.trim().trim_end_matches('/');
    let (protocol, rest) = host.split_once("://").unwrap_or((schema.unwrap_or("https"), host));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "http" | "https") {
        return Err(Wrong::Protocol(protocol));
    }
    let (server, path) = rest.split_once('/').map_or((rest, ""), |(server, path)| (server, path));
    if server.is_empty() {
        return Err(Wrong::NoBase);
    }
    if rest.contains('@') {
        return Err(Wrong::SecretInHost);
    }
    if rest.contains(['?', '#']) || rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Wrong::MoreThanBase);
    }
    // `[::1]` is an address without a port.
    let after = server.rfind(']').map_or(0, |end| end + 1);
    let server = match (server[after..].contains(':'), port) {
        (false, Some(port)) => format!("{server}:{port}"),
        (true, Some(_)) => return Err(Wrong::TwoPorts),
        (_, None) => server.to_owned(),
    };
    let slash = if path.is_empty() { "" } else { "/" };
    Ok(format!("{protocol}://{server}{slash}{path}"))
}

/// A header's name, in lower case.
fn header(name: &str) -> Result<String, Wrong> {
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    if is_name { Ok(name.to_ascii_lowercase()) } else { Err(Wrong::HeaderName(name.to_owned())) }
}

/// A header's value. The message does not quote it.
fn header_value(name: &str, value: &str) -> Result<String, Wrong> {
    if value.chars().all(|c| c == '\t' || (' '..='\u{7e}').contains(&c)) {
        Ok(value.trim().to_owned())
    } else {
        Err(Wrong::HeaderValue(name.to_owned()))
    }
}

fn test_path(path: &str) -> Result<String, Wrong> {
    let is_path =
        !path.contains("://") && !path.chars().any(|c| c.is_whitespace() || c.is_control());
    if is_path { Ok(path.to_owned()) } else { Err(Wrong::TestPath) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fields;
    use super::*;

    fn http(mut value: Value) -> Result<Http, Wrong> {
        value["conn_type"] = json!("http");
        Http::new(fields(&value)?)
    }

    #[test]
    fn an_address_is_put_together() {
        let check = |value: Value, expected: &str| {
            assert_eq!(http(value).ok().unwrap().base, expected);
        };
        check(json!({"host": "https://api.example.org/v1/"}), "https://api.example.org/v1");
        check(json!({"host": "api.example.org"}), "https://api.example.org");
        check(json!({"host": "a", "port": 8080, "schema": "http"}), "http://a:8080");
        check(json!({"host": "http://[::1]", "port": 81}), "http://[::1]:81");
        check(json!({"host": "HTTP://a:1/b"}), "http://a:1/b");
        let api = http(json!({"host": "http://a/v1"})).ok().unwrap();
        assert_eq!(
            (api.address(""), api.address("/x?y=1")),
            ("http://a/v1".into(), "http://a/v1/x?y=1".into())
        );
    }

    #[test]
    fn who_asks_is_told_in_three_ways() {
        let basic = http(json!({"host": "a", "login": "u", "password": "hunter2"})).ok().unwrap();
        assert_eq!((basic.basic, basic.headers), (Some(("u".into(), "hunter2".into())), vec![]));
        let bearer = http(json!({"host": "a", "password": "hunter2"})).ok().unwrap();
        assert_eq!(bearer.headers, [("authorization".into(), "Bearer hunter2".into())]);
        let extra = json!({"header": "X-Api-Key", "header.Accept": "text/csv"});
        let header =
            http(json!({"host": "a", "password": "hunter2", "extra": extra})).ok().unwrap();
        let expected = [("accept", "text/csv"), ("x-api-key", "hunter2")];
        assert_eq!(
            header.headers,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn what_does_not_fit_is_named_and_no_secret_is() {
        let check = |value: Value, expected: &str| {
            let said = http(value).err().unwrap().to_string();
            assert!(said.contains(expected) && !said.contains("hunter2"), "{said}");
        };
        check(json!({}), "`host` is missing");
        check(json!({"host": "ftp://a"}), "neither http nor https");
        check(json!({"host": "https://u:hunter2@a"}), "stand in `login` and `password`");
        check(json!({"host": "https://a?key=hunter2"}), "no query");
        check(json!({"host": "a:1", "port": 2}), "leave one out");
        check(json!({"host": "a", "password": "hunter2\n"}), "what no header may");
        check(json!({"host": "a", "extra": {"header": "X-Key"}}), "`password` that the header");
        check(json!({"host": "a", "extra": {"header.a b": "x"}}), "no name of a header");
        check(json!({"host": "a", "extra": {"verify": "no"}}), "is not known");
        check(json!({"host": "a", "extra": {"test_path": "http://b"}}), "below the base");
        check(json!({"host": "a", "login": "u", "extra": {"header": "X"}}), "there is no `login`");
    }
}
