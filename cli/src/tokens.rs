//! `subak tokens`: what programs send to the API.

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subak_store::Store;
use subak_store::access::{Role, TokenRow};
use uuid::Uuid;

use crate::audit;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output, Row};
use crate::place::{At, Place};
use crate::remote::is_missing;
use crate::users::named;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes, lists and revokes API tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes a token that acts for a user, and prints it: it is not shown again.
    #[command(after_help = "\
Examples:
  subak tokens create --user ci deploy --scope user --days 30
  subak tokens create laptop --server https://subak.example.org    one of your own
  curl -H \"Authorization: Bearer $(cat token)\" http://localhost:8080/api/v2/dags")]
    Create {
        #[command(flatten)]
        place: Place,
        /// For whom it acts; left out, at a server: for yourself.
        #[arg(long)]
        user: Option<String>,
        /// What it is for.
        name: String,
        /// The most that it may do; left out: all that its user may.
        #[arg(long, value_parser = ["viewer", "user", "op", "admin"])]
        scope: Option<String>,
        /// How long it is good for.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
    },
    /// Lists the tokens, without their secrets; at a server your own, or as an administrator all.
    #[command(after_help = "Example:\n  subak tokens list --user ci")]
    List {
        #[command(flatten)]
        place: Place,
        /// Only those of this user.
        #[arg(long)]
        user: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Ends a token at once.
    #[command(after_help = "Example:\n  subak tokens revoke 018f3a6e-6d5c-7c3e-9d57-0242ac120002")]
    Revoke {
        #[command(flatten)]
        place: Place,
        /// As `subak tokens list` shows it.
        id: Uuid,
    },
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Create { place, user, name, scope, days } => {
            let secret = match place.open().await? {
                At::Database(store) => {
                    let user = user.context("say for whom with --user NAME")?;
                    create(&store, &user, &name, scope.as_deref(), days).await?
                }
                At::Server(server) => {
                    let body = json!({
                        "name": name, "username": user, "scope": scope, "days": days,
                    });
                    let made: Made = server.change(Method::POST, &["tokens"], &body).await?;
                    made.access_token
                }
            };
            output::line(secret)?;
        }
        Command::List { place, user, output } => list(&place, user, output).await?,
        Command::Revoke { place, id } => match place.open().await? {
            At::Database(store) => {
                let Some(name) = store.api_token_revoke(id, None).await? else {
                    return Err(absent(id));
                };
                let of = audit::about("delete_token", format!("token {name}"));
                audit::add(&store, of, json!({"name": name}), Value::Null).await?;
                output::line(format!("token `{name}` is worth nothing any more"))?;
            }
            At::Server(server) => {
                let done = server.act(Method::DELETE, &["tokens", &id.to_string()], &[]).await;
                done.map_err(|error| if is_missing(&error) { absent(id) } else { error })?;
                output::line(format!("token {id} is worth nothing any more"))?;
            }
        },
    }
    Ok(Ended::Success)
}

/// Makes a token of a user of the database, and returns its secret.
async fn create(
    store: &Store,
    user: &str,
    name: &str,
    scope: Option<&str>,
    days: u32,
) -> anyhow::Result<String> {
    let user = named(store, user).await?;
    let most = scope.and_then(Role::parse);
    let secret = store.api_token_create(&user, name, most, Some(DAY * days)).await?;
    let who = &user.username;
    let after = json!({"username": who, "name": name, "scope": scope, "days": days});
    let of = audit::about("post_token", format!("user {who}"));
    audit::add(store, of, Value::Null, after).await?;
    Ok(secret.expose().to_owned())
}

fn absent(id: Uuid) -> anyhow::Error {
    anyhow::anyhow!("there is no token {id}: `subak tokens list` shows those there are")
}

/// What a server tells of a token that it has made, this once.
#[derive(Deserialize)]
struct Made {
    access_token: String,
}

/// A token, without its secret; spelt as the API spells it.
#[derive(Serialize, Deserialize)]
struct Token {
    token_id: Uuid,
    username: String,
    name: String,
    /// Null: all that its user may.
    scope: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

impl Row for Token {
    const HEADING: &'static [&'static str] =
        &["id", "user", "name", "may at most", "made", "expires", "last used"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.token_id.to_string(),
            self.username.clone(),
            self.name.clone(),
            self.scope.clone().unwrap_or_else(|| "all".to_owned()),
            output::instant(Some(self.created_at)),
            output::instant(self.expires_at),
            output::instant(self.last_used_at),
        ]
    }
}

async fn list(place: &Place, user: Option<String>, output: Output) -> anyhow::Result<()> {
    let all = match place.open().await? {
        At::Database(store) => {
            let user = match user {
                Some(name) => Some(named(&store, &name).await?),
                None => None,
            };
            let all = store.api_token_list(user.as_ref()).await?;
            all.into_iter().map(Token::from).collect()
        }
        At::Server(server) => {
            let query: Vec<_> = user.map(|name| ("username", name)).into_iter().collect();
            server.list::<Token>(&["tokens"], "tokens", &query, usize::MAX).await?.items
        }
    };
    output.list(&all)
}

impl From<TokenRow> for Token {
    fn from(it: TokenRow) -> Self {
        Self {
            token_id: it.token_id,
            username: it.username,
            name: it.name,
            scope: it.scope,
            created_at: it.created_at,
            expires_at: it.expires_at,
            last_used_at: it.last_used_at,
        }
    }
}
