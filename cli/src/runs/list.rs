//! `subak runs list`.

use clap::Args;
use serde_json::json;
use subak_store::read::{RunFilter, RunRecord};

use crate::clock;
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};

/// Lists runs, the last one first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs list
  subak runs list retail_retention --state failed --json")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    /// Only runs of this DAG.
    dag_id: Option<String>,
    /// Only runs in this state; may be given several times.
    #[arg(long, value_name = "STATE", value_parser = ["queued", "running", "success", "failed"])]
    state: Vec<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: u16,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let filter = RunFilter {
        dag_id: options.dag_id,
        states: options.state,
        descending: true,
        ..RunFilter::default()
    };
    let page = store.run_list(&filter, i64::from(options.limit), 0).await?;
    if options.json {
        output::json(&page.items.iter().map(as_json).collect::<Vec<_>>())?;
        return Ok(Ended::Success);
    }
    let now = clock::now();
    let mut table = Table::new(&["dag", "run", "state", "started", "took"]);
    for run in &page.items {
        table.row([
            run.dag_id.clone(),
            run.run_id.clone(),
            run.state.to_string(),
            output::instant(run.started_at),
            output::took(run.started_at, run.ended_at, now),
        ]);
    }
    table.print()?;
    Ok(Ended::Success)
}

/// The run, spelt as the API spells it.
pub(super) fn as_json(run: &RunRecord) -> serde_json::Value {
    json!({
        "dag_id": run.dag_id,
        "dag_run_id": run.run_id,
        "state": run.state,
        "run_type": run.run_type,
        "triggered_by": run.triggered_by,
        "logical_date": run.logical_date,
        "data_interval_start": run.data_interval_start,
        "data_interval_end": run.data_interval_end,
        "run_after": run.run_after,
        "queued_at": run.created_at,
        "start_date": run.started_at,
        "end_date": run.ended_at,
        "conf": run.conf,
        "note": run.note,
        "dag_version": run.version,
    })
}
