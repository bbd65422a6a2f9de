//! `subak logout`.

use anyhow::bail;
use clap::Args;
use reqwest::{Method, StatusCode};
use url::Url;

use super::answer::{Refused, Whose};
use super::credentials::Credential;
use super::{Server, address, client, credentials};
use crate::clock;
use crate::exit::{Ended, Outcome};
use crate::output;

/// Ends the token of a server, and forgets it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak logout https://subak.example.org
  subak logout                                the server in SUBAK_SERVER, or the only one there is

A token that `subak login --token-stdin` was given is only forgotten: others may use it. To end it, revoke
it on the page behind your name.")]
pub(crate) struct Options {
    /// Address of the server, as of `subak login`.
    url: Option<String>,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let environment = || std::env::var("SUBAK_SERVER").ok().filter(|url| !url.is_empty());
    let written = match options.url.or_else(environment) {
        Some(url) => url,
        None => only()?,
    };
    let url = address::address(&written, true)?;
    let server = address::name(&url);
    let Some(kept) = credentials::of(server)? else {
        bail!("nobody has signed in at {server}{}", others()?);
    };
    // A token that was brought is not this command's to end.
    let ended = if kept.username.is_some() { Some(end(&url, &kept).await) } else { None };
    credentials::forget(server)?;
    let why = match ended {
        Some(Ok(())) => {
            output::line(format!("signed out of {server}: its token is worth nothing any more"))?;
            return Ok(Ended::Success);
        }
        Some(Err(error)) => format!("the server could not be told: {error:#}"),
        None => "it was made elsewhere, and brought by --token-stdin".to_owned(),
    };
    output::line(format!("signed out of {server}: its token is removed here"))?;
    if kept.expires_at.is_none_or(|at| at > clock::now()) {
        let until = kept.expires_at.map(|at| format!(" until {}", output::instant(Some(at))));
        output::line(why)?;
        output::line(format!(
            "there it is still good{}: revoke it on the page behind your name",
            until.unwrap_or_default()
        ))?;
    }
    Ok(Ended::Success)
}

/// Ends a token at its server.
async fn end(url: &Url, kept: &Credential) -> anyhow::Result<()> {
    let server = Server {
        http: client(kept.cacert.as_deref())?,
        url: address::address(url.as_str(), kept.allow_http)?,
        token: Some(kept.token.clone()),
        whose: Whose::Kept,
    };
    let request = server.http.request(Method::DELETE, server.below(&["auth", "token"], &[])?);
    let Err(error) = server.send(request).await else { return Ok(()) };
    match error.downcast_ref::<Refused>().map(|it| it.status) {
        // Somebody has ended it before, or its time is over.
        Some(StatusCode::UNAUTHORIZED) => Ok(()),
        _ => Err(error),
    }
}

fn only() -> anyhow::Result<String> {
    let mut all = credentials::servers()?;
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => bail!("nobody has signed in at any server"),
        _ => bail!("say which server{}", others()?),
    }
}

fn others() -> anyhow::Result<String> {
    let all = credentials::servers()?;
    Ok(if all.is_empty() { String::new() } else { format!(": there are {}", all.join(", ")) })
}
