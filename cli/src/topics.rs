//! `subak topics`: what the brokers of a connection have, asked from this machine, or by a worker of a
//! server.

mod view;

use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::Value;
use subak_core::topic::TopicHeads;
use subak_store::read::PipelineRecord;

use self::view::{Look, Topic};
use crate::config::{KeySource, Metadata};
use crate::connections;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output, Table};
use crate::place::Place;
use crate::remote::Server;

/// Shows topics, how far they go, and how far the DAGs that read them are behind.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(List),
    Show(Show),
}

/// How brokers are reached.
#[derive(Debug, Args)]
struct Way {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    key: KeySource,
    /// How long the brokers may take to answer; a server has its own patience.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout_secs: u64,
    #[command(flatten)]
    output: Output,
}

/// Lists the topics of a connection.
#[derive(Debug, Args)]
#[command(after_help = "\
The brokers are asked from this machine, with the key that decrypts the connection; with --server a worker
asks them there.

Example:
  subak topics list kafka_main")]
pub(crate) struct List {
    #[command(flatten)]
    way: Way,
    connection: String,
}

/// Shows a topic: its partitions, who reads it and how far, and its latest records.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  subak topics show kafka_main user_registration --records 5")]
pub(crate) struct Show {
    #[command(flatten)]
    way: Way,
    connection: String,
    topic: String,
    /// Records that are shown at most.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100))]
    records: u32,
}

/// The topics of a connection, or the first of them.
struct Topics {
    topics: Vec<Topic>,
    total: i64,
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(options) => list(options).await,
        Command::Show(options) => show(options).await,
    }
}

impl Way {
    async fn connection(&self, metadata: &Metadata, id: &str) -> anyhow::Result<Value> {
        let value = connections::get(metadata, &self.key, id).await?;
        match value["conn_type"].as_str() {
            Some("kafka") => Ok(value),
            other => bail!(
                "connection `{id}` is of type `{}`, but a `kafka` one is needed",
                other.unwrap_or_default()
            ),
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout_secs)
    }
}

async fn readers(metadata: &Metadata, connection: &str) -> anyhow::Result<Vec<PipelineRecord>> {
    let mut all = metadata.store().await?.pipelines().await?;
    all.retain(|it| it.connection == connection);
    Ok(all)
}

fn told<T: DeserializeOwned>(answer: Result<Value, String>) -> anyhow::Result<T> {
    let answer = answer.map_err(|why| anyhow::anyhow!(why))?;
    Ok(serde_json::from_value(answer)?)
}

async fn list(List { way, connection }: List) -> Outcome {
    let Topics { topics, total } = match way.place.server()? {
        Some(server) => {
            let query = [("connection", connection)];
            let list = server.list(&["topics"], "topics", &query, usize::MAX).await?;
            Topics { topics: list.items, total: list.total }
        }
        None => topics_here(&way, &connection).await?,
    };
    way.output.list(&topics)?;
    let more = total - i64::try_from(topics.len()).unwrap_or(i64::MAX);
    if more > 0 && !way.output.is_json() {
        output::line(format!("{more} more are not shown"))?;
    }
    Ok(Ended::Success)
}

async fn topics_here(way: &Way, connection: &str) -> anyhow::Result<Topics> {
    let metadata = way.place.metadata();
    let value = way.connection(metadata, connection).await?;
    let heads: TopicHeads = told(subak_worker::topics(connection, &value, way.patience()).await)?;
    let readers = readers(metadata, connection).await?;
    let total = i64::try_from(heads.topics.len()).unwrap_or(i64::MAX) + i64::from(heads.more);
    let topics = heads.topics.into_iter().map(|head| Topic::new(head, &readers)).collect();
    Ok(Topics { topics, total })
}

async fn show(options: Show) -> Outcome {
    let output = options.way.output;
    let look = match options.way.place.server()? {
        Some(server) => look_elsewhere(&server, &options).await?,
        None => look_here(&options).await?,
    };
    if output.is_json() {
        output::json(&look)?;
        return Ok(Ended::Success);
    }
    output.list(&look.partitions)?;
    let readers = look.readers();
    if !readers.is_empty() {
        output::line("")?;
        let mut table = Table::new(&["read by", "partition", "read", "loaded", "lag"]);
        for row in readers {
            table.row(row);
        }
        table.print()?;
    }
    let groups = look.groups();
    if !groups.is_empty() {
        output::line("")?;
        let mut table = Table::new(&["consumer group", "partition", "committed", "lag"]);
        for row in groups {
            table.row(row);
        }
        table.print()?;
    }
    if let Some(missing) = &look.groups_missing {
        output::line(missing)?;
    }
    if !look.records.is_empty() {
        output::line("")?;
        output.list(&look.records)?;
    }
    if let Some(missing) = &look.missing {
        output::line(missing)?;
    }
    Ok(Ended::Success)
}

async fn look_here(options: &Show) -> anyhow::Result<Look> {
    let Show { way, connection, topic, records } = options;
    let metadata = way.place.metadata();
    let value = way.connection(metadata, connection).await?;
    let look = subak_worker::topic(connection, &value, topic, *records, way.patience()).await;
    Ok(Look::new(told(look)?, &readers(metadata, connection).await?))
}

async fn look_elsewhere(server: &Server, options: &Show) -> anyhow::Result<Look> {
    let query = [("records", options.records.to_string())];
    server.get(&["topics", &options.connection, &options.topic], &query).await
}
