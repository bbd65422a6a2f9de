//! `subak runs delete`.

use clap::Args;

use super::Which;
use super::engine::with_engine;
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output;

/// Deletes a run that has ended, with its history, logs and what its tasks handed on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs delete retail_retention manual__2026-11-20T01:02:03+00:00

Files under the storage URL go with the other runs of its day, dead letters once they were seen to.")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    dag_id: String,
    /// The run id: none is taken for granted here.
    run_id: String,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let run = Which::new(options.dag_id, Some(options.run_id)).find(&store).await?;
    with_engine(&store, async |engine| Ok(engine.run_delete(run.run_key, "cli").await?)).await?;
    output::line(format!("{}  {}  is deleted", run.dag_id, run.run_id))?;
    Ok(Ended::Success)
}
