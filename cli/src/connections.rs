//! `subak connections`: outside systems that tasks name.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use subak_server::probes::in_words;

use crate::config::{KeySource, Metadata};
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};
use crate::users::secret_line;

/// Manages connections. They are encrypted with a key that is not in the database.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Add(Add),
    /// Lists connections, without their secrets.
    List {
        #[command(flatten)]
        metadata: Metadata,
    },
    /// Tests a connection: whether its server answers, and who one is there.
    #[command(after_help = "\
It is tested from this machine, with the key that decrypts it; `POST /api/v2/connections/NAME/test` lets a
worker test it. The exit code is 1 if it does not work.")]
    Test {
        #[command(flatten)]
        metadata: Metadata,
        #[command(flatten)]
        key: KeySource,
        conn_id: String,
        /// How long its server may take to answer.
        #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
        timeout_secs: u64,
    },
    /// Removes a connection.
    Remove {
        #[command(flatten)]
        metadata: Metadata,
        conn_id: String,
    },
}

/// Adds a connection, or replaces it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak connections add users_db --host db.example.org --login etl --database users --password-stdin < password.txt
  subak connections add users_db --host db.example.org --login etl --database users --extra sslmode=verify-full
  subak connections add kafka_main --type kafka --host broker-1:9092,broker-2:9092
  subak connections add people --type http --host https://api.example.org/v1 --password-stdin < token.txt
  subak connections add kafka_cloud --type kafka --host broker.example.org --login KEY --password-stdin < secret.txt

A task names it by `connection: users_db`.")]
pub(crate) struct Add {
    #[command(flatten)]
    metadata: Metadata,
    #[command(flatten)]
    key: KeySource,
    /// The name by which tasks know it: letters, digits, `_`, `-` and `.`.
    conn_id: String,
    #[arg(long = "type", value_name = "TYPE", default_value = "postgres", value_parser = subak_core::connection::TYPES)]
    conn_type: String,
    /// The server; of Kafka one or more brokers, such as broker-1:9092,broker-2:9092; of http the base
    /// address.
    #[arg(long)]
    host: Option<String>,
    #[arg(long)]
    port: Option<u16>,
    #[arg(long)]
    login: Option<String>,
    /// The database.
    #[arg(long, visible_alias = "schema")]
    database: Option<String>,
    /// A further setting, such as `sslmode=verify-full`, of Kafka any property of librdkafka; may be
    /// given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    extra: Vec<(String, String)>,
    #[arg(long)]
    description: Option<String>,
    /// Reads the password from the first line of standard input; of http without a login it is the
    /// bearer token, or goes into the header that `--extra header=NAME` names.
    #[arg(long)]
    password_stdin: bool,
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Add(options) => add(options).await,
        Command::List { metadata } => list(&metadata).await,
        Command::Test { metadata, key, conn_id, timeout_secs } => {
            test(&metadata, &key, &conn_id, Duration::from_secs(timeout_secs)).await
        }
        Command::Remove { metadata, conn_id } => remove(&metadata, &conn_id).await,
    }
}

async fn add(options: Add) -> Outcome {
    let conn_id = &options.conn_id;
    if conn_id.is_empty()
        || !conn_id.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
    {
        bail!("`{conn_id}` cannot name a connection: use letters, digits, `_`, `-` and `.`");
    }
    let key = options.key.load(&options.metadata)?;
    let password = if options.password_stdin { Some(secret_line("password")?) } else { None };
    let extra: BTreeMap<&str, &str> =
        options.extra.iter().map(|(name, value)| (&**name, &**value)).collect();
    let mut value = Map::new();
    value.insert("conn_type".to_owned(), json!(options.conn_type));
    let fields = [
        ("host", json!(options.host)),
        ("port", json!(options.port)),
        ("login", json!(options.login)),
        ("schema", json!(options.database)),
        ("password", json!(password.as_ref().map(|password| password.expose_secret()))),
    ];
    value.extend(
        fields
            .into_iter()
            .filter(|(_, field)| !field.is_null())
            .map(|(name, field)| (name.to_owned(), field)),
    );
    if !extra.is_empty() {
        value.insert("extra".to_owned(), json!(extra));
    }
    let value = Value::Object(value);
    if let Err(problem) = subak_core::connection::check(&value) {
        bail!("connection `{conn_id}`: {problem}");
    }
    let store = options.metadata.store().await?;
    let description = options.description.as_deref();
    store.connection_put(&key, conn_id, &options.conn_type, description, &value).await?;
    output::line(format!("connection `{conn_id}` is kept"))?;
    Ok(Ended::Success)
}

async fn list(metadata: &Metadata) -> Outcome {
    let mut table = Table::new(&["connection", "type", "description"]);
    for connection in metadata.store().await?.connections().await? {
        table.row([
            connection.conn_id,
            connection.conn_type,
            connection.description.unwrap_or_default(),
        ]);
    }
    table.print()?;
    Ok(Ended::Success)
}

async fn test(metadata: &Metadata, key: &KeySource, conn_id: &str, patience: Duration) -> Outcome {
    let value = get(metadata, key, conn_id).await?;
    match subak_worker::probe(conn_id, &value, patience).await {
        Ok(found) => {
            output::line(format!("connection `{conn_id}` works: {}", in_words(&found)))?;
            Ok(Ended::Success)
        }
        Err(why) => bail!("connection `{conn_id}` does not work: {why}"),
    }
}

/// The connection of the environment, or as it is kept, decrypted.
pub(crate) async fn get(
    metadata: &Metadata,
    key: &KeySource,
    conn_id: &str,
) -> anyhow::Result<Value> {
    if let Some(value) = subak_server::connections::from_environment(conn_id)? {
        return Ok(value);
    }
    let store = metadata.store().await?;
    let key = key.load(metadata)?;
    let found = store.connections_open(&key, &[conn_id.to_owned()]).await?;
    found.into_iter().next().map(|(_, value)| value).with_context(|| {
        format!(
            "connection `{conn_id}` does not exist: `subak connections list` shows those that do"
        )
    })
}

async fn remove(metadata: &Metadata, conn_id: &str) -> Outcome {
    if !metadata.store().await?.connection_remove(conn_id).await? {
        bail!(
            "connection `{conn_id}` does not exist: `subak connections list` shows those that do"
        );
    }
    output::line(format!("connection `{conn_id}` is removed"))?;
    Ok(Ended::Success)
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
