//! `subak dags versions` and `subak dags diff`.

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subak_core::text::unified_diff;
use subak_store::Store;
use subak_store::read::{DagRecord, Orders, VersionFilter};

use crate::exit::{Ended, Outcome};
use crate::output::{self, Output, Row};
use crate::place::{At, Place};
use crate::remote::Server;

/// Lists the versions of a DAG, the newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  subak dags versions retail_retention")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    dag_id: String,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: u16,
    #[command(flatten)]
    output: Output,
}

/// Shows what differs between two versions of a DAG.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak dags diff retail_retention          the newest version, and the one before it
  subak dags diff retail_retention 2 5")]
pub(crate) struct DiffOptions {
    #[command(flatten)]
    place: Place,
    dag_id: String,
    /// The older version; left out: the one before the newer.
    from: Option<i32>,
    /// The newer one; left out: the newest.
    to: Option<i32>,
}

/// A version, spelt as the API spells it. A server does not tell its file and tasks.
#[derive(Serialize, Deserialize)]
struct Version {
    version_number: i32,
    created_at: DateTime<Utc>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    tasks: Option<i64>,
}

impl Row for Version {
    const HEADING: &'static [&'static str] = &["version", "made", "tasks", "file"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.version_number.to_string(),
            output::instant(Some(self.created_at)),
            self.tasks.map_or_else(String::new, |tasks| tasks.to_string()),
            self.file.clone().unwrap_or_default(),
        ]
    }
}

pub(crate) async fn run(options: Options) -> Outcome {
    let versions: Vec<Version> = match options.place.open().await? {
        At::Database(store) => {
            let dag = dag(&store, &options.dag_id).await?;
            let of_dag = VersionFilter {
                dag_id: Some(dag.dag_id),
                orders: Orders::descending(),
                ..VersionFilter::default()
            };
            let page = store.version_list(&of_dag, i64::from(options.limit), 0).await?;
            let one = |it: subak_store::read::VersionHead| Version {
                version_number: it.version,
                created_at: it.created_at,
                file: Some(it.file),
                tasks: Some(it.tasks),
            };
            page.items.into_iter().map(one).collect()
        }
        At::Server(server) => newest(&server, &options.dag_id, options.limit.into()).await?,
    };
    options.output.list(&versions)?;
    Ok(Ended::Success)
}

async fn newest(server: &Server, dag_id: &str, most: usize) -> anyhow::Result<Vec<Version>> {
    let query = [("order_by", "-version_number".to_owned())];
    Ok(server.list(&["dags", dag_id, "dagVersions"], "dag_versions", &query, most).await?.items)
}

pub(crate) async fn diff(options: DiffOptions) -> Outcome {
    let (from, to, diff) = match options.place.open().await? {
        At::Database(store) => {
            let dag = dag(&store, &options.dag_id).await?;
            let to = options.to.unwrap_or(dag.version);
            let from = options.from.unwrap_or(to - 1);
            let (old, new) = (source(&store, &dag, from).await?, source(&store, &dag, to).await?);
            let name = |number: i32| format!("{} version {number}", dag.dag_id);
            (from, to, unified_diff(&old, &new, &name(from), &name(to)))
        }
        At::Server(server) => {
            let dag_id = options.dag_id.as_str();
            let to = match options.to {
                Some(to) => to,
                None => newest(&server, dag_id, 1).await?.first().map_or(1, |it| it.version_number),
            };
            let from = options.from.unwrap_or(to - 1);
            let (old, new) = (from.to_string(), to.to_string());
            let path = ["dags", dag_id, "dagVersions", &old, "diff", &new];
            let diff: Value = server.get(&path, &[]).await?;
            (from, to, diff["diff"].as_str().unwrap_or_default().to_owned())
        }
    };
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
