//! `subak pools`: how many slots the tasks that name a pool take together.

use anyhow::bail;
use clap::Subcommand;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subak_core::dag::model::{DEFAULT_POOL, POOL_NAME_MOST, is_pool_name};
use subak_store::Store;

use crate::audit;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output, Row};
use crate::place::{At, Place};
use crate::runs::engine::with_engine;

/// Shows and changes pools: limits of what runs at once.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the pools, and how full they are.
    #[command(after_help = "Example:\n  subak pools list")]
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: Output,
    },
    /// Makes a pool, or changes it; tasks that wait for it start at once where there is room.
    #[command(after_help = "\
Examples:
  subak pools set warehouse 4 --description 'connections to the warehouse'
  subak pools set warehouse -1      no limit

With fewer slots than are taken, what runs goes on and nothing starts until there is room.")]
    Set {
        #[command(flatten)]
        place: Place,
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
    #[command(after_help = "Example:\n  subak pools remove warehouse")]
    Remove {
        #[command(flatten)]
        place: Place,
        name: String,
    },
}

/// A pool, spelt as the API spells it.
#[derive(Serialize, Deserialize)]
struct Pool {
    name: String,
    /// -1: no limit.
    slots: i32,
    occupied_slots: i32,
    /// Tasks that wait for one.
    scheduled_slots: i64,
    include_deferred: bool,
    description: String,
}

/// The one of all tasks that name none.
impl Default for Pool {
    fn default() -> Self {
        Self {
            name: DEFAULT_POOL.to_owned(),
            slots: -1,
            occupied_slots: 0,
            scheduled_slots: 0,
            include_deferred: false,
            description: "tasks that name no pool".to_owned(),
        }
    }
}

impl Row for Pool {
    const HEADING: &'static [&'static str] = &["pool", "slots", "taken", "waiting", "description"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            if self.slots < 0 { "no limit".to_owned() } else { self.slots.to_string() },
            self.occupied_slots.to_string(),
            self.scheduled_slots.to_string(),
            self.description.clone(),
        ]
    }
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List { place, output } => list(&place, output).await?,
        Command::Set { place, name, slots, description, include_deferred } => {
            if name == DEFAULT_POOL {
                bail!("`{DEFAULT_POOL}` has no limit: give the tasks a pool of their own");
            }
            if !is_pool_name(&name) {
                bail!("{name:?} is no name of a pool: 1 to {POOL_NAME_MOST} characters");
            }
            match place.open().await? {
                At::Database(store) => {
                    let before = recorded(&store, &name).await?;
                    with_engine(&store, async |engine| {
                        let text = description.as_deref();
                        engine.pool_put(&name, slots, include_deferred, text).await
                    })
                    .await?;
                    let of = audit::about("patch_pool", format!("pool {name}"));
                    let after = recorded(&store, &name).await?;
                    audit::add(&store, of, before, after).await?;
                    store.close().await;
                }
                At::Server(server) => {
                    let mut patch = json!({"slots": slots});
                    if let Some(text) = description {
                        patch["description"] = json!(text);
                    }
                    if let Some(deferred) = include_deferred {
                        patch["include_deferred"] = json!(deferred);
                    }
                    let mut body = patch.clone();
                    body["name"] = json!(name);
                    server.put("pools", &name, &patch, &body).await?;
                }
            }
            output::line(match slots {
                -1 => format!("pool {name}: no limit"),
                1 => format!("pool {name}: 1 slot"),
                _ => format!("pool {name}: {slots} slots"),
            })?;
        }
        Command::Remove { place, name } => {
            if name == DEFAULT_POOL {
                bail!("`{DEFAULT_POOL}` is always there: it cannot be removed");
            }
            match place.open().await? {
                At::Database(store) => {
                    let before = recorded(&store, &name).await?;
                    with_engine(&store, async |engine| Ok(engine.pool_remove(&name).await?))
                        .await?;
                    let of = audit::about("delete_pool", format!("pool {name}"));
                    audit::add(&store, of, before, Value::Null).await?;
                    store.close().await;
                }
                At::Server(server) => {
                    server.act(Method::DELETE, &["pools", &name], &[]).await?;
                }
            }
            output::line(format!(
                "removed pool {name}: tasks that name it wait until there is one"
            ))?;
        }
    }
    Ok(Ended::Success)
}

/// How a pool is, for the audit log; null: there is none.
async fn recorded(store: &Store, name: &str) -> anyhow::Result<Value> {
    let found = store.pools().await?.into_iter().find(|pool| pool.name == name);
    Ok(json!(found.map(|it| {
        json!({"slots": it.slots, "include_deferred": it.include_deferred,
               "description": it.description})
    })))
}

async fn list(place: &Place, output: Output) -> anyhow::Result<()> {
    let mut pools: Vec<Pool> = match place.open().await? {
        At::Database(store) => {
            let pool = |it: subak_store::Pool| Pool {
                name: it.name,
                slots: it.slots,
                occupied_slots: it.used,
                scheduled_slots: it.wanted,
                include_deferred: it.include_deferred,
                description: it.description,
            };
            store.pools_and_default().await?.into_iter().map(pool).collect()
        }
        At::Server(server) => server.list(&["pools"], "pools", &[], usize::MAX).await?.items,
    };
    // A server from before does not name it.
    if pools.iter().all(|pool| pool.name != DEFAULT_POOL) {
        pools.insert(0, Pool::default());
    }
    output.list(&pools)
}
