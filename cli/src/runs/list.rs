//! `subak runs list`.

use anyhow::bail;
use clap::Args;
use subak_store::read::{Orders, RunFilter};

use super::view::Run;
use crate::exit::{Ended, Outcome};
use crate::output::Output;
use crate::place::{At, Place};

/// Lists runs, the last one first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs list
  subak runs list retail_retention --state failed --output json
  subak runs list --server https://subak.example.org")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Only runs of this DAG.
    dag_id: Option<String>,
    /// Only runs in this state; may be given several times.
    #[arg(long, value_name = "STATE", value_parser = ["queued", "running", "success", "failed"])]
    state: Vec<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: u16,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let runs: Vec<Run> = match options.place.open().await? {
        At::Database(store) => {
            let filter = RunFilter {
                dag_id: options.dag_id,
                states: options.state,
                orders: Orders::descending(),
                ..RunFilter::default()
            };
            let page = store.run_list(&filter, i64::from(options.limit), 0).await?;
            // Of a DAG that is gone there may be runs.
            if page.items.is_empty()
                && let Some(dag_id) = &filter.dag_id
                && store.dag_get(dag_id).await?.is_none()
            {
                bail!("DAG `{dag_id}` does not exist: `subak dags list` shows those that do");
            }
            page.items.into_iter().map(Run::from).collect()
        }
        At::Server(server) => {
            // In Airflow's paths it is every DAG.
            let dag_id = options.dag_id.as_deref().unwrap_or("~");
            let mut query = vec![("order_by", "-id".to_owned())];
            query.extend(options.state.into_iter().map(|state| ("state", state)));
            let path = ["dags", dag_id, "dagRuns"];
            server.list(&path, "dag_runs", &query, options.limit.into()).await?.items
        }
    };
    options.output.list(&runs)?;
    Ok(Ended::Success)
}
