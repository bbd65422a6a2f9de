//! Web servers that tasks name by a connection.
//!
//! It owns the way from a connection of type `http` to a client, and what people are told when that
//! does not work. No message holds the connection's secrets.

mod client;

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use subak_task::{Connection, TaskError};

pub use client::Client;

/// Asks a connection's server: "test connection" of the UI and the CLI. It has `patience` to answer.
pub async fn probe(connection: &Connection, patience: Duration) -> Result<Value, TaskError> {
    let client = Client::new("", connection)?;
    let asking = client.get(client.test_path()).timeout(patience).send();
    let answer = asking.await.map_err(|error| client.failure(error))?;
    let status = answer.status();
    if let Some(why) = refusal(status) {
        return Err(TaskError::permanent(format!("{client} answers {status}: {why}")));
    }
    if status.is_server_error() {
        return Err(TaskError::transient(format!(
            "{client} answers {status}: its server cannot do its work now, see its log"
        )));
    }
    let kind = answer.headers().get(reqwest::header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    Ok(json!({ "server": "HTTP", "status": status.to_string(), "content type": kind }))
}

/// Why an answer means that the connection does not work. A path that there is not proves nothing: few
/// servers have anything at their base.
fn refusal(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::UNAUTHORIZED => Some(
            "it does not know the user, token or key; set the right one with `subak connections add`",
        ),
        StatusCode::FORBIDDEN => {
            Some("the user, token or key may not look there; grant it, or name another `test_path`")
        }
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Some("a proxy on the way wants a password"),
        _ => None,
    }
}
