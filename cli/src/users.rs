//! `subak users`: who may sign in.

mod elsewhere;

use std::io::{self, BufRead};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subak_core::variable::{MASK, veil};
use subak_store::access::{GrantOn, Role, User};
use subak_store::read::TextFilter;
use subak_store::{NewAudit, Store};

use crate::audit;
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output, Row};
use crate::place::{At, Place};

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
    /// Lets a disabled user sign in again, with the role, the grants and the password that they had.
    #[command(after_help = "Example:\n  subak users enable ben")]
    Enable {
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

/// Users that are read at once.
const SLICE: i64 = 500;

/// A sign-in link is good for so long.
const LINK_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Add { place, username, role, password_stdin } => {
            add(&place, &username, role.into(), password_stdin).await?;
        }
        Command::List { place, output } => list(&place, output).await?,
        Command::Role { place, username, role } => {
            let role = Role::from(role);
            match place.open().await? {
                At::Database(store) => {
                    let user = named(&store, &username).await?;
                    store.user_role_set(&user, role).await?;
                    let before = json!({"role": user.role.as_str()});
                    let after = json!({"role": role.as_str()});
                    audit::add(&store, of("patch_user", &username), before, after).await?;
                }
                At::Server(server) => elsewhere::role(&server, &username, role.as_str()).await?,
            }
            output::line(format!("user `{username}` is {} now", role.as_str()))?;
        }
        Command::Grant { place, username, role, on } => {
            match place.open().await? {
                At::Database(store) => grant(&store, &username, &role, &on.on()).await?,
                At::Server(server) => elsewhere::grant(&server, &username, &role, &on).await?,
            }
            output::line(format!("user `{username}` is {role} for {on}"))?;
        }
        Command::Revoke { place, username, on } => {
            let revoked = match place.open().await? {
                At::Database(store) => revoke(&store, &username, &on).await?,
                At::Server(server) => elsewhere::revoke(&server, &username, &on).await?,
            };
            if !revoked {
                bail!("nothing is granted to user `{username}` for {on}: see `subak users list`");
            }
            output::line(format!("user `{username}` has no grant for {on} any more"))?;
        }
        Command::Link { place, username } => {
            let url = match place.open().await? {
                At::Database(store) => {
                    let user = named(&store, &username).await?;
                    // The link is a secret, and the record's subject is whose it is.
                    store.audit_add(&of("post_sign_in_link", &username)).await?;
                    link(place.metadata(), &store, &user).await?
                }
                At::Server(server) => elsewhere::link(&server, &username).await?,
            };
            print_link(&url)?;
        }
        Command::Password { place, username } => {
            let password = secret_line("password")?;
            match place.open().await? {
                At::Database(store) => {
                    let user = named(&store, &username).await?;
                    store.user_password_set(&user, &password).await?;
                    let before = json!({"password": MASK});
                    let after = json!({"password": veil(true)});
                    audit::add(&store, of("patch_user", &username), before, after).await?;
                }
                At::Server(server) => elsewhere::password(&server, &username, &password).await?,
            }
            output::line(format!("user `{username}` has a new password"))?;
        }
        Command::Disable { place, username } => {
            match place.open().await? {
                At::Database(store) => {
                    let user = named(&store, &username).await?;
                    store.user_disable(&user).await?;
                    let (before, after) = (stands(&user, false), stands(&user, true));
                    audit::add(&store, of("disable_user", &username), before, after).await?;
                }
                At::Server(server) => elsewhere::disable(&server, &username).await?,
            }
            output::line(format!("user `{username}` cannot sign in any more"))?;
        }
        Command::Enable { place, username } => {
            let is_enabled = match place.open().await? {
                At::Database(store) => enable(&store, &username).await?,
                At::Server(server) => elsewhere::enable(&server, &username).await?,
            };
            if !is_enabled {
                bail!(
                    "no user `{username}` is disabled: `subak users list` shows those who are not"
                );
            }
            output::line(format!("user `{username}` may sign in again"))?;
        }
    }
    Ok(Ended::Success)
}

