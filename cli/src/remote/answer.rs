//! What a server answers: a value, or why not, in words that say what to do.

use std::error::Error;
use std::fmt;

use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The server refused, and said why.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    detail: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl Error for Refused {}

/// Whether the server said that it is not there.
pub(crate) fn is_missing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|it| it.status == StatusCode::NOT_FOUND)
}

/// Whether it may be otherwise in a moment: nobody answered, or not as a server does that is well.
pub(crate) fn may_pass(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_none_or(|it| it.status.is_server_error())
}

/// Reads a value; an empty answer is null.
pub(super) async fn value<T: DeserializeOwned>(
    server: &str,
    response: Response,
) -> anyhow::Result<T> {
    let bytes = response.bytes().await.map_err(|error| unheard(server, &error))?;
    let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
    serde_json::from_slice(text).map_err(|error| {
        anyhow::anyhow!(
            "{server} answers in another way than this `subak` knows ({error}): is it a Subak server, \
             of version {}?",
            env!("CARGO_PKG_VERSION")
        )
    })
}

/// Lets an answer pass that is none of a problem.
pub(super) async fn passed(
    server: &str,
    response: Response,
    token: &Whose,
) -> anyhow::Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if status.is_redirection() {
        anyhow::bail!("{server} leads elsewhere ({status}): name the address behind it");
    }
    let text = response.text().await.map_err(|error| unheard(server, &error))?;
    let told = detail(&text).unwrap_or_else(|| format!("{server} answers {status}"));
    let detail = match status {
        StatusCode::UNAUTHORIZED => token.unknown(server, &told),
        _ => told,
    };
    Err(Refused { status, detail }.into())
}

/// Where the token of a request is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    /// There is none.
    Nobody,
    Environment,
    /// Of `subak login`.
    Kept,
}

impl Whose {
    fn unknown(&self, server: &str, told: &str) -> String {
        match self {
            Self::Nobody => told.to_owned(),
            Self::Environment => format!(
                "{server} does not take the token in SUBAK_TOKEN: it was revoked or has expired, or is \
                 another server's; make one on the page behind your name, or unset it and use `subak \
                 login {server}`"
            ),
            Self::Kept => format!(
                "your token for {server} was revoked or has expired: sign in again with `subak login \
                 {server}`"
            ),
        }
    }
}

/// The words of a problem; of fields that are not valid each with its name.
fn detail(text: &str) -> Option<String> {
    let problem: Value = serde_json::from_str(text).ok()?;
    match &problem["detail"] {
        Value::String(detail) => Some(detail.clone()),
        Value::Array(fields) => Some(fields.iter().map(field).collect::<Vec<_>>().join("; ")),
        _ => None,
    }
}

fn field(it: &Value) -> String {
    let name = it["loc"].as_array().and_then(|loc| loc.last()).and_then(Value::as_str);
    let msg = it["msg"].as_str().unwrap_or_default();
    name.map_or_else(|| msg.to_owned(), |name| format!("`{name}` {msg}"))
}

/// Why nothing came back.
pub(super) fn unheard(server: &str, error: &reqwest::Error) -> anyhow::Error {
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(it) = source {
        cause = it.to_string();
        source = it.source();
    }
    let lower = cause.to_lowercase();
    if lower.contains("certificate") && lower.contains("name") {
        return anyhow::anyhow!(
            "the certificate of {server} is of another name ({cause}): use the name that it is made for"
        );
    }
    if lower.contains("certificate") {
        return anyhow::anyhow!(
            "the certificate of {server} is not trusted ({cause}): name the authority that signed it \
             with --cacert FILE or SUBAK_CACERT"
        );
    }
    if error.is_timeout() {
        return anyhow::anyhow!(
            "{server} does not answer in time: try again, or see to the server"
        );
    }
    if error.is_connect() {
        return anyhow::anyhow!(
            "{server} cannot be reached ({cause}): is the address right, and does the server run?"
        );
    }
    anyhow::anyhow!("{server} broke off ({cause}): try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_in_its_own_words() {
        let fields = r#"{"detail": [{"loc": ["body", "conf"], "msg": "is no map"}]}"#;
        assert_eq!(detail(fields).unwrap(), "`conf` is no map");
        assert_eq!(
            detail(r#"{"detail": "DAG `x` does not exist"}"#).unwrap(),
            "DAG `x` does not exist"
        );
        assert_eq!(detail("<html>"), None);
    }
}
