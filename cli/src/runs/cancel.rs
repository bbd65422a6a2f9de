//! `subak runs cancel`.

use anyhow::bail;
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use subak_store::Store;

use super::Which;
use super::engine::with_engine;
use crate::audit;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::place::{At, Place};
use crate::remote::Server;

/// Cancels a run: running tasks are stopped, no other one starts, the run ends failed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs cancel retail_retention              its last run
  subak runs cancel retail_retention manual__2026-11-20T01:02:03+00:00")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Which,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let (dag_id, run_id) = match options.place.open().await? {
        At::Database(store) => here(&store, &options.which).await?,
        At::Server(server) => elsewhere(&server, &options.which).await?,
    };
    output::line(format!("{dag_id}  {run_id}  is cancelled"))?;
    Ok(Ended::Success)
}

async fn here(store: &Store, which: &Which) -> anyhow::Result<(String, String)> {
    let run = which.find(store).await?;
    with_engine(store, async |engine| Ok(engine.run_cancel(run.run_key, "cancelled").await?))
        .await?;
    audit::of_run(store, "cancel_dag_run", &run, json!({})).await?;
    Ok((run.dag_id, run.run_id))
}

/// The API has no word for it but to mark as failed, which changes a run that has ended, too.
async fn elsewhere(server: &Server, which: &Which) -> anyhow::Result<(String, String)> {
    let run = which.ask(server).await?;
    if run.state.is_final() {
        bail!("run `{}` has ended ({}): there is nothing to cancel", run.run_id, run.state);
    }
    let body = json!({"state": "failed"});
    let path = ["dags", &run.dag_id, "dagRuns", &run.run_id];
    server.change::<Value>(Method::PATCH, &path, &body).await?;
    Ok((run.dag_id, run.run_id))
}
