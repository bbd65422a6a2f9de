//! `subak users`: who may sign in.

use std::io::{self, BufRead};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};
use subak_core::variable::{MASK, veil};
use subak_store::access::{GrantOn, Role, User};
use subak_store::{NewAudit, Store};

use crate::audit;
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output, Row};
use crate::place::Place;

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
        place: Place,
        /// Letters, digits, `.`, `_`, `-` or `@`.
        username: String,
        /// What the user may do; each role may do all that the ones before it may.
        #[arg(long, value_enum, default_value = "viewer")]
        role: RoleName,
        /// Reads the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Lists the users, with what is granted to them for single DAGs.
    #[command(after_help = "Example:\n  subak users list")]
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: Output,
    },
    /// Changes what a user may do everywhere.
    #[command(after_help = "Example:\n  subak users role ben op")]
    Role {
        #[command(flatten)]
        place: Place,
        username: String,
        role: RoleName,
    },
    /// Lets a user do more with one DAG, or with all that have a tag.
    #[command(after_help = "\
Examples:
  subak users add mia --role none
  subak users grant mia user --tag sales         mia sees the DAGs of this tag, and runs them
  subak users grant ben op --dag retail_daily    ben may pause this one, too")]
    Grant {
        #[command(flatten)]
        place: Place,
        username: String,
        #[arg(value_parser = ["viewer", "user", "op"])]
        role: String,
        #[command(flatten)]
        on: On,
    },
    /// Takes a grant away.
    #[command(after_help = "Example:\n  subak users revoke mia --tag sales")]
    Revoke {
        #[command(flatten)]
        place: Place,
        username: String,
        #[command(flatten)]
        on: On,
    },
    /// Prints a link that signs a user in once.
    #[command(after_help = "Example:\n  subak users link ana")]
    Link {
        #[command(flatten)]
        place: Place,
        username: String,
    },
    /// Gives a user the password in the first line of standard input; their sessions end.
    #[command(after_help = "Example:\n  subak users password ben < password.txt")]
    Password {
        #[command(flatten)]
        place: Place,
        username: String,
    },
    /// Keeps a user from signing in; their sessions and tokens end at once.
    #[command(after_help = "Example:\n  subak users disable ben")]
    Disable {
        #[command(flatten)]
        place: Place,
        username: String,
    },
}

/// What a grant is for.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct On {
    /// This DAG.
    #[arg(long, value_name = "DAG")]
    dag: Option<String>,
    /// All DAGs with this tag.
    #[arg(long)]
    tag: Option<String>,
}

/// A role's name on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleName {
    /// Nothing, but for what is granted for single DAGs.
    None,
    /// Looks.
    Viewer,
    /// Triggers, cancels and clears runs.
    User,
    /// Pauses DAGs, manages connections and pools.
    Op,
    /// Manages users and tokens.
    Admin,
}

/// Users are the database's.
const INSTEAD: &str = "see the server's page Users";

/// A sign-in link is good for so long.
const LINK_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Add { place, username, role, password_stdin } => {
            add(place.here(INSTEAD)?, &username, role, password_stdin).await
        }
        Command::List { place, output } => list(place.here(INSTEAD)?, output).await,
        Command::Role { place, username, role } => {
            let (store, user) = named(place.here(INSTEAD)?, &username).await?;
            let role = Role::from(role);
            store.user_role_set(&user, role).await?;
            let (before, after) =
                (json!({"role": user.role.as_str()}), json!({"role": role.as_str()}));
            audit::add(&store, of("patch_user", &user), before, after).await?;
            output::line(format!("user `{username}` is {} now", role.as_str()))?;
            Ok(Ended::Success)
        }
        Command::Grant { place, username, role, on } => {
            let (store, user) = named(place.here(INSTEAD)?, &username).await?;
            let granted = Role::parse(&role).context("no such role")?;
            let grant = on.on();
            let before = store.grant_put(&user, &grant, granted).await?;
            let before = before.map_or(Value::Null, |before| grant.recorded(before));
            let after = grant.recorded(granted);
            audit::add(&store, of("post_grant", &user), before, after).await?;
            output::line(format!("user `{username}` is {role} for {on}"))?;
            Ok(Ended::Success)
        }
        Command::Revoke { place, username, on } => {
            let (store, user) = named(place.here(INSTEAD)?, &username).await?;
            let grant = on.on();
            let Some(before) = store.grant_remove(&user, &grant).await? else {
                bail!("nothing is granted to user `{username}` for {on}: see `subak users list`");
            };
            let before = grant.recorded(before);
            audit::add(&store, of("delete_grant", &user), before, Value::Null).await?;
            output::line(format!("user `{username}` has no grant for {on} any more"))?;
            Ok(Ended::Success)
        }
        Command::Link { place, username } => {
            let (store, user) = named(place.here(INSTEAD)?, &username).await?;
            // The link is a secret, and the record's subject is whose it is.
            store.audit_add(&of("post_sign_in_link", &user)).await?;
            link(place.metadata(), &store, &user).await
        }
        Command::Password { place, username } => {
            let (store, user) = named(place.here(INSTEAD)?, &username).await?;
            store.user_password_set(&user, &secret_line("password")?).await?;
            let (before, after) = (json!({"password": MASK}), json!({"password": veil(true)}));
            audit::add(&store, of("patch_user", &user), before, after).await?;
            output::line(format!("user `{username}` has a new password"))?;
            Ok(Ended::Success)
        }
        Command::Disable { place, username } => {
            let (store, user) = named(place.here(INSTEAD)?, &username).await?;
            store.user_disable(&user).await?;
            let before = json!({"role": user.role.as_str(), "is_disabled": false});
            let after = json!({"is_disabled": true});
            audit::add(&store, of("delete_user", &user), before, after).await?;
            output::line(format!("user `{username}` cannot sign in any more"))?;
            Ok(Ended::Success)
        }
    }
}

