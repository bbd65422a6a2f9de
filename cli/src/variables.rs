//! `subak variables`: texts that the templates of all DAGs may name.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subak_core::variable::{MASK, is_secret, problem, veil};
use subak_store::read::{Orders, TextFilter};

use crate::audit;
use crate::config::KeySource;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output, Row};
use crate::place::{At, Place};
use crate::users::secret_line;

/// Variables that a command lists.
const LIST_MOST: u16 = 1_000;

/// Shows and changes variables: `{{ var.value.NAME }}`, `{{ var.json.NAME.field }}` in templates.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the variables. Values whose names tell that they are secret are hidden.
    #[command(after_help = "Example:\n  subak variables list")]
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        key: KeySource,
        #[command(flatten)]
        output: Output,
    },
    /// Prints the value of one variable; a secret one too, but not from a server elsewhere.
    #[command(after_help = "Example:\n  subak variables get region")]
    Get {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        key: KeySource,
        name: String,
    },
    Set(Box<Set>),
    /// Removes a variable.
    #[command(after_help = "Example:\n  subak variables remove region")]
    Remove {
        #[command(flatten)]
        place: Place,
        name: String,
    },
}

/// Sets a variable.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak variables set region eu-west
  subak variables set limits '{\"rows\": 1000}' --description 'limits of imports'
  subak variables set shop_api_key --stdin < key.txt")]
pub(crate) struct Set {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    key: KeySource,
    name: String,
    #[arg(required_unless_present = "stdin")]
    value: Option<String>,
    /// Reads the value from the first line of standard input.
    #[arg(long, conflicts_with = "value")]
    stdin: bool,
    #[arg(long)]
    description: Option<String>,
}

/// A variable; a server does not tell when it was changed.
#[derive(Serialize, Deserialize)]
struct Variable {
    key: String,
    /// `None`: it cannot be decrypted; the description says why.
    value: Option<String>,
    description: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    updated_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl Row for Variable {
    const HEADING: &'static [&'static str] = &["variable", "value", "description"];

    fn cells(&self) -> Vec<String> {
        let description = self.description.clone().unwrap_or_default();
        let value = self.value.clone().unwrap_or_else(|| "(not readable)".to_owned());
        vec![self.key.clone(), value, description]
    }
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List { place, key, output } => list(&place, &key, output).await,
        Command::Get { place, key, name } => get(&place, &key, &name).await,
        Command::Set(options) => set(*options).await,
        Command::Remove { place, name } => remove(&place, &name).await,
    }
}

async fn get(place: &Place, key: &KeySource, name: &str) -> Outcome {
    let value = match place.open().await? {
        At::Database(store) => {
            let key = key.load(place.metadata())?;
            let found = store.variables_open(&key, std::slice::from_ref(&name.to_owned())).await?;
            let Some(found) = found.into_iter().next() else {
                bail!("variable `{name}` does not exist: see `subak variables list`");
            };
            found.value
        }
        At::Server(_) if is_secret(name) => bail!(
            "a server does not show the secret `{name}`: read it where the database is, with \
             --database-url"
        ),
        At::Server(server) => {
            let found = server.get::<Variable>(&["variables", name], &[]).await?;
            found
                .value
                .with_context(|| format!("variable `{name}` has no value that can be read"))?
        }
    };
    output::line(value)?;
    Ok(Ended::Success)
}

async fn set(options: Set) -> Outcome {
    let Set { place, key, name, value, stdin, description } = options;
    let value = match value {
        Some(value) if !stdin => value,
        _ => secret_line("value")?.expose_secret().to_owned(),
    };
    if let Some(problem) = problem(&name, &value) {
        bail!("{problem}");
    }
    match place.open().await? {
        At::Database(store) => {
            let key = key.load(place.metadata())?;
            let names = [name.clone()];
            // What another key has encrypted is replaced, too.
            let known = store.variables_open(&key, &names).await.unwrap_or_default();
            store.variable_put(&key, &name, &value, description.as_deref(), true).await?;
            let now = store.variables_open(&key, &names).await?;
            let of = audit::about("patch_variable", format!("variable {name}"));
            let (before, after) = (recorded(&known, None), recorded(&now, known.first()));
            audit::add(&store, of, before, after).await?;
        }
        At::Server(server) => {
            let mut body = json!({"key": name, "value": value});
            // Null would remove the one that it has.
            if let Some(text) = description {
                body["description"] = json!(text);
            }
            server.put("variables", &name, &body, &body).await?;
        }
    }
    output::line(format!("variable `{name}` is set"))?;
    Ok(Ended::Success)
}

/// How a variable is, for the audit log: of its value only whether it is another one than before.
fn recorded(found: &[subak_store::Variable], before: Option<&subak_store::Variable>) -> Value {
    let Some(it) = found.first() else { return Value::Null };
    let value = veil(before.is_some_and(|before| before.value != it.value));
    json!({"key": it.key, "value": value, "description": it.description})
}

async fn remove(place: &Place, name: &str) -> Outcome {
    match place.open().await? {
        At::Database(store) => {
            if !store.variable_remove(name).await? {
                bail!("variable `{name}` does not exist: see `subak variables list`");
            }
            let of = audit::about("delete_variable", format!("variable {name}"));
            let before = json!({"key": name, "value": MASK});
            audit::add(&store, of, before, Value::Null).await?;
        }
        At::Server(server) => {
            server.act(Method::DELETE, &["variables", name], &[]).await?;
        }
    }
    output::line(format!("variable `{name}` is removed"))?;
    Ok(Ended::Success)
}

async fn list(place: &Place, key: &KeySource, output: Output) -> Outcome {
    let all: Vec<Variable> = match place.open().await? {
        At::Database(store) => {
            let key = key.load(place.metadata())?;
            let most = i64::from(LIST_MOST);
            let page =
                store.variables(&key, &TextFilter::default(), &Orders::default(), most, 0).await?;
            let shown = |it: subak_store::ListedVariable| {
                let (value, description) = match it.value {
                    Ok(_) if is_secret(&it.key) => (Some(MASK.to_owned()), it.description),
                    Ok(value) => (Some(value), it.description),
                    Err(sealed) => (None, Some(sealed.beside(it.description.as_deref()))),
                };
                Variable { key: it.key, value, description, updated_at: Some(it.updated_at) }
            };
            page.items.into_iter().map(shown).collect()
        }
        At::Server(server) => {
            server.list(&["variables"], "variables", &[], LIST_MOST.into()).await?.items
        }
    };
    output.list(&all)?;
    Ok(Ended::Success)
}
