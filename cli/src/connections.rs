//! `subak connections`: outside systems that tasks name.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use subak_core::variable::{MASK, veil};
use subak_server::probes::in_words;
use subak_store::Store;

use crate::audit;
use crate::config::{KeySource, Metadata};
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output, Row};
use crate::place::{At, Place};
use crate::remote::{Server, is_missing};
use crate::users::secret_line;

/// Manages connections. They are encrypted with a key that is not in the database.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Add(Box<Add>),
    /// Lists connections, without their secrets.
    #[command(after_help = "Example:\n  subak connections list")]
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: Output,
    },
    /// Tests a connection: whether its server answers, and who one is there.
    #[command(after_help = "\
Example:
  subak connections test users_db

It is tested from this machine, with the key that decrypts it; with --server a worker tests it there. The
exit code is 1 if it does not work.")]
    Test {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        key: KeySource,
        conn_id: String,
        /// How long its server may take to answer.
        #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
        timeout_secs: u64,
    },
    /// Removes a connection.
    #[command(after_help = "Example:\n  subak connections remove users_db")]
    Remove {
        #[command(flatten)]
        place: Place,
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
    place: Place,
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
        Command::Add(options) => add(*options).await,
        Command::List { place, output } => list(&place, output).await,
        Command::Test { place, key, conn_id, timeout_secs } => match place.server()? {
            Some(server) => asked(&server, &conn_id).await,
            None => {
                let patience = Duration::from_secs(timeout_secs);
                test(place.metadata(), &key, &conn_id, patience).await
            }
        },
        Command::Remove { place, conn_id } => remove(&place, &conn_id).await,
    }
}

async fn add(options: Add) -> Outcome {
    let conn_id = &options.conn_id;
    if conn_id.is_empty()
        || !conn_id.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
    {
        bail!("`{conn_id}` cannot name a connection: use letters, digits, `_`, `-` and `.`");
    }
    let at = options.place.open().await?;
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
    match &at {
        At::Database(store) => keep(store, &options, &value).await?,
        At::Server(server) => send(server, &options, value).await?,
    }
    output::line(format!("connection `{conn_id}` is kept"))?;
    Ok(Ended::Success)
}

async fn keep(store: &Store, options: &Add, value: &Value) -> anyhow::Result<()> {
    let (id, description) = (&options.conn_id, options.description.as_deref());
    let key = options.key.load(options.place.metadata())?;
    let before = recorded(store, id).await?;
    // What another key has encrypted is replaced, too.
    let known = store.connections_open(&key, std::slice::from_ref(id)).await.unwrap_or_default();
    let has_changed = known.first().is_some_and(|(_, known)| known != value);
    store.connection_put(&key, id, &options.conn_type, description, value).await?;
    let mut after = recorded(store, id).await?;
    after["value"] = veil(has_changed).into();
    let of = audit::about("patch_connection", format!("connection {id}"));
    Ok(audit::add(store, of, before, after).await?)
}

/// How a connection is, without what it says, for the audit log; null: there is none.
async fn recorded(store: &Store, id: &str) -> anyhow::Result<Value> {
    let found = store.connections().await?.into_iter().find(|it| it.conn_id == id);
    Ok(json!(found.map(|it| {
        json!({"conn_type": it.conn_type, "description": it.description, "value": MASK})
    })))
}

/// Replaces what there is: what is left out goes.
async fn send(server: &Server, options: &Add, mut value: Value) -> anyhow::Result<()> {
    let id = &options.conn_id;
    value["connection_id"] = json!(id);
    value["description"] = json!(options.description);
    if let Some(extra) = value.get_mut("extra") {
        *extra = json!(extra.to_string());
    }
    let fields =
        ["conn_type", "description", "host", "login", "schema", "port", "password", "extra"];
    let mask = fields.map(|field| ("update_mask", field.to_owned()));
    let path = ["connections", id.as_str()];
    match server.change_with::<Value>(Method::PATCH, &path, &mask, &value).await {
        Err(error) if is_missing(&error) => {
            server.change::<Value>(Method::POST, &["connections"], &value).await?;
        }
        done => drop(done?),
    }
    Ok(())
}

/// A connection without what it says, spelt as the API spells it.
#[derive(Serialize, Deserialize)]
struct Head {
    connection_id: String,
    conn_type: String,
    description: Option<String>,
}

impl Row for Head {
    const HEADING: &'static [&'static str] = &["connection", "type", "description"];

    fn cells(&self) -> Vec<String> {
        let description = self.description.clone().unwrap_or_default();
        vec![self.connection_id.clone(), self.conn_type.clone(), description]
    }
}

async fn list(place: &Place, output: Output) -> Outcome {
    let all: Vec<Head> = match place.open().await? {
        At::Database(store) => {
            let head = |it: subak_store::ConnectionHead| Head {
                connection_id: it.conn_id,
                conn_type: it.conn_type,
                description: it.description,
            };
            store.connections().await?.into_iter().map(head).collect()
        }
        At::Server(server) => {
            server.list(&["connections"], "connections", &[], usize::MAX).await?.items
        }
    };
    output.list(&all)?;
    Ok(Ended::Success)
}

/// What a worker of a server has to say of a connection.
#[derive(Deserialize)]
struct Tested {
    status: bool,
    message: String,
}

async fn asked(server: &Server, conn_id: &str) -> Outcome {
    let tested = server.act(Method::POST, &["connections", conn_id, "test"], &[]).await?;
    let Tested { status, message } = serde_json::from_value(tested)?;
    if !status {
        bail!("connection `{conn_id}` does not work: {message}");
    }
    output::line(format!("connection `{conn_id}` works: {message}"))?;
    Ok(Ended::Success)
}

async fn test(metadata: &Metadata, key: &KeySource, conn_id: &str, patience: Duration) -> Outcome {
    let value = get(metadata, key, conn_id).await?;
    let tells = value["conn_type"].as_str().is_some_and(subak_server::notices::tells);
    let answer = match tells {
        true => {
            subak_server::notices::probe(&value, patience).await.map_err(|why| format!("{why:#}"))
        }
        false => subak_worker::probe(conn_id, &value, patience).await,
    };
    match answer {
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

async fn remove(place: &Place, conn_id: &str) -> Outcome {
    match place.open().await? {
        At::Database(store) => {
            let before = recorded(&store, conn_id).await?;
            if !store.connection_remove(conn_id).await? {
                bail!(
                    "connection `{conn_id}` does not exist: `subak connections list` shows those \
                     that do"
                );
            }
            let of = audit::about("delete_connection", format!("connection {conn_id}"));
            audit::add(&store, of, before, Value::Null).await?;
        }
        At::Server(server) => {
            server.act(Method::DELETE, &["connections", conn_id], &[]).await?;
        }
    }
    output::line(format!("connection `{conn_id}` is removed"))?;
    Ok(Ended::Success)
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
