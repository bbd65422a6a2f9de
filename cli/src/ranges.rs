//! `subak ranges`: which parts of topics were read and are not in every sink yet.

use anyhow::bail;
use clap::Subcommand;

use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};

/// Shows ranges of topics that are not in all of their sinks, and gives them up.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists open ranges, the newest first.
    List {
        #[command(flatten)]
        metadata: Metadata,
    },
    /// Gives a range up, or one load's part of it. The next run cuts a new range from where the ledgers
    /// of its loads are.
    Abandon {
        #[command(flatten)]
        metadata: Metadata,
        /// As `subak ranges list` shows it.
        id: i64,
        /// Only this load's part, such as that of a load which the DAG has no more.
        load: Option<String>,
    },
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List { metadata } => list(&metadata).await,
        Command::Abandon { metadata, id, load } => abandon(&metadata, id, load.as_deref()).await,
    }
}

async fn list(metadata: &Metadata) -> Outcome {
    let mut table = Table::new(&[
        "id",
        "dag",
        "task",
        "range",
        "topic",
        "records",
        "run",
        "loads",
        "committed",
    ]);
    for range in metadata.store().await?.ranges_open().await? {
        table.row([
            range.id.to_string(),
            range.dag_id,
            range.task_id,
            range.sequence.to_string(),
            range.topic,
            range.records.map_or_else(|| "not read".to_owned(), |records| records.to_string()),
            range.run_id.unwrap_or_default(),
            range.sinks.join(", "),
            range.committed.join(", "),
        ]);
    }
    table.print()?;
    Ok(Ended::Success)
}

async fn abandon(metadata: &Metadata, id: i64, load: Option<&str>) -> Outcome {
    if !metadata.store().await?.range_abandon(id, load).await? {
        let of = load.map(|load| format!(" of load `{load}`")).unwrap_or_default();
        bail!("there is no open range {id}{of}: `subak ranges list` shows those there are");
    }
    output::line(format!("range {id} is given up"))?;
    Ok(Ended::Success)
}
