//! `subak dags show`.

use anyhow::{Context, bail};
use clap::Args;
use subak_core::dag::model::Task;

use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};
use subak_core::schedule::{self, Tz};
use subak_store::read::DagRecord;

/// Shows one DAG: its settings, tasks and edges.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak dags show retail_retention
  subak dags show retail_retention --source      the YAML of its newest version")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    dag_id: String,
    /// Prints the YAML document that the newest version was read from.
    #[arg(long, conflicts_with = "json")]
    source: bool,
    /// Prints the DAG in its canonical form, as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let dag_id = &options.dag_id;
    let Some(dag) = store.dag_get(dag_id).await? else {
        bail!("DAG `{dag_id}` does not exist: `subak dags list` shows those that do");
    };
    let version = store
        .version_get(dag.dag, dag.version)
        .await?
        .with_context(|| format!("version {} of DAG `{dag_id}` is gone", dag.version))?;
    if options.source {
        output::line(version.source.trim_end())?;
        return Ok(Ended::Success);
    }
    if options.json {
        output::json(&version.model)?;
        return Ok(Ended::Success);
    }
    let model = &version.model;
    output::line(format!("{dag_id}, version {} of {}", dag.version, dag.file))?;
    if let Some(description) = &model.description {
        output::line(description)?;
    }
    output::line(format!("schedule   {}", when(&dag)))?;
    output::line(format!("paused     {}", if dag.is_paused { "yes" } else { "no" }))?;
    output::line(format!("next run   {}", next_run(&dag)))?;
    for (name, param) in &model.params {
        let default = param.default.as_ref().map_or("required".to_owned(), ToString::to_string);
        output::line(format!("param      {name}: {default}"))?;
    }
    output::line("")?;
    tasks(&model.tasks).print()?;
    Ok(Ended::Success)
}

/// The schedule as written, and in words.
fn when(dag: &DagRecord) -> String {
    let Some(schedule) = &dag.head.schedule else { return "by hand only".to_owned() };
    let (short, words) =
        (schedule::summary(schedule), schedule::in_words(schedule, dag.head.timezone));
    if words.starts_with(&short) { words } else { format!("{short}: {words}") }
}

/// The next run on the clocks of the DAG's time zone, and in UTC where that is another one.
fn next_run(dag: &DagRecord) -> String {
    let utc = output::instant(dag.next_run_at);
    match dag.next_run_at {
        Some(at) if dag.head.timezone != Tz::UTC => {
            let local = at.with_timezone(&dag.head.timezone);
            format!("{} ({utc})", local.format("%Y-%m-%d %H:%M:%S %Z"))
        }
        _ => utc,
    }
}

fn tasks(tasks: &[Task]) -> Table {
    let mut table = Table::new(&["task", "operator", "after", "rule", "retries"]);
    for task in tasks {
        let after: Vec<&str> = task.upstream.iter().map(|id| id.0.as_str()).collect();
        table.row([
            task.task_id.to_string(),
            task.operator.clone(),
            if after.is_empty() { "-".to_owned() } else { after.join(", ") },
            task.trigger_rule.as_str().to_owned(),
            task.retries.to_string(),
        ]);
    }
    table
}
