//! `subak explain`.

use anyhow::Context;
use clap::Args;
use serde_json::json;
use subak_core::explain::{Outlook, explain};
use subak_core::ids::{Instance, MapIndex, TaskId};

use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::runs::{Which, version};

/// Says why a task does not run, or why it ran: rules, limits, pools, workers, timers.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak explain retail_retention load                  in its last run
  subak explain retail_retention load --run manual__2026-11-20T01:02:03+00:00
  subak explain retail_retention load --json

What holds the task back is marked with `>`.")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    dag_id: String,
    task_id: String,
    /// The run id; left out: the DAG's last run.
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Which instance of a mapped task.
    #[arg(long, value_name = "INDEX")]
    map_index: Option<i32>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let run = Which::new(options.dag_id, options.run).find(&store).await?;
    let plan = version(&store, &run).await?.plan().context("compiling the run's version")?;
    let no_task = || format!("DAG `{}` has no task `{}`", run.dag_id, options.task_id);
    let task = plan.number(&TaskId(options.task_id.clone())).with_context(no_task)?;
    let map_index = options.map_index.map_or(MapIndex::NONE, MapIndex);
    let facts = store.explain_facts(&run, &plan, Instance { task, map_index }).await?;
    let told = facts.and_then(|facts| explain(&plan, &facts)).with_context(no_task)?;
    if options.json {
        let mut value = json!(told);
        value["dag_id"] = json!(run.dag_id);
        value["dag_run_id"] = json!(run.run_id);
        output::json(&value)?;
        return Ok(Ended::Success);
    }
    let state = told.state.map_or("no status", |state| state.as_str());
    let outlook = match told.outlook {
        Outlook::Waits => "waits",
        Outlook::Runs => "runs",
        Outlook::Ended => "has ended",
        Outlook::WillNotRun => "will not run",
    };
    output::line(format!("{}  {}  {}", run.dag_id, run.run_id, told.task_id))?;
    output::line(format!("{outlook} ({state})"))?;
    for reason in &told.reasons {
        let mark = if reason.holds { ">" } else { " " };
        output::line(format!("{mark} {}", reason.text))?;
    }
    Ok(Ended::Success)
}
