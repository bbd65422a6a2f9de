//! Connections by which people are told of ends: `smtp`, `slack`, `webhook`.

use serde_json::Value;

use super::{ConnectionProblem as Wrong, Fields};

/// A mail server.
pub struct Smtp {
    pub host: String,
    pub port: u16,
    pub login: Option<String>,
    pub password: Option<String>,
    /// Whom mails come from.
    pub from: String,
    pub tls: SmtpTls,
    /// File of certificates that are trusted besides the machine's.
    pub authority: Option<String>,
}

/// How the conversation with a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    StartTls,
    /// From the first byte.
    Implicit,
    None,
}

/// An address that takes `{"text": …}`.
pub struct Slack {
    pub url: String,
    /// As of a mail server.
    pub authority: Option<String>,
}

/// An address that takes JSON.
pub struct Webhook {
    pub url: String,
    /// Signs what is sent.
    pub key: Option<String>,
    pub headers: Vec<(String, String)>,
    /// As of a mail server.
    pub authority: Option<String>,
}

impl Smtp {
    /// Reads the connection.
    pub fn new(fields: Fields) -> Result<Self, Wrong> {
        let host = fields.host.filter(|host| !host.is_empty());
        let host = host.ok_or(Wrong::MailHost)?;
        let tls = match text(&fields.extra, "tls")?.as_deref() {
            Some("starttls") => Some(SmtpTls::StartTls),
            Some("implicit") => Some(SmtpTls::Implicit),
            Some("none") => Some(SmtpTls::None),
            Some(_) => return Err(Wrong::MailTls),
            None => None,
        };
        let port = fields.port.unwrap_or(match tls {
            Some(SmtpTls::Implicit) => 465,
            Some(SmtpTls::None) => 25,
            _ => 587,
        });
        let default = if port == 465 { SmtpTls::Implicit } else { SmtpTls::StartTls };
        let from = text(&fields.extra, "from")?;
        let from = from.or_else(|| fields.login.clone().filter(|login| login.contains('@')));
        let from = from.filter(|from| from.contains('@')).ok_or(Wrong::MailFrom)?;
        known(&fields.extra, &["tls", "from", "ca"])?;
        let authority = text(&fields.extra, "ca")?;
        Ok(Self {
            host,
            port,
            login: fields.login,
            password: fields.password,
            from,
            tls: tls.unwrap_or(default),
            authority,
        })
    }
}

impl Slack {
    /// Reads the connection.
    pub fn new(fields: Fields) -> Result<Self, Wrong> {
        known(&fields.extra, &["ca"])?;
        let authority = text(&fields.extra, "ca")?;
        let url = fields.password.filter(|url| is_http(url)).ok_or(Wrong::SlackAddress)?;
        Ok(Self { url, authority })
    }
}

impl Webhook {
    /// Reads the connection.
    pub fn new(fields: Fields) -> Result<Self, Wrong> {
        known(&fields.extra, &["headers", "ca"])?;
        let authority = text(&fields.extra, "ca")?;
        let url = fields.host.filter(|url| is_http(url)).ok_or(Wrong::WebhookAddress)?;
        let mut headers = Vec::new();
        if let Some(given) = fields.extra.get("headers") {
            let given = given.as_object().ok_or(Wrong::Headers)?;
            for (name, value) in given {
                let value = value.as_str().filter(|value| !value.contains(char::is_control));
                let value = value.ok_or(Wrong::HeaderLine)?;
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                if name.is_empty() || !name.chars().all(is_name) {
                    return Err(Wrong::HeaderLetters);
                }
                headers.push((name.clone(), value.to_owned()));
            }
        }
        let key = fields.password.filter(|key| !key.is_empty());
        Ok(Self { url, key, headers, authority })
    }
}

/// Server and port of an address whose path and query may be a secret.
pub(super) fn server(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return String::new() };
    let server = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let server = server.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{server}")
}

fn is_http(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
}

fn text(extra: &serde_json::Map<String, Value>, key: &str) -> Result<Option<String>, Wrong> {
    match extra.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Wrong::NoText(key.to_owned())),
    }
}

fn known(extra: &serde_json::Map<String, Value>, keys: &[&str]) -> Result<(), Wrong> {
    match extra.keys().find(|key| !keys.contains(&key.as_str())) {
        None => Ok(()),
        Some(other) => {
            let known: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
            Err(Wrong::Unknown { setting: other.clone(), known: known.join(", ") })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{check, fields};
    use super::*;

    #[test]
    fn a_mail_server_has_the_ports_that_people_expect() {
        let of = |extra: Value, port: Option<u16>| {
            let value = json!({"conn_type": "smtp", "host": "mail", "port": port, "extra": extra});
            Smtp::new(fields(&value).unwrap()).map(|smtp| (smtp.port, smtp.tls))
        };
        assert_eq!(of(json!({"from": "a@b"}), None).unwrap(), (587, SmtpTls::StartTls));
        assert_eq!(of(json!({"from": "a@b"}), Some(465)).unwrap(), (465, SmtpTls::Implicit));
        let plain = json!({"from": "a@b", "tls": "none"});
        assert_eq!(of(plain, None).unwrap(), (25, SmtpTls::None));
        assert!(of(json!({}), None).is_err_and(|why| why.to_string().contains("`from`")));
        assert!(of(json!({"from": "a@b", "tsl": "none"}), None).is_err());
    }

    #[test]
    fn an_address_is_checked_and_never_quoted() {
        for (value, good) in [
            (json!({"conn_type": "slack", "password": "https://hooks/T/B/x"}), true),
            (json!({"conn_type": "slack", "password": "hunter2"}), false),
            (json!({"conn_type": "webhook", "host": "http://hooks:9/x"}), true),
            (json!({"conn_type": "webhook", "host": "hooks"}), false),
            (
                json!({"conn_type": "webhook", "host": "https://h", "extra": {"headers": {"a b": "c"}}}),
                false,
            ),
        ] {
            let checked = check(&value);
            assert_eq!(checked.is_ok(), good, "{value}");
            assert!(checked.is_ok() || !checked.unwrap_err().to_string().contains("hunter2"));
        }
    }
}
