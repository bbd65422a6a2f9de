//! `subak ranges`: which parts of topics were read, and which loads have them.

use anyhow::bail;
use clap::Subcommand;
use subak_server::replay::{WantedRange, replay_range};

use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};
use crate::runs::follow::follow;
use crate::runs::with_engine;

/// Shows which offsets of topics were read, and settles what became of them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists ranges, the newest first: those that are not in all of their loads, or with --dag all of a
    /// DAG's.
    List {
        #[command(flatten)]
        metadata: Metadata,
        /// Also those that are loaded, as far as they are kept.
        #[arg(long)]
        dag: Option<String>,
    },
    /// Loads a range once more, in a run of its own: the task reads the same offsets again, and the loads
    /// have to be upserts or replacements.
    #[command(after_help = "\
Examples:
  subak ranges list --dag user_registration
  subak ranges replay 17 --wait

With --wait the exit code is 3 if the run fails.")]
    Replay {
        #[command(flatten)]
        metadata: Metadata,
        /// As `subak ranges list --dag ID` shows it.
        id: i64,
        /// Follows the run to its end.
        #[arg(long)]
        wait: bool,
    },
    /// Lets the next run finish a range that some loads have by another version of the DAG.
    Release {
        #[command(flatten)]
        metadata: Metadata,
        /// As `subak ranges list` shows it.
        id: i64,
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
        Command::List { metadata, dag } => list(&metadata, dag.as_deref()).await,
        Command::Replay { metadata, id, wait } => replay(&metadata, id, wait).await,
        Command::Release { metadata, id } => release(&metadata, id).await,
        Command::Abandon { metadata, id, load } => abandon(&metadata, id, load.as_deref()).await,
    }
}

async fn list(metadata: &Metadata, dag: Option<&str>) -> Outcome {
    let store = metadata.store().await?;
    let ranges = match dag {
        Some(dag) => store.ranges_of(dag).await?,
        None => store.ranges_open().await?,
    };
    let mut table = Table::new(&[
        "id",
        "dag",
        "task",
        "range",
        "topic",
        "state",
        "records",
        "run",
        "loads",
        "committed",
    ]);
    for range in ranges {
        table.row([
            range.id.to_string(),
            range.dag_id,
            range.task_id,
            range.sequence.to_string(),
            range.topic,
            range.state,
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

async fn replay(metadata: &Metadata, id: i64, wait: bool) -> Outcome {
    let store = metadata.store().await?;
    let wanted = WantedRange { id, triggered_by: "cli", user: None };
    let started =
        with_engine(&store, async |engine| Ok(replay_range(&store, engine, &wanted).await?));
    let (dag_id, run_id) = started.await?;
    output::line(format!("run {run_id} of {dag_id} loads range {id} once more"))?;
    if wait { follow(&store, &dag_id, &run_id).await } else { Ok(Ended::Success) }
}

async fn release(metadata: &Metadata, id: i64) -> Outcome {
    if !metadata.store().await?.range_release(id).await? {
        bail!("there is no open range {id}: `subak ranges list` shows those there are");
    }
    output::line(format!("the next run finishes range {id}, whatever its version of the DAG"))?;
    Ok(Ended::Success)
}
