//! `subak dags show`.

use anyhow::{Context, bail};
use clap::Args;
use subak_core::dag::model::Task;

use super::list::schedule;
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};

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
    output::line(format!("schedule   {}", schedule(&dag)))?;
    output::line(format!("paused     {}", if dag.is_paused { "yes" } else { "no" }))?;
    output::line(format!("next run   {}", output::instant(dag.next_run_at)))?;
    for (name, param) in &model.params {
        let default = param.default.as_ref().map_or("required".to_owned(), ToString::to_string);
        output::line(format!("param      {name}: {default}"))?;
    }
    output::line("")?;
    tasks(&model.tasks).print()?;
    Ok(Ended::Success)
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
