//! `subak users`: who may sign in.

use std::io::{self, BufRead};
use std::time::Duration;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use secrecy::SecretString;
use subak_store::access::Role;

use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};

/// Manages users.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Adds a user. Without a password it prints a link that signs in once.
    #[command(after_help = "\
Examples:
  subak users add ana --role admin                               prints a one-time sign-in link
  subak users add ben --role viewer --password-stdin < password.txt")]
    Add {
        #[command(flatten)]
        metadata: Metadata,
        /// Letters, digits, `.`, `_`, `-` or `@`.
        username: String,
        /// What the user may do; each role may do all that the ones before it may.
        #[arg(long, value_enum, default_value = "viewer")]
        role: RoleName,
        /// Reads the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Lists the users.
    List {
        #[command(flatten)]
        metadata: Metadata,
    },
}

/// A role's name on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleName {
    /// Looks.
    Viewer,
    /// Triggers, cancels and clears runs.
    User,
    /// Pauses DAGs, manages connections and pools.
    Op,
    /// Manages users and tokens.
    Admin,
}

/// A sign-in link is good for so long.
const LINK_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Add { metadata, username, role, password_stdin } => {
            add(&metadata, &username, role, password_stdin).await
        }
        Command::List { metadata } => list(&metadata).await,
    }
}

async fn add(metadata: &Metadata, username: &str, role: RoleName, password_stdin: bool) -> Outcome {
    let password = if password_stdin { Some(secret_line("password")?) } else { None };
    let store = metadata.store().await?;
    let user = store.user_create(username, password.as_ref(), role.into()).await?;
    output::line(format!("added user `{username}`, {}", user.role.as_str()))?;
    if password.is_none() {
        let link = store.sign_in_link_create(&user, LINK_LIFE).await?;
        let server = metadata.server_url().unwrap_or_else(|| "http(s)://<server>".to_owned());
        output::line("sign in once, within a day, with:")?;
        output::line(format!("  {}", crate::config::sign_in_url(&server, link.expose())))?;
    }
    Ok(Ended::Success)
}

async fn list(metadata: &Metadata) -> Outcome {
    let mut table = Table::new(&["user", "role"]);
    for user in metadata.store().await?.user_list().await? {
        table.row([user.username, user.role.as_str().to_owned()]);
    }
    table.print()?;
    Ok(Ended::Success)
}

/// Reads a secret from the first line of standard input.
pub(crate) fn secret_line(what: &str) -> anyhow::Result<SecretString> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("reading standard input")?;
    let secret = line.trim_end_matches(['\n', '\r']);
    anyhow::ensure!(!secret.is_empty(), "standard input has no {what} in its first line");
    Ok(SecretString::from(secret.to_owned()))
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::User => Self::User,
            RoleName::Op => Self::Op,
            RoleName::Admin => Self::Admin,
        }
    }
}
