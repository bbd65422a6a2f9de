//! `subak runs trigger`.

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use subak_core::dag::did_you_mean;
use subak_core::ids::DagId;
use subak_core::schedule::Tz;
use subak_server::engine::Trigger;
use subak_store::{NewAudit, Store};

use super::engine::with_engine;
use super::follow::follow;
use super::view::Run;
use crate::audit;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::place::{At, Place};
use crate::remote::Server;

/// Starts a run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs trigger retail_retention
  subak runs trigger retail_retention --conf '{\"input\": \"/data/retail.csv\"}' --wait
  subak runs trigger retail_retention --conf @conf.json
  subak runs trigger retail_retention --param country=id --param limit=10

With --wait the exit code is 3 if the run fails.")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    dag_id: String,
    /// Values of params, as a JSON object, or @FILE.
    #[arg(long, value_name = "JSON", value_parser = conf)]
    conf: Option<Map<String, Value>>,
    /// The value of one param: JSON, or else a text; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = param)]
    param: Vec<(String, Value)>,
    /// The run's id; left out: made from the time.
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// The run's logical date, such as 2026-11-20 or 2026-11-20T06:00:00+07:00; UTC without an offset.
    #[arg(long, value_name = "INSTANT", value_parser = date)]
    logical_date: Option<DateTime<Utc>>,
    /// A remark that is kept with the run.
    #[arg(long)]
    note: Option<String>,
    /// Follows the run to its end.
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(mut options: Options) -> Outcome {
    let at = options.place.open().await?;
    for line in odd_params(&at, &options).await? {
        output::warn(line);
    }
    let mut conf = options.conf.take().unwrap_or_default();
    conf.extend(std::mem::take(&mut options.param));
    let (run_id, state) = match &at {
        At::Database(store) => here(store, &options, conf).await?,
        At::Server(server) => elsewhere(server, &options, conf).await?,
    };
    output::line(format!("{}  {run_id}  {state}", options.dag_id))?;
    if !options.wait {
        return Ok(Ended::Success);
    }
    follow(&at, &options.dag_id, &run_id).await
}

/// What to say of params that the DAG does not have. A `conf` may hold more than its params.
async fn odd_params(at: &At, options: &Options) -> anyhow::Result<Vec<String>> {
    let dag_id = options.dag_id.as_str();
    if options.param.is_empty() {
        return Ok(Vec::new());
    }
    let known: Vec<String> = match at {
        At::Database(store) => match store.dag_get(dag_id).await? {
            Some(dag) => dag.head.params.into_keys().collect(),
            // It is told when the run is not made.
            None => return Ok(Vec::new()),
        },
        At::Server(server) => {
            let details: Details = server.get(&["dags", dag_id, "details"], &[]).await?;
            details.params.into_iter().map(|(name, _)| name).collect()
        }
    };
    let odd = options.param.iter().map(|(name, _)| name).filter(|name| !known.contains(name));
    let line = |name: &String| {
        let near = did_you_mean(name, known.iter().map(String::as_str));
        format!("`{name}` is in `dag_run.conf` alone, DAG `{dag_id}` has no such param{near}")
    };
    Ok(odd.map(line).collect())
}

/// What a server tells of a DAG.
#[derive(Deserialize)]
struct Details {
    params: Map<String, Value>,
}

async fn here(
    store: &Store,
    options: &Options,
    conf: Map<String, Value>,
) -> anyhow::Result<(String, String)> {
    let trigger = Trigger {
        run_id: options.run_id.clone(),
        logical_date: options.logical_date,
        note: options.note.clone(),
        ..Trigger::manual(DagId(options.dag_id.clone()), "cli", Value::Object(conf))
    };
    let triggered =
        with_engine(store, async |engine| Ok(engine.run_trigger(trigger).await?)).await?;
    let of = NewAudit {
        run_id: Some(triggered.run_id.clone()),
        ..audit::of_dag("trigger_dag_run", &options.dag_id)
    };
    let after = json!({"dag_run_id": triggered.run_id});
    audit::add(store, of, Value::Null, after).await?;
    Ok((triggered.run_id, triggered.state.to_string()))
}

async fn elsewhere(
    server: &Server,
    options: &Options,
    conf: Map<String, Value>,
) -> anyhow::Result<(String, String)> {
    let body = json!({
        "dag_run_id": options.run_id,
        "logical_date": options.logical_date,
        "conf": conf,
        "note": options.note,
    });
    let path = ["dags", &options.dag_id, "dagRuns"];
    let run: Run = server.change(Method::POST, &path, &body).await?;
    Ok((run.run_id, run.state.to_string()))
}

/// Reads `NAME=VALUE`; what is no JSON is a text.
pub(crate) fn param(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.trim().is_empty() {
        return Err("expected NAME=VALUE: the name is missing".to_owned());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

/// Reads a date or an instant as DAG files have them; one without an offset is UTC's.
pub(crate) fn date(text: &str) -> Result<DateTime<Utc>, String> {
    subak_core::dag::date(text, Tz::UTC)
        .ok_or_else(|| "expected a date such as 2026-11-01 or 2026-11-01T06:00:00Z".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_param_is_json_or_a_text() {
        let read = |text: &str| param(text).unwrap().1;
        assert_eq!(read("limit=10"), json!(10));
        assert_eq!(read("day=2026-11-20"), json!("2026-11-20"));
        assert_eq!(read("where=a=b"), json!("a=b"));
        for text in ["limit", "=5", " =5"] {
            assert!(param(text).is_err(), "{text}");
        }
    }
}
