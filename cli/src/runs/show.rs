//! `subak runs show`.

use clap::Args;
use serde_json::json;

use super::Which;
use super::look::Watched;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output};
use crate::place::Place;

/// Shows a run and its tasks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs show retail_retention                     its last run
  subak runs show retail_retention manual__2026-11-20T01:02:03+00:00 --output json")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let at = options.place.open().await?;
    let (run, tasks) = Watched::find(&at, &options.which).await?.look().await?;
    if options.output.is_json() {
        let mut value = json!(run);
        value["task_instances"] = json!(tasks);
        output::json(&value)?;
        return Ok(Ended::Success);
    }
    output::line(format!("{}  {}", run.dag_id, run.run_id))?;
    output::line(format!("state    {}", run.state))?;
    output::line(format!("started  {}", output::instant(run.start_date)))?;
    output::line(format!("took     {}", run.took()))?;
    if let Some(cause) = &run.cancel_cause {
        output::line(format!("ended    {cause}"))?;
    }
    if run.conf.as_object().is_some_and(|conf| !conf.is_empty()) {
        output::line(format!("conf     {}", run.conf))?;
    }
    output::line("")?;
    options.output.list(&tasks)?;
    Ok(Ended::Success)
}
