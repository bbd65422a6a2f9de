//! `subak dags list`.

use clap::Args;
use serde_json::json;
use subak_core::schedule;
use subak_store::read::{DagFilter, DagRecord};

use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};

/// Lists the DAGs that servers have loaded.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak dags list
  subak dags list --tag postgres --json")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    /// Only DAGs with this tag; may be given several times.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Also DAGs whose file is gone.
    #[arg(long)]
    all: bool,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    limit: u16,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let filter = DagFilter { tags: options.tag, with_stale: options.all, ..DagFilter::default() };
    let page = store.dag_list(&filter, i64::from(options.limit), 0).await?;
    let errors = store.import_error_list(20, 0).await?;
    if options.json {
        output::json(&page.items.iter().map(as_json).collect::<Vec<_>>())?;
        return Ok(Ended::Success);
    }
    let mut table = Table::new(&["dag", "schedule", "tasks", "active", "next run", "file"]);
    for dag in &page.items {
        table.row([
            dag.dag_id.clone(),
            schedule(dag),
            dag.task_count.to_string(),
            dag.runs_active.to_string(),
            if dag.is_paused { "paused".to_owned() } else { output::instant(dag.next_run_at) },
            dag.file.clone(),
        ]);
    }
    table.print()?;
    for error in &errors.items {
        output::line(format!("\n{}", error.message.trim_end()))?;
    }
    Ok(Ended::Success)
}

/// The schedule as the file has it; `-`: by hand only.
fn schedule(dag: &DagRecord) -> String {
    dag.head.schedule.as_ref().map_or("-".to_owned(), schedule::summary)
}

fn as_json(dag: &DagRecord) -> serde_json::Value {
    json!({
        "dag_id": dag.dag_id,
        "version": dag.version,
        "schedule": dag.head.schedule,
        "is_paused": dag.is_paused,
        "is_stale": dag.is_stale,
        "tags": dag.head.tags,
        "owners": dag.owners,
        "tasks": dag.task_count,
        "active_runs": dag.runs_active,
        "next_run_at": dag.next_run_at,
        "file": dag.file,
        "has_import_error": dag.has_import_error,
    })
}
