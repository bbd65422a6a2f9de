//! `subak ranges`: which parts of topics were read, and which loads have them.

use anyhow::bail;
use clap::Subcommand;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use subak_server::range_view::{RangePart, RangeView};
use subak_server::replay::{WantedRange, replay_range};
use subak_store::read::{RANGE_STATES, RangeFilter};
use subak_store::{NewAudit, Store};

use crate::audit;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output, Row};
use crate::place::{At, Place};
use crate::runs::follow::follow;
use crate::runs::with_engine;

/// Shows which offsets of topics were read, and settles what became of them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists ranges with their offsets, the newest first: those that are not in all of their loads, or
    /// with --dag all of a DAG's.
    #[command(after_help = "\
Examples:
  subak ranges list
  subak ranges list --dag user_registration --state abandoned")]
    List {
        #[command(flatten)]
        place: Place,
        /// Also those that are loaded, as far as they are kept.
        #[arg(long)]
        dag: Option<String>,
        /// Only those in this state.
        #[arg(long, value_parser = RANGE_STATES)]
        state: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
        limit: u32,
        #[command(flatten)]
        output: Output,
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
        place: Place,
        /// As `subak ranges list --dag ID` shows it.
        id: i64,
        /// Follows the run to its end.
        #[arg(long)]
        wait: bool,
    },
    /// Lets the next run finish a range that some loads have by another version of the DAG.
    #[command(after_help = "Example:\n  subak ranges release 17")]
    Release {
        #[command(flatten)]
        place: Place,
        /// As `subak ranges list` shows it.
        id: i64,
    },
    /// Gives a range up, or one load's part of it. The next run cuts a new range from where the ledgers
    /// of its loads are.
    #[command(after_help = "\
Examples:
  subak ranges abandon 17
  subak ranges abandon 17 old_load      only what this load has not")]
    Abandon {
        #[command(flatten)]
        place: Place,
        /// As `subak ranges list` shows it.
        id: i64,
        /// Only this load's part, such as that of a load which the DAG has no more.
        load: Option<String>,
    },
}

/// The run that loads a range once more.
#[derive(Deserialize)]
struct Replayed {
    dag_id: String,
    dag_run_id: String,
}

impl Row for RangeView {
    const HEADING: &'static [&'static str] = &[
        "id",
        "dag",
        "task",
        "range",
        "topic",
        "offsets",
        "state",
        "records",
        "rejected",
        "filtered",
        "run",
        "loads",
        "committed",
        "rows",
    ];

    fn cells(&self) -> Vec<String> {
        let some = |count: Option<i64>| match count {
            None | Some(0) => String::new(),
            Some(count) => count.to_string(),
        };
        let rows = self.loaded.iter().map(|(load, rows)| format!("{load}: {rows}"));
        vec![
            self.range_id.to_string(),
            self.dag_id.clone(),
            self.task_id.clone(),
            self.sequence.to_string(),
            self.topic.clone(),
            offsets(&self.partitions),
            self.state.clone(),
            self.records.map_or_else(|| "not read".to_owned(), |records| records.to_string()),
            some(self.rejected),
            some(self.filtered),
            self.dag_run_id.clone().unwrap_or_default(),
            self.loads.join(", "),
            self.committed.join(", "),
            rows.collect::<Vec<_>>().join(", "),
        ]
    }
}

/// `0: 5–9, 1: 0–4`, of the first few partitions.
fn offsets(parts: &[RangePart]) -> String {
    const SHOWN: usize = 4;
    let shown = parts.iter().take(SHOWN);
    let shown =
        shown.map(|part| format!("{}: {}–{}", part.partition, part.from_offset, part.to_offset));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match parts.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more partitions"),
    }
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List { place, dag, state, limit, output } => {
            list(&place, dag, state, limit, output).await
        }
        Command::Replay { place, id, wait } => replay(&place, id, wait).await,
        Command::Release { place, id } => release(&place, id).await,
        Command::Abandon { place, id, load } => abandon(&place, id, load.as_deref()).await,
    }
}

