//! `subak dags show`.

use anyhow::{Context, bail};
use clap::Args;
use subak_store::Store;

use self::shown::{Details, Shown, Task};
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output};
use crate::place::{At, Place};
use crate::remote::Server;

mod shown;

/// Shows one DAG: its settings, tasks and edges.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak dags show retail_retention
  subak dags show retail_retention --source      the YAML of its newest version

As JSON it is the DAG in its canonical form; of a server elsewhere what its API tells of it.")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    dag_id: String,
    /// Prints the YAML document that the newest version was read from.
    #[arg(long, conflicts_with_all = ["json", "output"])]
    source: bool,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(options: Options) -> Outcome {
    match options.place.open().await? {
        At::Database(store) => here(&store, &options).await?,
        At::Server(server) => elsewhere(&server, &options).await?,
    }
    Ok(Ended::Success)
}

async fn here(store: &Store, options: &Options) -> anyhow::Result<()> {
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
    } else if options.output.is_json() {
        output::json(&version.model)?;
    } else {
        Shown::new(dag, &version.model).print()?;
    }
    Ok(())
}

async fn elsewhere(server: &Server, options: &Options) -> anyhow::Result<()> {
    let dag_id = options.dag_id.as_str();
    if options.source {
        let source: serde_json::Value = server.get(&["dagSources", dag_id], &[]).await?;
        output::line(source["content"].as_str().unwrap_or_default().trim_end())?;
        return Ok(());
    }
    let path = ["dags", dag_id, "details"];
    let tasks = ["dags", dag_id, "tasks"];
    if options.output.is_json() {
        let mut value: serde_json::Value = server.get(&path, &[]).await?;
        let mut list: serde_json::Value = server.get(&tasks, &[]).await?;
        value["tasks"] = list["tasks"].take();
        output::json(&value)?;
        return Ok(());
    }
    let details: Details = server.get(&path, &[]).await?;
    // A DAG's tasks come all at once.
    let list = server.get::<Tasks>(&tasks, &[]).await?;
    Shown::told(details, list.tasks).print()
}

#[derive(serde::Deserialize)]
struct Tasks {
    tasks: Vec<Task>,
}
