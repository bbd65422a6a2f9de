//! A server that is elsewhere, asked over its REST API with somebody's token.

mod address;
mod answer;
mod credentials;
pub(crate) mod login;
pub(crate) mod logout;
mod paging;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use self::answer::Whose;
pub(crate) use self::answer::{is_missing, may_pass};

/// A server that does not even take a connection is away.
const CONNECTS_WITHIN: Duration = Duration::from_secs(10);

/// Between two parts of an answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// Which server, and how it is reached.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Elsewhere {
    /// Asks this server, with the token in `SUBAK_TOKEN` or that of `subak login`; left out: the one in
    /// `SUBAK_SERVER`, else the metadata database itself.
    #[arg(long, value_name = "URL", help_heading = "A server elsewhere")]
    server: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

/// How a server is reached.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Reach {
    /// The authority that signed the server's certificate, PEM, beside the system's.
    #[arg(long, env = "SUBAK_CACERT", value_name = "FILE", help_heading = "A server elsewhere")]
    cacert: Option<PathBuf>,
    /// Takes a server by http:// that is not on this machine: whoever listens on the way reads the token.
    #[arg(long, env = "SUBAK_ALLOW_HTTP", help_heading = "A server elsewhere")]
    allow_http: bool,
}

/// A server, and who asks it.
pub(crate) struct Server {
    http: Client,
    url: Url,
    token: Option<SecretString>,
    whose: Whose,
}

/// Parameters of a query.
pub(crate) type Query<'a> = [(&'a str, String)];

impl Elsewhere {
    /// The server of the option.
    pub(crate) fn named(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// Returns the server at an address, with a token for it.
    pub(crate) fn connect(&self, written: &str) -> anyhow::Result<Server> {
        let named = std::env::var("SUBAK_TOKEN").ok().filter(|token| !token.trim().is_empty());
        // How it is reached was said when somebody signed in.
        let url = address::address(written, true)?;
        let server = address::name(&url);
        let kept = credentials::of(server)?;
        let allow_http = self.reach.allow_http || kept.as_ref().is_some_and(|it| it.allow_http);
        address::address(written, allow_http)?;
        let cacert = kept.as_ref().and_then(|it| it.cacert.as_deref());
        let http = client(self.reach.cacert.as_deref().or(cacert))?;
        let (token, whose) = match (named, kept) {
            (Some(token), _) => (SecretString::from(token.trim().to_owned()), Whose::Environment),
            (None, Some(kept)) => (kept.token, Whose::Kept),
            (None, None) => anyhow::bail!(
                "nobody has signed in at {server}: say `subak login {server}`, or set SUBAK_TOKEN"
            ),
        };
        Ok(Server { http, url, token: Some(token), whose })
    }
}

fn client(cacert: Option<&Path>) -> anyhow::Result<Client> {
    let mut builder = Client::builder()
        .user_agent(concat!("subak/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECTS_WITHIN)
        .read_timeout(ANSWERS_WITHIN)
        // A token goes where it is sent, and nowhere else.
        .redirect(redirect::Policy::none());
    if let Some(file) = cacert {
        let reading = || format!("reading the certificate `{}`", file.display());
        let pem = std::fs::read(file).with_context(reading)?;
        for certificate in Certificate::from_pem_bundle(&pem).with_context(reading)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().context("preparing to ask a server")
}

impl Server {
    /// The address, for people.
    pub(crate) fn name(&self) -> &str {
        address::name(&self.url)
    }

    /// Looks at something below `/api/v2`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &Query<'_>,
    ) -> anyhow::Result<T> {
        let response = self.send(self.request(Method::GET, path)?.query(query)).await?;
        answer::value(self.name(), response).await
    }

    /// Changes something; an answer without a body is null.
    pub(crate) async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> anyhow::Result<T> {
        self.change_with(method, path, &[], body).await
    }

    /// The same, with a query.
    pub(crate) async fn change_with<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &Query<'_>,
        body: &Value,
    ) -> anyhow::Result<T> {
        let request = self.request(method, path)?.query(query).json(body);
        answer::value(self.name(), self.send(request).await?).await
    }

    /// Does what needs no body.
    pub(crate) async fn act(
        &self,
        method: Method,
        path: &[&str],
        query: &Query<'_>,
    ) -> anyhow::Result<Value> {
        let response = self.send(self.request(method, path)?.query(query)).await?;
        answer::value(self.name(), response).await
    }

    fn request(&self, method: Method, path: &[&str]) -> anyhow::Result<RequestBuilder> {
        Ok(self.http.request(method, self.below(&["api", "v2"], path)?))
    }

    fn below(&self, root: &[&str], path: &[&str]) -> anyhow::Result<Url> {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("`{}` is no address of a server", self.url))?
            .pop_if_empty()
            .extend(root)
            .extend(path);
        Ok(url)
    }

    async fn send(&self, mut request: RequestBuilder) -> anyhow::Result<Response> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let response =
            request.send().await.map_err(|error| answer::unheard(self.name(), &error))?;
        answer::passed(self.name(), response, &self.whose).await
    }
}

impl Server {
    /// Changes what is kept under a name, or makes it.
    pub(crate) async fn put(
        &self,
        kind: &str,
        name: &str,
        patch: &Value,
        body: &Value,
    ) -> anyhow::Result<()> {
        match self.change::<Value>(Method::PATCH, &[kind, name], patch).await {
            Err(error) if is_missing(&error) => {
                self.change::<Value>(Method::POST, &[kind], body).await.map(drop)
            }
            done => done.map(drop),
        }
    }
}