async fn add(
    place: &Place,
    username: &str,
    role: Role,
    password_stdin: bool,
) -> anyhow::Result<()> {
    let password = if password_stdin { Some(secret_line("password")?) } else { None };
    let said = format!("added user `{username}`, {}", role.as_str());
    let url = match place.open().await? {
        At::Database(store) => {
            let user = store.user_create(username, password.as_ref(), role).await?;
            let after = json!({"username": username, "role": role.as_str()});
            audit::add(&store, of("post_user", username), Value::Null, after).await?;
            output::line(said)?;
            match password {
                None => Some(link(place.metadata(), &store, &user).await?),
                Some(_) => None,
            }
        }
        At::Server(server) => {
            elsewhere::add(&server, username, role.as_str(), password.as_ref()).await?;
            output::line(said)?;
            match password {
                None => Some(elsewhere::link(&server, username).await?),
                Some(_) => None,
            }
        }
    };
    url.as_deref().map_or(Ok(()), print_link)
}

/// Gives a user of the database a role for a DAG or a tag.
async fn grant(store: &Store, username: &str, role: &str, on: &GrantOn) -> anyhow::Result<()> {
    let user = named(store, username).await?;
    let role = Role::parse(role).context("no such role")?;
    let before = store.grant_put(&user, on, role).await?;
    let before = before.map_or(Value::Null, |before| on.recorded(before));
    audit::add(store, of("post_grant", username), before, on.recorded(role)).await?;
    Ok(())
}

/// Takes a grant away; false if there is none.
async fn revoke(store: &Store, username: &str, on: &On) -> anyhow::Result<bool> {
    let user = named(store, username).await?;
    let on = on.on();
    let Some(role) = store.grant_remove(&user, &on).await? else { return Ok(false) };
    let of = of("delete_grant", username);
    audit::add(store, of, on.recorded(role), Value::Null).await?;
    Ok(true)
}

/// Lets a disabled user sign in again; false if nobody of this name is disabled.
async fn enable(store: &Store, username: &str) -> anyhow::Result<bool> {
    let Some(user) = store.user_enable(username).await? else { return Ok(false) };
    let (before, after) = (stands(&user, true), stands(&user, false));
    audit::add(store, of("enable_user", username), before, after).await?;
    Ok(true)
}

/// How a user stands, for the audit log.
fn stands(user: &User, is_disabled: bool) -> Value {
    json!({"role": user.role.as_str(), "is_disabled": is_disabled})
}

async fn link(metadata: &Metadata, store: &Store, user: &User) -> anyhow::Result<String> {
    let link = store.sign_in_link_create(user, LINK_LIFE).await?;
    let server = metadata.server_url().unwrap_or_else(|| "http(s)://<server>".to_owned());
    Ok(crate::config::sign_in_url(&server, link.expose()))
}

fn print_link(url: &str) -> anyhow::Result<()> {
    output::line("sign in once, within a day, with:")?;
    Ok(output::line(format!("  {url}"))?)
}

/// A user, with what is granted for single DAGs; spelt as the API spells it.
#[derive(Serialize, Deserialize)]
struct Shown {
    username: String,
    role: String,
    grants: Vec<Granted>,
}

#[derive(Serialize, Deserialize)]
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
        vec![self.username.clone(), self.role.clone(), grants.join(", ")]
    }
}

async fn list(place: &Place, output: Output) -> anyhow::Result<()> {
    let all = match place.open().await? {
        At::Database(store) => here(&store).await?,
        At::Server(server) => elsewhere::list(&server).await?,
    };
    output.list(&all)
}

async fn here(store: &Store) -> anyhow::Result<Vec<Shown>> {
    let mut all = Vec::new();
    loop {
        let offset = i64::try_from(all.len())?;
        let users = store.user_page(&TextFilter::default(), SLICE, offset).await?.items;
        let is_last = i64::try_from(users.len())? < SLICE;
        all.extend(shown(store, users).await?);
        if is_last {
            return Ok(all);
        }
    }
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
            role: user.role.as_str().to_owned(),
            username: user.username,
        }
    };
    Ok(users.into_iter().map(shown).collect())
}

/// The database's user of this name.
pub(crate) async fn named(store: &Store, username: &str) -> anyhow::Result<User> {
    store.user_named(username).await?.ok_or_else(|| absent(username))
}

fn absent(username: &str) -> anyhow::Error {
    anyhow::anyhow!("user `{username}` does not exist: `subak users list` shows those that do")
}

/// A record about a user.
fn of(event: &'static str, username: &str) -> NewAudit {
    audit::about(event, format!("user {username}"))
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
