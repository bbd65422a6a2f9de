//! `subak logout`.

use anyhow::bail;
use clap::Args;

use super::{address, credentials};
use crate::clock;
use crate::exit::{Ended, Outcome};
use crate::output;

/// Forgets the token of a server.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak logout https://subak.example.org
  subak logout                                the server in SUBAK_SERVER, or the only one there is

The token itself ends in its time. To end it at once, revoke it on the page behind your name.")]
pub(crate) struct Options {
    /// Address of the server, as of `subak login`.
    url: Option<String>,
}

pub(crate) fn run(options: Options) -> Outcome {
    let environment = || std::env::var("SUBAK_SERVER").ok().filter(|url| !url.is_empty());
    let written = match options.url.or_else(environment) {
        Some(url) => url,
        None => only()?,
    };
    let url = address::address(&written, true)?;
    let server = address::name(&url);
    let Some(gone) = credentials::forget(server)? else {
        bail!("nobody has signed in at {server}{}", others()?);
    };
    output::line(format!("signed out of {server}: its token is forgotten here"))?;
    if gone.expires_at.is_none_or(|at| at > clock::now()) {
        let until = gone.expires_at.map(|at| format!(" until {}", output::instant(Some(at))));
        output::line(format!(
            "where it was copied to it is good{}: revoke it on the page behind your name",
            until.unwrap_or_default()
        ))?;
    }
    Ok(Ended::Success)
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
