//! `subak explain`.

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use subak_core::explain::explain;
use subak_core::ids::{Instance, MapIndex, TaskId};
use subak_store::Store;

use crate::exit::{Ended, Outcome};
use crate::output::{self, Output};
use crate::place::{At, Place};
use crate::remote::Server;
use crate::runs::{Which, version};

/// Says why a task does not run, or why it ran: rules, limits, pools, workers, timers.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak explain retail_retention load                  in its last run
  subak explain retail_retention load --run manual__2026-11-20T01:02:03+00:00
  subak explain retail_retention load --output json

What holds the task back is marked with `>`.")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    dag_id: String,
    task_id: String,
    /// The run id; left out: the DAG's last run.
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Which instance of a mapped task.
    #[arg(long, value_name = "INDEX")]
    map_index: Option<i32>,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let told = match options.place.open().await? {
        At::Database(store) => here(&store, &options).await?,
        At::Server(server) => elsewhere(&server, &options).await?,
    };
    if options.output.is_json() {
        output::json(&told)?;
        return Ok(Ended::Success);
    }
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let state = told["state"].as_str().unwrap_or("no status");
    let outlook = match text("outlook").as_str() {
        "ended" => "has ended".to_owned(),
        other => other.replace('_', " "),
    };
    output::line(format!("{}  {}  {}", text("dag_id"), text("dag_run_id"), text("task_id")))?;
    output::line(format!("{outlook} ({state})"))?;
    for reason in told["reasons"].as_array().into_iter().flatten() {
        let mark = if reason["holds"] == true { ">" } else { " " };
        output::line(format!("{mark} {}", reason["text"].as_str().unwrap_or_default()))?;
    }
    Ok(Ended::Success)
}

async fn here(store: &Store, options: &Options) -> anyhow::Result<Value> {
    let run = Which::new(options.dag_id.clone(), options.run.clone()).find(store).await?;
    let plan = version(store, &run).await?.plan().context("compiling the run's version")?;
    let no_task = || format!("DAG `{}` has no task `{}`", run.dag_id, options.task_id);
    let task = plan.number(&TaskId(options.task_id.clone())).with_context(no_task)?;
    let map_index = options.map_index.map_or(MapIndex::NONE, MapIndex);
    let facts = store.explain_facts(&run, &plan, Instance { task, map_index }).await?;
    let told = facts.and_then(|facts| explain(&plan, &facts)).with_context(|| {
        match map_index.is_none() {
            true => no_task(),
            false => format!("task `{}` has no instance {}", options.task_id, map_index.0),
        }
    })?;
    let mut value = json!(told);
    value["dag_id"] = json!(run.dag_id);
    value["dag_run_id"] = json!(run.run_id);
    Ok(value)
}

async fn elsewhere(server: &Server, options: &Options) -> anyhow::Result<Value> {
    let which = Which::new(options.dag_id.clone(), options.run.clone());
    let run = which.ask(server).await?;
    let task = options.task_id.as_str();
    let path = ["dags", &run.dag_id, "dagRuns", &run.run_id, "taskInstances", task, "explain"];
    let index = options.map_index.map(|index| ("map_index", index.to_string()));
    let query: Vec<_> = index.into_iter().collect();
    server.get(&path, &query).await
}
