//! `subak topics`: what the brokers of a connection have, asked from this machine.

use std::time::Duration;

use anyhow::bail;
use chrono::DateTime;
use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::Value;
use subak_core::topic::{Content, TopicHeads, TopicLook, lag};
use subak_store::read::PipelineRecord;

use crate::config::{KeySource, Metadata};
use crate::connections;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};

/// Characters of a record that a table shows.
const SHOWN: usize = 100;

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
    metadata: Metadata,
    #[command(flatten)]
    key: KeySource,
    /// How long the brokers may take to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout_secs: u64,
    /// Prints JSON, as the brokers tell it.
    #[arg(long)]
    json: bool,
}

/// Lists the topics of a connection.
#[derive(Debug, Args)]
#[command(after_help = "\
The brokers are asked from this machine, with the key that decrypts the connection; `GET /api/v2/topics`
lets a worker ask them.

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

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(options) => list(options).await,
        Command::Show(options) => show(options).await,
    }
}

impl Way {
    async fn connection(&self, id: &str) -> anyhow::Result<Value> {
        let value = connections::get(&self.metadata, &self.key, id).await?;
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

    async fn readers(&self, connection: &str) -> anyhow::Result<Vec<PipelineRecord>> {
        let mut all = self.metadata.store().await?.pipelines().await?;
        all.retain(|it| it.connection == connection);
        Ok(all)
    }
}

fn told<T: DeserializeOwned>(answer: Result<Value, String>) -> anyhow::Result<T> {
    let answer = answer.map_err(|why| anyhow::anyhow!(why))?;
    Ok(serde_json::from_value(answer)?)
}

async fn list(List { way, connection }: List) -> Outcome {
    let value = way.connection(&connection).await?;
    let heads: TopicHeads = told(subak_worker::topics(&connection, &value, way.patience()).await)?;
    if way.json {
        output::json(&heads)?;
        return Ok(Ended::Success);
    }
    let readers = way.readers(&connection).await?;
    let mut table = Table::new(&["topic", "partitions", "copies", "read by"]);
    for head in heads.topics {
        let readers = readers.iter().filter(|it| it.topic == head.name);
        let readers: Vec<String> =
            readers.map(|it| format!("{}.{}", it.dag_id, it.task_id)).collect();
        let (partitions, replicas) = (head.partitions.to_string(), head.replicas.to_string());
        table.row([head.name, partitions, replicas, readers.join(", ")]);
    }
    table.print()?;
    if heads.more > 0 {
        output::line(format!("{} more are not shown", heads.more))?;
    }
    Ok(Ended::Success)
}

async fn show(Show { way, connection, topic, records }: Show) -> Outcome {
    let value = way.connection(&connection).await?;
    let asking = subak_worker::topic(&connection, &value, &topic, records, way.patience());
    let look: TopicLook = told(asking.await)?;
    if way.json {
        output::json(&look)?;
        return Ok(Ended::Success);
    }
    let mut readers = way.readers(&connection).await?;
    readers.retain(|it| it.topic == topic);
    let mut table = Table::new(&["partition", "first", "end", "leader", "in sync", "missing"]);
    for part in &look.marks.partitions {
        table.row([
            part.partition.to_string(),
            known(part.low),
            known(part.high),
            known(part.leader),
            format!("{} of {}", part.in_sync, part.replicas),
            part.missing.clone().unwrap_or_default(),
        ]);
    }
    table.print()?;
    if !readers.is_empty() {
        output::line("")?;
        let mut table = Table::new(&["read by", "partition", "read", "loaded", "lag"]);
        for reader in &readers {
            for part in &look.marks.partitions {
                // One that was added after the newest range is read from its beginning.
                let begun = if reader.newest.is_empty() { None } else { part.low };
                let loaded = reader.loaded(part.partition).or(begun);
                table.row([
                    format!("{}.{}", reader.dag_id, reader.task_id),
                    part.partition.to_string(),
                    known(reader.position(part.partition).or(begun)),
                    known(loaded),
                    known(lag(part.high, loaded)),
                ]);
            }
        }
        table.print()?;
    }
    if !look.records.is_empty() {
        output::line("")?;
        let mut table = Table::new(&["record", "when", "key", "value"]);
        for record in &look.records {
            let when = record.timestamp.and_then(DateTime::from_timestamp_millis);
            table.row([
                format!("{}:{}", record.partition, record.offset),
                when.map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M:%S%.3f").to_string()),
                record.key.as_ref().map(shown).unwrap_or_default(),
                record.value.as_ref().map_or_else(|| "(tombstone)".to_owned(), shown),
            ]);
        }
        table.print()?;
    }
    if let Some(missing) = &look.missing {
        output::line(missing)?;
    }
    Ok(Ended::Success)
}

fn known(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// In one line.
fn shown(content: &Content) -> String {
    let text: String = content.shown.chars().take(SHOWN).collect();
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let cut = content.is_cut() || text.len() < content.shown.len();
    format!("{}{text}{}", if content.is_text { "" } else { "0x" }, if cut { "…" } else { "" })
}
