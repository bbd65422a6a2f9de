//! One question to an API, and whether it is worth another one.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use subak_core::operators::feed::HttpPoll;
use subak_task::{Connection, TaskContext, TaskError};
use subak_tasks_http::Client as Server;

/// A larger answer is an error.
const BODY_MOST: usize = 32 << 20;

/// The longest time that an API may ask to be left alone.
const RETRY_AFTER_MOST: Duration = Duration::from_secs(3_600);

/// See the module.
pub(super) struct Client {
    server: Server,
    /// With its query, which may hold a secret.
    path: String,
    timeout: Duration,
    headers: BTreeMap<String, String>,
}

/// Why there is no answer.
pub(super) enum Failure {
    /// Asking again may help, `after` this time if the API says so.
    Again {
        why: String,
        after: Option<Duration>,
    },
    Final(TaskError),
}

impl Client {
    /// Nothing is asked yet.
    pub(super) fn new(params: &HttpPoll, ctx: &TaskContext) -> Result<Self, TaskError> {
        let (server, path) = match &params.api {
            Some(id) => (Server::new(id, ctx.connection(id)?)?, params.url.clone()),
            None => {
                let (base, path) = parts(&params.url);
                (Server::new("", &of(base))?, path.to_owned())
            }
        };
        Ok(Self { server, path, timeout: params.timeout.0, headers: params.headers.clone() })
    }

    /// Asks once and reads the whole answer.
    pub(super) async fn ask(&self) -> Result<Vec<u8>, Failure> {
        let request = self.server.get(&self.path).timeout(self.timeout);
        let headers = self.headers.iter();
        let request = headers.fold(request, |request, (name, value)| request.header(name, value));
        let response = request.send().await.map_err(|error| self.silent(error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refused(status, &response));
        }
        self.body(response).await
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.silent(error))? {
            if body.len() + part.len() > BODY_MOST {
                return Err(Failure::Final(TaskError::permanent(format!(
                    "{self} answered more than {} MiB: ask for fewer records at once",
                    BODY_MOST >> 20
                ))));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    fn silent(&self, error: reqwest::Error) -> Failure {
        if error.is_builder() {
            let why = "a name or value of `headers` is none that can be sent";
            return Failure::Final(TaskError::permanent(format!("{self}: {why}")));
        }
        Failure::Again { why: self.server.failure(error).message, after: None }
    }

    fn refused(&self, status: StatusCode, response: &Response) -> Failure {
        let why = format!("{self} answered {status}");
        let again = status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY
            );
        if again {
            let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let after = after.and_then(|text| retry_after(text, super::now_ms()));
            return Failure::Again { why, after: after.map(|wait| wait.min(RETRY_AFTER_MOST)) };
        }
        let advice = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "name a connection with the right login or token by `api`"
            }
            _ => "correct `url`",
        };
        Failure::Final(TaskError::permanent(format!("{why}\nwhat to do: {advice}")))
    }
}

/// Without the path, whose query may hold a secret.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

/// The server of an address, and what follows.
fn parts(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?']).map_or(url.len(), |at| host + at);
    url.split_at(end)
}

/// A connection to a server that has no name.
fn of(base: &str) -> Connection {
    Connection {
        conn_type: "http".to_owned(),
        host: Some(base.to_owned()),
        port: None,
        login: None,
        password: None,
        schema: None,
        extra: BTreeMap::new(),
    }
}

/// Seconds, or an instant; `now` in milliseconds since 1970.
fn retry_after(text: &str, now: u64) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = chrono::DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis();
    Some(Duration::from_millis(u64::try_from(at).unwrap_or_default().saturating_sub(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_an_instant() {
        let after = |text| retry_after(text, 1_445_412_470_000);
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(after("Tue, 20 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn an_address_is_a_server_and_what_follows() {
        assert_eq!(parts("https://a.b:80/c?d=e"), ("https://a.b:80", "/c?d=e"));
        assert_eq!(parts("http://a?d"), ("http://a", "?d"));
        assert_eq!(parts("http://a"), ("http://a", ""));
    }
}
