//! `subak login`: a name and a password for a token, which is kept.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context, bail};
use chrono::TimeDelta;
use clap::Args;
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::answer::{self, Refused, Whose};
use super::credentials::{self, Credential};
use super::{Reach, Server, address, client};
use crate::clock;
use crate::config::machine_name;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::users::secret_line;

/// Signs in at a server, for commands with --server or `SUBAK_SERVER`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak login https://subak.example.org                      asks for name and password
  subak login subak.example.org --username ana --password-stdin < password.txt
  subak login subak.example.org --token-stdin < token.txt     a token of the page behind your name
  subak login https://subak.internal --cacert authority.pem

The token is kept in ~/.config/subak/servers.json, which nobody else can read; `subak logout` ends it.
Whoever signs in by an identity provider has no password here: make a token on the page behind your name.")]
pub(crate) struct Options {
    /// Address of the server's pages; left out: `SUBAK_SERVER`, or it is asked for.
    url: Option<String>,
    /// Who signs in; left out: it is asked for.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Reads the password from the first line of standard input.
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Reads a token from the first line of standard input, instead of asking for one.
    #[arg(long, conflicts_with_all = ["password_stdin", "username", "days"])]
    token_stdin: bool,
    /// How long one stays signed in.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    #[command(flatten)]
    reach: Reach,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let environment = || std::env::var("SUBAK_SERVER").ok().filter(|url| !url.is_empty());
    let written = match options.url.clone().or_else(environment) {
        Some(url) => url,
        None => ask("Server, such as https://subak.example.org")?,
    };
    let reach = &options.reach;
    let url = address::address(&written, reach.allow_http)?;
    let cacert = reach.cacert.as_deref().map(std::path::absolute).transpose()?;
    let http = client(cacert.as_deref())?;
    let mut server = Server { http, url, token: None, whose: Whose::Nobody };
    let made = match options.token_stdin {
        true => Made { token: secret_line("token")?, username: None, expires_at: None },
        false => sign_in(&server, &options).await?,
    };
    server.token = Some(made.token.clone());
    check(&server).await?;
    let who = made.username.as_deref().map(|name| format!(" as {name}")).unwrap_or_default();
    let until = made.expires_at.map(|at| format!(" until {}", output::instant(Some(at))));
    let credential = Credential {
        username: made.username,
        token: made.token,
        expires_at: made.expires_at,
        cacert,
        allow_http: reach.allow_http,
    };
    let file = credentials::keep(server.name(), credential)?;
    let name = server.name();
    output::line(format!("signed in at {name}{who}{}", until.unwrap_or_default()))?;
    output::line(format!("the token is kept in {}", file.display()))?;
    output::line(format!(
        "ask it with `subak dags list --server {name}`, or set SUBAK_SERVER={name}"
    ))?;
    Ok(Ended::Success)
}

/// What signing in gives.
struct Made {
    token: SecretString,
    username: Option<String>,
    expires_at: Option<chrono::DateTime<chrono::Utc>>,
}

async fn sign_in(server: &Server, options: &Options) -> anyhow::Result<Made> {
    let username = match &options.username {
        Some(name) => name.clone(),
        None => ask("User name")?,
    };
    let password = match options.password_stdin {
        true => secret_line("password")?,
        false => hidden("Password")?,
    };
    let name = format!("subak login on {}", machine_name());
    let body = json!({
        "username": username,
        "password": password.expose_secret(),
        "name": name.chars().take(100).collect::<String>(),
        "days": options.days,
    });
    let now = clock::now();
    let request = server.http.request(Method::POST, server.below(&["auth", "token"], &[])?);
    let response = server.send(request.json(&body)).await.map_err(|error| {
        let refused = error.downcast_ref::<Refused>().map(|it| it.status);
        match refused {
            Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
                anyhow::anyhow!(
                    "{} is no Subak server, or its address ends otherwise",
                    server.name()
                )
            }
            _ => error,
        }
    })?;
    let mut answer: Value = answer::value(server.name(), response).await?;
    let Value::String(token) = answer["access_token"].take() else {
        bail!("{} gave no token: is it a Subak server?", server.name());
    };
    let expires_at = now.checked_add_signed(TimeDelta::days(i64::from(options.days)));
    Ok(Made { token: SecretString::from(token), username: Some(username), expires_at })
}

/// Asks the server something that every user may know.
async fn check(server: &Server) -> anyhow::Result<()> {
    let asked = server.get::<Value>(&["dags"], &[("limit", "1".to_owned())]).await;
    match asked {
        Ok(_) => Ok(()),
        Err(error) => match error.downcast_ref::<Refused>().map(|it| it.status) {
            Some(StatusCode::UNAUTHORIZED) => bail!("{} does not take this token", server.name()),
            _ => Err(error),
        },
    }
}

fn ask(what: &str) -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        bail!(
            "there is nobody to ask: name the server, and send the password with --username NAME \
             --password-stdin"
        );
    }
    write!(io::stderr(), "{what}: ")?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("reading standard input")?;
    let line = line.trim();
    if line.is_empty() {
        bail!("nothing was entered");
    }
    Ok(line.to_owned())
}

/// Asks without showing what is typed.
fn hidden(what: &str) -> anyhow::Result<SecretString> {
    if !io::stdin().is_terminal() {
        bail!("there is nobody to ask: send the password with --password-stdin");
    }
    write!(io::stderr(), "{what}: ")?;
    let typed = console::Term::stderr().read_secure_line().context("reading the password")?;
    Ok(SecretString::from(typed))
}
