//! `subak variables`: texts that the templates of all DAGs may name.

use anyhow::bail;
use clap::Subcommand;
use secrecy::ExposeSecret as _;
use serde_json::json;
use subak_core::variable::{MASK, is_secret, problem};

use crate::config::{KeySource, Metadata};
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};
use crate::users::secret_line;

/// Variables that a command lists.
const LIST_MOST: i64 = 1_000;

/// Shows and changes variables: `{{ var.value.NAME }}`, `{{ var.json.NAME.field }}` in templates.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the variables. Values whose names tell that they are secret are hidden.
    List {
        #[command(flatten)]
        metadata: Metadata,
        #[command(flatten)]
        key: KeySource,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints the value of one variable, a secret one too.
    Get {
        #[command(flatten)]
        metadata: Metadata,
        #[command(flatten)]
        key: KeySource,
        name: String,
    },
    /// Sets a variable.
    #[command(after_help = "\
Examples:
  subak variables set region eu-west
  subak variables set limits '{\"rows\": 1000}' --description 'limits of imports'
  subak variables set shop_api_key --stdin < key.txt")]
    Set {
        #[command(flatten)]
        metadata: Metadata,
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
    },
    /// Removes a variable.
    Remove {
        #[command(flatten)]
        metadata: Metadata,
        name: String,
    },
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List { metadata, key, json } => list(&metadata, &key, json).await,
        Command::Get { metadata, key, name } => {
            let key = key.load(&metadata)?;
            let found =
                metadata.store().await?.variables_open(&key, std::slice::from_ref(&name)).await?;
            let Some(found) = found.into_iter().next() else {
                bail!("variable `{name}` does not exist: see `subak variables list`");
            };
            output::line(found.value)?;
            Ok(Ended::Success)
        }
        Command::Set { metadata, key, name, value, stdin, description } => {
            let key = key.load(&metadata)?;
            let value = match value {
                Some(value) if !stdin => value,
                _ => secret_line("value")?.expose_secret().to_owned(),
            };
            if let Some(problem) = problem(&name, &value) {
                bail!("{problem}");
            }
            let store = metadata.store().await?;
            store.variable_put(&key, &name, &value, description.as_deref(), true).await?;
            output::line(format!("variable `{name}` is set"))?;
            Ok(Ended::Success)
        }
        Command::Remove { metadata, name } => {
            if !metadata.store().await?.variable_remove(&name).await? {
                bail!("variable `{name}` does not exist: see `subak variables list`");
            }
            output::line(format!("variable `{name}` is removed"))?;
            Ok(Ended::Success)
        }
    }
}

async fn list(metadata: &Metadata, key: &KeySource, as_json: bool) -> Outcome {
    let key = key.load(metadata)?;
    let all = metadata.store().await?.variables(&key, None, false, LIST_MOST, 0).await?.items;
    let shown = |name: &str, value: String| if is_secret(name) { MASK.to_owned() } else { value };
    if as_json {
        let one = |it: subak_store::Variable| {
            json!({
                "key": it.key,
                "value": shown(&it.key, it.value),
                "description": it.description,
                "updated_at": it.updated_at,
            })
        };
        output::json(&all.into_iter().map(one).collect::<Vec<_>>())?;
        return Ok(Ended::Success);
    }
    let mut table = Table::new(&["variable", "value", "description"]);
    for it in all {
        let value = shown(&it.key, it.value);
        table.row([it.key, value, it.description.unwrap_or_default()]);
    }
    table.print()?;
    Ok(Ended::Success)
}