async fn list(
    place: &Place,
    dag: Option<String>,
    state: Option<String>,
    limit: u32,
    output: Output,
) -> Outcome {
    let (ranges, total) = match place.open().await? {
        At::Database(store) => {
            let open = || dag.is_none().then(|| "open".to_owned());
            let state = state.or_else(open);
            let filter = RangeFilter { dag_id: dag, state, ..RangeFilter::default() };
            let page = store.range_list(&filter, i64::from(limit), 0).await?;
            (page.items.into_iter().map(RangeView::from).collect::<Vec<_>>(), page.total)
        }
        At::Server(server) => {
            let mut query: Vec<_> = dag.map(|dag_id| ("dag_id", dag_id)).into_iter().collect();
            query.extend(state.map(|state| ("state", state)));
            let most = usize::try_from(limit)?;
            let list = server.list(&["ranges"], "ranges", &query, most).await?;
            (list.items, list.total)
        }
    };
    output.list(&ranges)?;
    output.more(ranges.len(), total)?;
    Ok(Ended::Success)
}

async fn abandon(place: &Place, id: i64, load: Option<&str>) -> Outcome {
    match place.open().await? {
        At::Database(store) => {
            let subject = match load {
                Some(load) => format!("range {id}, load {load}"),
                None => format!("range {id}"),
            };
            let by = audit::about("abandon_range", subject);
            if !store.range_abandon(id, load, &by).await? {
                let of = load.map(|load| format!(" of load `{load}`")).unwrap_or_default();
                bail!("there is no open range {id}{of}: `subak ranges list` shows those there are");
            }
        }
        At::Server(server) => {
            let load = load.map(|load| ("load", load.to_owned()));
            let query: Vec<_> = load.into_iter().collect();
            server.act(Method::POST, &["ranges", &id.to_string(), "abandon"], &query).await?;
        }
    }
    output::line(format!("range {id} is given up"))?;
    Ok(Ended::Success)
}

async fn replay(place: &Place, id: i64, wait: bool) -> Outcome {
    let at = place.open().await?;
    let Replayed { dag_id, dag_run_id } = match &at {
        At::Database(store) => replay_here(store, id).await?,
        At::Server(server) => {
            let path = ["ranges", &id.to_string(), "replay"];
            serde_json::from_value(server.act(Method::POST, &path, &[]).await?)?
        }
    };
    output::line(format!("run {dag_run_id} of {dag_id} loads range {id} once more"))?;
    if wait { follow(&at, &dag_id, &dag_run_id).await } else { Ok(Ended::Success) }
}

async fn replay_here(store: &Store, id: i64) -> anyhow::Result<Replayed> {
    let wanted = WantedRange { id, triggered_by: "cli", user: None };
    let started =
        with_engine(store, async |engine| Ok(replay_range(store, engine, &wanted).await?));
    let (dag_id, dag_run_id) = started.await?;
    let of = NewAudit {
        run_id: Some(dag_run_id.clone()),
        subject: Some(format!("range {id}")),
        ..audit::of_dag("replay_range", &dag_id)
    };
    audit::add(store, of, Value::Null, json!({"dag_run_id": dag_run_id})).await?;
    Ok(Replayed { dag_id, dag_run_id })
}

async fn release(place: &Place, id: i64) -> Outcome {
    match place.open().await? {
        At::Database(store) => {
            let by = audit::about("release_range", format!("range {id}"));
            if !store.range_release(id, &by).await? {
                bail!("there is no open range {id}: `subak ranges list` shows those there are");
            }
        }
        At::Server(server) => {
            server.act(Method::POST, &["ranges", &id.to_string(), "release"], &[]).await?;
        }
    }
    output::line(format!("the next run finishes range {id}, whatever its version of the DAG"))?;
    Ok(Ended::Success)
}
