//! `subak runs show`.

use clap::Args;
use serde_json::json;
use subak_core::ids::MapIndex;
use subak_store::read::InstanceRecord;

use super::list::as_json;
use super::{Which, version};
use crate::clock;
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};

/// Shows a run and its tasks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs show retail_retention                     its last run
  subak runs show retail_retention manual__2026-11-20T01:02:03+00:00 --json")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    #[command(flatten)]
    which: Which,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let run = options.which.find(&store).await?;
    let instances = store.instance_list(&run, &version(&store, &run).await?).await?;
    if options.json {
        let mut value = as_json(&run);
        value["task_instances"] = instances.iter().map(instance_json).collect();
        output::json(&value)?;
        return Ok(Ended::Success);
    }
    let now = clock::now();
    output::line(format!("{}  {}", run.dag_id, run.run_id))?;
    output::line(format!("state    {}", run.state))?;
    output::line(format!("started  {}", output::instant(run.started_at)))?;
    output::line(format!("took     {}", output::took(run.started_at, run.ended_at, now)))?;
    if let Some(cause) = &run.cancel_cause {
        output::line(format!("ended    {cause}"))?;
    }
    if run.conf.as_object().is_some_and(|conf| !conf.is_empty()) {
        output::line(format!("conf     {}", run.conf))?;
    }
    output::line("")?;
    let mut table = Table::new(&["task", "state", "try", "took", "worker", "error"]);
    for instance in &instances {
        table.row([
            name(instance),
            state(instance),
            instance.try_number.to_string(),
            output::took(instance.started_at, instance.ended_at, now),
            instance.worker.clone().unwrap_or_else(|| "-".to_owned()),
            instance.error.clone().unwrap_or_default(),
        ]);
    }
    table.print()?;
    Ok(Ended::Success)
}

/// The task's id, with the map index of a mapped one.
pub(super) fn name(instance: &InstanceRecord) -> String {
    match instance.map_index {
        MapIndex::NONE => instance.task_id.to_string(),
        MapIndex(index) => format!("{}[{index}]", instance.task_id),
    }
}

fn state(instance: &InstanceRecord) -> String {
    instance.state.map_or_else(|| "-".to_owned(), |state| state.to_string())
}

fn instance_json(instance: &InstanceRecord) -> serde_json::Value {
    json!({
        "task_id": instance.task_id,
        "map_index": instance.map_index,
        "state": instance.state,
        "try_number": instance.try_number,
        "queued_when": instance.queued_at,
        "start_date": instance.started_at,
        "end_date": instance.ended_at,
        "exit_code": instance.exit_code,
        "hostname": instance.worker,
        "error": instance.error,
    })
}
