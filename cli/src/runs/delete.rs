//! `subak runs delete`.

use clap::Args;
use reqwest::Method;
use serde_json::json;

use super::Which;
use super::engine::with_engine;
use crate::audit;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::place::{At, Place};

/// Deletes a run that has ended, with its history, logs and what its tasks handed on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs delete retail_retention manual__2026-11-20T01:02:03+00:00

Datasets and large logs go with the other runs of its day, dead letters once they were seen to.")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    dag_id: String,
    /// The run id: none is taken for granted here.
    run_id: String,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let Options { place, dag_id, run_id } = options;
    match place.open_with_storage().await? {
        At::Database(store) => {
            let run = Which::new(dag_id.clone(), Some(run_id.clone())).find(&store).await?;
            with_engine(&store, async |engine| Ok(engine.run_delete(run.run_key, "cli").await?))
                .await?;
            audit::of_run(&store, "delete_dag_run", &run, json!({})).await?;
        }
        At::Server(server) => {
            server.act(Method::DELETE, &["dags", &dag_id, "dagRuns", &run_id], &[]).await?;
        }
    }
    output::line(format!("{dag_id}  {run_id}  is deleted"))?;
    Ok(Ended::Success)
}
