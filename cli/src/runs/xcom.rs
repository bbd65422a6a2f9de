//! `subak runs xcom`: what tasks handed on.

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subak_core::ids::{MapIndex, TaskId};
use subak_store::Store;
use subak_store::read::{RunFilter, XComFilter, XComHead};

use super::{Which, version};
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output, Row};
use crate::place::{At, Place};
use crate::remote::Server;

/// Lists what the tasks of a run handed on, or prints one value as JSON.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs xcom retail_retention                              what there is of the last run
  subak runs xcom retail_retention --task count --key return_value
  subak runs xcom files_of_a_day --task each --map-index 3 --key return_value")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Which,
    /// Only of this task.
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// Only of this instance of a mapped task.
    #[arg(long, value_name = "INDEX", requires = "task")]
    map_index: Option<i32>,
    /// Prints the value under this key.
    #[arg(long, value_name = "KEY", requires = "task")]
    key: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    limit: u16,
    #[command(flatten)]
    output: Output,
}

/// That something was handed on, spelt as the API spells it.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    key: String,
    timestamp: DateTime<Utc>,
    map_index: i32,
    task_id: String,
    dag_id: String,
    run_id: String,
}

impl Row for Head {
    const HEADING: &'static [&'static str] = &["task", "index", "key", "when"];

    fn cells(&self) -> Vec<String> {
        let index = if self.map_index < 0 { String::new() } else { self.map_index.to_string() };
        let when = output::instant(Some(self.timestamp));
        vec![self.task_id.clone(), index, self.key.clone(), when]
    }
}

pub(crate) async fn run(options: Options) -> Outcome {
    let at = options.place.open_with_storage().await?;
    if let (Some(task), Some(key)) = (&options.task, &options.key) {
        let value = match &at {
            At::Database(store) => value(store, &options, task, key).await?,
            At::Server(server) => asked(server, &options, task, key).await?,
        };
        output::json(&value)?;
        return Ok(Ended::Success);
    }
    let (heads, total) = match &at {
        At::Database(store) => heads(store, &options).await?,
        At::Server(server) => {
            let run = options.which.ask(server).await?;
            let task = options.task.as_deref().unwrap_or("~");
            let path =
                ["dags", &run.dag_id, "dagRuns", &run.run_id, "taskInstances", task, "xcomEntries"];
            let index = options.map_index.map(|index| ("map_index", index.to_string()));
            let query: Vec<_> = index.into_iter().collect();
            let list = server.list(&path, "xcom_entries", &query, options.limit.into()).await?;
            (list.items, list.total)
        }
    };
    options.output.list(&heads)?;
    options.output.more(heads.len(), total)?;
    Ok(Ended::Success)
}

async fn heads(store: &Store, options: &Options) -> anyhow::Result<(Vec<Head>, i64)> {
    let run = options.which.find(store).await?;
    let runs =
        RunFilter { dag_id: Some(run.dag_id), run_id: Some(run.run_id), ..RunFilter::default() };
    let filter = XComFilter {
        task_id: options.task.clone(),
        map_index: options.map_index,
        ..XComFilter::default()
    };
    let page = store.xcoms_across(&runs, &filter, options.limit.into(), 0).await?;
    Ok((page.items.into_iter().map(Head::from).collect(), page.total))
}

async fn value(store: &Store, options: &Options, task: &str, key: &str) -> anyhow::Result<Value> {
    let run = options.which.find(store).await?;
    let numbers = version(store, &run).await?.numbers;
    let number = numbers.get(&TaskId(task.to_owned())).copied();
    let number = number.with_context(|| format!("DAG `{}` has no task `{task}`", run.dag_id))?;
    let index = options.map_index.map_or(MapIndex::NONE, MapIndex);
    let all = store.xcom_list(run.run_key, number, index).await?;
    let Some(found) = all.into_iter().find(|it| it.key == key) else {
        bail!(
            "task `{task}` handed nothing on under `{key}`: see `subak runs xcom {}`",
            run.dag_id
        );
    };
    Ok(store.xcom_value(found).await?)
}

async fn asked(server: &Server, options: &Options, task: &str, key: &str) -> anyhow::Result<Value> {
    let run = options.which.ask(server).await?;
    let run_id = run.run_id.as_str();
    let path = ["dags", &run.dag_id, "dagRuns", run_id, "taskInstances", task, "xcomEntries", key];
    let index = options.map_index.map(|index| ("map_index", index.to_string()));
    let query: Vec<_> = index.into_iter().collect();
    let mut entry: Value = server.get(&path, &query).await?;
    Ok(entry["value"].take())
}

impl From<XComHead> for Head {
    fn from(it: XComHead) -> Self {
        Self {
            key: it.key,
            timestamp: it.created_at,
            map_index: it.map_index,
            task_id: it.task_id,
            dag_id: it.dag_id,
            run_id: it.run_id,
        }
    }
}
