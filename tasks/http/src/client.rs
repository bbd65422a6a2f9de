//! From a connection to a client.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, RequestBuilder, Url};
use subak_core::connection::{Http, fields};
use subak_task::{Connection, TaskError};

/// For the way to the server; an answer may take longer.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Redirections that are followed.
const REDIRECTS: usize = 5;

/// A web server, and how it is reached. It shows its address, never its secrets.
#[derive(Clone)]
pub struct Client {
    id: String,
    connection: Http,
    base: Url,
    client: reqwest::Client,
}

impl Client {
    /// Checks a connection; nothing is connected yet. `id` is for messages, empty for one that has no
    /// name yet.
    pub fn new(id: &str, connection: &Connection) -> Result<Self, TaskError> {
        let refused = |why: String| TaskError::permanent(format!("connection `{id}`: {why}"));
        let value = serde_json::to_value(connection).map_err(|error| refused(error.to_string()))?;
        let connection = fields(&value).and_then(Http::new);
        let connection = connection.map_err(|problem| refused(problem.to_string()))?;
        let base = Url::parse(&connection.base)
            .map_err(|error| refused(format!("`{}` is no address: {error}", connection.base)))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &connection.headers {
            let name = HeaderName::try_from(name.as_str());
            let value = HeaderValue::try_from(value.as_str());
            let (Ok(name), Ok(mut value)) = (name, value) else {
                return Err(refused("a header is none".to_owned()));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("subak/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_WITHIN)
            .default_headers(headers)
            .redirect(redirects(base.clone()));
        if let Some(file) = &connection.authority {
            let read = std::fs::read(file)
                .map_err(|error| refused(format!("extra `ca`: reading `{file}`: {error}")))?;
            let found = Certificate::from_pem_bundle(&read)
                .map_err(|_| refused(format!("extra `ca`: `{file}` holds no certificates")))?;
            for certificate in found {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().map_err(|error| refused(error.to_string()))?;
        Ok(Self { id: id.to_owned(), connection, base, client })
    }

    /// Asks for a path below the base address.
    pub fn get(&self, path: &str) -> RequestBuilder {
        let request = self.client.get(self.connection.address(path));
        match &self.connection.basic {
            Some((login, password)) => request.basic_auth(login, Some(password)),
            None => request,
        }
    }

    /// What a test asks for.
    #[must_use]
    pub fn test_path(&self) -> &str {
        &self.connection.test_path
    }

    /// What the user sees of an error: the cause, without an address whose query could hold a secret.
    #[must_use]
    pub fn failure(&self, error: reqwest::Error) -> TaskError {
        let (timed_out, redirected) = (error.is_timeout(), error.is_redirect());
        let error = error.without_url();
        let mut cause = error.to_string();
        let mut next = error.source();
        while let Some(source) = next {
            // The last one says most: `Connection refused`.
            cause = source.to_string();
            next = source.source();
        }
        let advice = match (timed_out, redirected) {
            (true, _) => {
                "see that the server answers in time, and that nothing on the way drops requests"
            }
            (_, true) => {
                "set `host` to the address that the server really has: a redirection to another server is not followed, it would be told the secrets"
            }
            _ => "see that the server runs there, and that the worker can reach it",
        };
        let what = if timed_out { "no answer in time" } else { cause.as_str() };
        TaskError::transient(format!("{self}: {what}\nwhat to do: {advice}"))
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id.as_str() {
            "" => write!(f, "{}", self.base),
            id => write!(f, "connection `{id}` ({})", self.base),
        }
    }
}

/// Follows a server's redirections to itself only: secrets travel in headers.
fn redirects(base: Url) -> Policy {
    Policy::custom(move |next| {
        let is_same = next.url().origin() == base.origin();
        if !is_same {
            return next.error("a redirection to another server");
        }
        if next.previous().len() > REDIRECTS {
            return next.error("too many redirections");
        }
        next.follow()
    })
}
