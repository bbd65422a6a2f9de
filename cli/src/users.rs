//! `subak users`: who may sign in.

use std::io::{self, BufRead};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;
use subak_store::access::{GrantOn, Role, User};
use subak_store::read::TextFilter;
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

/// Users that are read at once.
const SLICE: i64 = 500;

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
            let before = Some(json!({"role": user.role.as_str()}));
            let after = Some(json!({"role": role.as_str()}));
            record(&store, NewAudit { before, after, ..of("patch_user", &user) }).await?;
            output::line(format!("user `{username}` is {} now", role.as_str()))?;
            Ok(Ended::Success)
        }
        Command::Grant { place, username, role, on } => {
            let (store, user) = named(place.here(INSTEAD)?, &username).await?;
            let granted = Role::parse(&role).context("no such role")?;
            store.grant_put(&user, &on.on(), granted).await?;
            let after = Some(json!({"role": role, "dag": on.dag, "tag": on.tag}));
            record(&store, NewAudit { after, ..of("post_grant", &user) }).await?;
            output::line(format!("user `{username}` is {role} for {on}"))?;
            Ok(Ended::Success)
        }
        Command::Revoke { place, username, on } => {
            let (store, user) = named(place.here(INSTEAD)?, &username).await?;
            if !store.grant_remove(&user, &on.on()).await? {
                bail!("nothing is granted to user `{username}` for {on}: see `subak users list`");
            }
            let before = Some(json!({"dag": on.dag, "tag": on.tag}));
            record(&store, NewAudit { before, ..of("delete_grant", &user) }).await?;
            output::line(format!("user `{username}` has no grant for {on} any more"))?;
            Ok(Ended::Success)
        }
        Command::Link { place, username } => {
            let (store, user) = named(place.here(INSTEAD)?, &username).await?;
            record(&store, of("post_sign_in_link", &user)).await?;
            link(place.metadata(), &store, &user).await
        }
        Command::Password { place, username } => {
            let (store, user) = named(place.here(INSTEAD)?, &username).await?;
            store.user_password_set(&user, &secret_line("password")?).await?;
            record(&store, of("patch_user", &user)).await?;
            output::line(format!("user `{username}` has a new password"))?;
            Ok(Ended::Success)
        }
        Command::Disable { place, username } => {
            let (store, user) = named(place.here(INSTEAD)?, &username).await?;
            store.user_disable(&user).await?;
            record(&store, of("delete_user", &user)).await?;
            output::line(format!("user `{username}` cannot sign in any more"))?;
            Ok(Ended::Success)
        }
    }
}

async fn add(metadata: &Metadata, username: &str, role: RoleName, password_stdin: bool) -> Outcome {
    let password = if password_stdin { Some(secret_line("password")?) } else { None };
    let store = metadata.store().await?;
    let user = store.user_create(username, password.as_ref(), role.into()).await?;
    let after = Some(json!({"role": user.role.as_str()}));
    store
        .audit_add(&NewAudit { after, ..audit::about("post_user", format!("user {username}")) })
        .await?;
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
    let mut all = Vec::new();
    loop {
        let offset = i64::try_from(all.len())?;
        let users = store.user_page(&TextFilter::default(), SLICE, offset).await?.items;
        let is_last = i64::try_from(users.len())? < SLICE;
        all.extend(shown(&store, users).await?);
        if is_last {
            break;
        }
    }
    output.list(&all)?;
    Ok(Ended::Success)
}

/// Users with all that is granted to them.
async fn shown(store: &Store, users: Vec<User>) -> anyhow::Result<Vec<Shown>> {
    let ids: Vec<_> = users.iter().map(|user| user.user_id).collect();
    let grants = store.grants_of(&ids, i64::MAX).await?;
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
    Ok(users.into_iter().map(shown).collect())
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

async fn record(store: &Store, audit: NewAudit) -> anyhow::Result<()> {
    Ok(store.audit_add(&audit).await?)
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
