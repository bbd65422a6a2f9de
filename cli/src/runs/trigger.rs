//! `subak runs trigger`.

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Map, Value};
use subak_core::ids::DagId;
use subak_server::engine::Trigger;

use super::engine::with_engine;
use super::follow::follow;
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output;

/// Starts a run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs trigger retail_retention
  subak runs trigger retail_retention --conf '{\"input\": \"/data/retail.csv\"}' --wait
  subak runs trigger retail_retention --conf @conf.json

With --wait the exit code is 3 if the run fails.")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    dag_id: String,
    /// Values of params, as a JSON object, or @FILE.
    #[arg(long, value_name = "JSON", value_parser = conf)]
    conf: Option<Map<String, Value>>,
    /// The run's id; left out: made from the time.
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// The run's logical date, such as 2026-11-20T00:00:00Z.
    #[arg(long, value_name = "INSTANT")]
    logical_date: Option<DateTime<Utc>>,
    /// A remark that is kept with the run.
    #[arg(long)]
    note: Option<String>,
    /// Follows the run to its end.
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let conf = Value::Object(options.conf.unwrap_or_default());
    let trigger = Trigger {
        run_id: options.run_id,
        logical_date: options.logical_date,
        note: options.note,
        ..Trigger::manual(DagId(options.dag_id.clone()), "cli", conf)
    };
    let triggered =
        with_engine(&store, async |engine| Ok(engine.run_trigger(trigger).await?)).await?;
    output::line(format!("{}  {}  {}", options.dag_id, triggered.run_id, triggered.state))?;
    if !options.wait {
        return Ok(Ended::Success);
    }
    follow(&store, &options.dag_id, &triggered.run_id).await
}

/// Reads a JSON object, or the file that `@` names.
pub(crate) fn conf(text: &str) -> Result<Map<String, Value>, String> {
    let read = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("reading `{file}`")),
        None => Ok(text.to_owned()),
    };
    let text = read.map_err(|error| format!("{error:#}"))?;
    match serde_json::from_str(&text).map_err(|error| format!("not JSON: {error}"))? {
        Value::Object(conf) => Ok(conf),
        other => {
            Err(format!("expected a JSON object such as {{\"name\": \"value\"}}, not `{other}`"))
        }
    }
}
