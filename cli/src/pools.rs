//! `subak pools`: how many slots the tasks that name a pool take together.

use anyhow::bail;
use clap::Subcommand;
use subak_core::dag::model::DEFAULT_POOL;

use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};
use crate::runs::engine::with_engine;

/// Shows and changes pools: limits of what runs at once.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the pools, and how full they are.
    List {
        #[command(flatten)]
        metadata: Metadata,
    },
    /// Makes a pool, or changes it; tasks that wait for it start at once where there is room.
    #[command(after_help = "\
Examples:
  subak pools set warehouse 4 --description 'connections to the warehouse'
  subak pools set warehouse -1      no limit

With fewer slots than are taken, what runs goes on and nothing starts until there is room.")]
    Set {
        #[command(flatten)]
        metadata: Metadata,
        /// As `pool:` of a task names it.
        name: String,
        /// How many; -1: no limit.
        #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-1..))]
        slots: i32,
        /// What the pool is for.
        #[arg(long)]
        description: Option<String>,
        /// Whether deferred tasks keep their slots.
        #[arg(long, value_name = "BOOL")]
        include_deferred: Option<bool>,
    },
    /// Removes a pool that no task is in or waits for.
    Remove {
        #[command(flatten)]
        metadata: Metadata,
        name: String,
    },
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List { metadata } => list(&metadata).await?,
        Command::Set { metadata, name, slots, description, include_deferred } => {
            if name == DEFAULT_POOL {
                bail!("`{DEFAULT_POOL}` has no limit: give the tasks a pool of their own");
            }
            let store = metadata.store().await?;
            with_engine(&store, async |engine| {
                engine.pool_put(&name, slots, include_deferred, description.as_deref()).await
            })
            .await?;
            store.close().await;
            output::line(match slots {
                -1 => format!("pool {name}: no limit"),
                1 => format!("pool {name}: 1 slot"),
                _ => format!("pool {name}: {slots} slots"),
            })?;
        }
        Command::Remove { metadata, name } => {
            let store = metadata.store().await?;
            with_engine(&store, async |engine| Ok(engine.pool_remove(&name).await?)).await?;
            store.close().await;
            output::line(format!(
                "removed pool {name}: tasks that name it wait until there is one"
            ))?;
        }
    }
    Ok(Ended::Success)
}

async fn list(metadata: &Metadata) -> anyhow::Result<()> {
    let mut table = Table::new(&["pool", "slots", "taken", "waiting", "description"]);
    let none = || "no limit".to_owned();
    table.row([DEFAULT_POOL.to_owned(), none(), "-".to_owned(), "-".to_owned(), String::new()]);
    for pool in metadata.store().await?.pools().await? {
        table.row([
            pool.name,
            if pool.slots < 0 { none() } else { pool.slots.to_string() },
            pool.used.to_string(),
            pool.wanted.to_string(),
            pool.description,
        ]);
    }
    table.print()?;
    Ok(())
}
