//! `subak runs cancel`.

use clap::Args;

use super::Which;
use super::engine::with_engine;
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output;

/// Cancels a run: running tasks are stopped, no other one starts, the run ends failed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs cancel retail_retention              its last run
  subak runs cancel retail_retention manual__2026-11-20T01:02:03+00:00")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    #[command(flatten)]
    which: Which,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let run = options.which.find(&store).await?;
    with_engine(&store, async |engine| Ok(engine.run_cancel(run.run_key, "cancelled").await?))
        .await?;
    output::line(format!("{}  {}  is cancelled", run.dag_id, run.run_id))?;
    Ok(Ended::Success)
}