async fn add(metadata: &Metadata, username: &str, role: RoleName, password_stdin: bool) -> Outcome {
    let password = if password_stdin { Some(secret_line("password")?) } else { None };
    let store = metadata.store().await?;
    let user = store.user_create(username, password.as_ref(), role.into()).await?;
    let after = json!({"username": user.username, "role": user.role.as_str()});
    audit::add(&store, of("post_user", &user), Value::Null, after).await?;
    output::line(format!("added user `{username}`, {}", user.role.as_str()))?;
    match password {
        None => link(metadata, &store, &user).await,
        Some(_) => Ok(Ended::Success),
    }
}

async fn link(metadata: &Metadata, store: &Store, user: &User) -> Outcome {
    let link = store.sign_in_link_create(user, LINK_LIFE).await?;
    let server = metadata.server_url().unwrap_or_else(|| "http(s)://<server>".to_owned());
    output::line("sign in once, within a day, with:")?;
    output::line(format!("  {}", crate::config::sign_in_url(&server, link.expose())))?;
    Ok(Ended::Success)
}

/// A user, with what is granted for single DAGs.
#[derive(Serialize)]
struct Shown {
    username: String,
    role: &'static str,
    grants: Vec<Granted>,
}

#[derive(Serialize)]
struct Granted {
    role: String,
    dag_id: Option<String>,
    tag: Option<String>,
}

impl Row for Shown {
    const HEADING: &'static [&'static str] = &["user", "role", "for single DAGs"];

    fn cells(&self) -> Vec<String> {
        let grant = |it: &Granted| match (&it.dag_id, &it.tag) {
            (Some(dag_id), _) => format!("{} of {dag_id}", it.role),
            (_, tag) => format!("{} of tag {}", it.role, tag.as_deref().unwrap_or_default()),
        };
        let grants: Vec<String> = self.grants.iter().map(grant).collect();
        vec![self.username.clone(), self.role.to_owned(), grants.join(", ")]
    }
}

async fn list(metadata: &Metadata, output: Output) -> Outcome {
    let store = metadata.store().await?;
    let grants = store.grant_list().await?;
    let shown = |user: User| {
        let own = grants.iter().filter(|grant| grant.username == user.username);
        let grant = |it: &subak_store::access::Grant| Granted {
            role: it.role.clone(),
            dag_id: it.dag_id.clone(),
            tag: it.tag.clone(),
        };
        Shown {
            grants: own.map(grant).collect(),
            role: user.role.as_str(),
            username: user.username,
        }
    };
    output.list(&store.user_list().await?.into_iter().map(shown).collect::<Vec<_>>())?;
    Ok(Ended::Success)
}

/// The database, and the user of this name in it.
pub(crate) async fn named(metadata: &Metadata, username: &str) -> anyhow::Result<(Store, User)> {
    let store = metadata.store().await?;
    let user = store.user_named(username).await?.with_context(|| {
        format!("user `{username}` does not exist: `subak users list` shows those that do")
    })?;
    Ok((store, user))
}

/// A record about a user.
fn of(event: &'static str, user: &User) -> NewAudit {
    audit::about(event, format!("user {}", user.username))
}

impl On {
    fn on(&self) -> GrantOn {
        match (&self.dag, &self.tag) {
            (Some(dag_id), _) => GrantOn::Dag(dag_id.clone()),
            (_, tag) => GrantOn::Tag(tag.clone().unwrap_or_default()),
        }
    }
}

impl std::fmt::Display for On {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.dag, &self.tag) {
            (Some(dag_id), _) => write!(f, "DAG `{dag_id}`"),
            (_, tag) => write!(f, "tag `{}`", tag.as_deref().unwrap_or_default()),
        }
    }
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
            RoleName::None => Self::None,
            RoleName::Viewer => Self::Viewer,
            RoleName::User => Self::User,
            RoleName::Op => Self::Op,
            RoleName::Admin => Self::Admin,
        }
    }
}
