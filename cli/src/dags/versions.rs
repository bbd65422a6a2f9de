//! `subak dags versions` and `subak dags diff`.

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use subak_core::text::unified_diff;
use subak_store::Store;
use subak_store::read::DagRecord;

use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};

/// Lists the versions of a DAG, the newest first.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    dag_id: String,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: u16,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Shows what differs between two versions of a DAG.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak dags diff retail_retention          the newest version, and the one before it
  subak dags diff retail_retention 2 5")]
pub(crate) struct DiffOptions {
    #[command(flatten)]
    metadata: Metadata,
    dag_id: String,
    /// The older version; left out: the one before the newer.
    from: Option<i32>,
    /// The newer one; left out: the newest.
    to: Option<i32>,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let dag = dag(&store, &options.dag_id).await?;
    let page = store.version_list(dag.dag, true, i64::from(options.limit), 0).await?;
    if options.json {
        let one = |it: &subak_store::read::VersionHead| {
            json!({
                "version_number": it.version,
                "created_at": it.created_at,
                "file": it.file,
                "tasks": it.tasks,
            })
        };
        output::json(&page.items.iter().map(one).collect::<Vec<_>>())?;
        return Ok(Ended::Success);
    }
    let mut table = Table::new(&["version", "made", "tasks", "file"]);
    for it in page.items {
        table.row([
            it.version.to_string(),
            output::instant(Some(it.created_at)),
            it.tasks.to_string(),
            it.file,
        ]);
    }
    table.print()?;
    Ok(Ended::Success)
}

pub(crate) async fn diff(options: DiffOptions) -> Outcome {
    let store = options.metadata.store().await?;
    let dag = dag(&store, &options.dag_id).await?;
    let to = options.to.unwrap_or(dag.version);
    let from = options.from.unwrap_or(to - 1);
    let (old, new) = (source(&store, &dag, from).await?, source(&store, &dag, to).await?);
    let name = |number: i32| format!("{} version {number}", dag.dag_id);
    let diff = unified_diff(&old, &new, &name(from), &name(to));
    if diff.is_empty() {
        output::line(format!("the sources of versions {from} and {to} are the same"))?;
    } else {
        output::line(diff.trim_end())?;
    }
    Ok(Ended::Success)
}

async fn dag(store: &Store, dag_id: &str) -> anyhow::Result<DagRecord> {
    let Some(dag) = store.dag_get(dag_id).await? else {
        bail!("DAG `{dag_id}` does not exist: `subak dags list` shows those that do");
    };
    Ok(dag)
}

async fn source(store: &Store, dag: &DagRecord, number: i32) -> anyhow::Result<String> {
    let found = store.version_get(dag.dag, number).await?;
    let missing = || {
        let id = &dag.dag_id;
        format!("DAG `{id}` has no version {number}: see `subak dags versions {id}`")
    };
    Ok(found.with_context(missing)?.source)
}
