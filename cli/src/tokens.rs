//! `subak tokens`: what programs send to the API.

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};
use subak_store::access::{Role, TokenRow};
use uuid::Uuid;

use crate::audit;
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output, Row};
use crate::place::Place;
use crate::users::named;

/// Of somebody else's tokens a server tells nothing.
const INSTEAD: &str = "use `subak login`, or see the page behind your name";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes, lists and revokes API tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes a token that acts for a user, and prints it: it is not shown again.
    #[command(after_help = "\
Examples:
  subak tokens create --user ci deploy --scope user --days 30
  curl -H \"Authorization: Bearer $(cat token)\" http://localhost:8080/api/v2/dags")]
    Create {
        #[command(flatten)]
        place: Place,
        /// For whom it acts.
        #[arg(long)]
        user: String,
        /// What it is for.
        name: String,
        /// The most that it may do; left out: all that its user may.
        #[arg(long, value_parser = ["viewer", "user", "op", "admin"])]
        scope: Option<String>,
        /// How long it is good for.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
    },
    /// Lists the tokens, without their secrets.
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
            let (store, user) = named(place.here(INSTEAD)?, &user).await?;
            let most = scope.as_deref().and_then(Role::parse);
            let secret = store.api_token_create(&user, &name, most, Some(DAY * days)).await?;
            let of = audit::about("post_token", format!("user {}", user.username));
            let after = json!({"name": name, "scope": scope, "days": days});
            audit::add(&store, of, Value::Null, after).await?;
            output::line(secret.expose())?;
        }
        Command::List { place, user, output } => {
            list(place.here(INSTEAD)?, user.as_deref(), output).await?;
        }
        Command::Revoke { place, id } => {
            let store = place.here(INSTEAD)?.store().await?;
            let Some(name) = store.api_token_revoke(id, None).await? else {
                bail!("there is no token {id}: `subak tokens list` shows those there are");
            };
            let of = audit::about("delete_token", format!("token {name}"));
            audit::add(&store, of, json!({"name": name}), Value::Null).await?;
            output::line(format!("token `{name}` is worth nothing any more"))?;
        }
    }
    Ok(Ended::Success)
}

/// A token, without its secret.
#[derive(Serialize)]
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

async fn list(metadata: &Metadata, user: Option<&str>, output: Output) -> anyhow::Result<()> {
    let store = metadata.store().await?;
    let user = match user {
        Some(name) => Some(store.user_named(name).await?.with_context(|| {
            format!("user `{name}` does not exist: `subak users list` shows those that do")
        })?),
        None => None,
    };
    let token = |it: TokenRow| Token {
        token_id: it.token_id,
        username: it.username,
        name: it.name,
        scope: it.scope,
        created_at: it.created_at,
        expires_at: it.expires_at,
        last_used_at: it.last_used_at,
    };
    let all = store.api_token_list(user.as_ref()).await?;
    output.list(&all.into_iter().map(token).collect::<Vec<_>>())
}
