//! `subak dags test`: runs a DAG in this process, without a server and without metadata.
//!
//! The decisions are the engine's, the operators are the worker's; states, results and logs are kept
//! in memory and in a temporary folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Map, Value};
use subak_core::dag::model::Dag;
use subak_core::ids::run_id;
use subak_core::state::RunState;
use subak_core::template::{RunContext, references_of};
use subak_worker::local::{Connection, LocalRunner};
use tokio::signal::unix::{SignalKind, signal};

use super::validate;
use crate::clock;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::runs::trigger::{conf, date};
use local::LocalRun;

mod local;

/// Runs a DAG here and now, and exits by its result.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak dags test dags/hello.yaml
  subak dags test dags/retail_retention.yaml --conf '{\"input\": \"/data/retail.csv\"}'

Connections come from the environment: `warehouse` is SUBAK_CONN_WAREHOUSE, a URL such as
postgres://login:password@host:5432/database. Relative paths in the file mean the current
folder. The exit code is 3 if the run fails. Ctrl-C cancels the run: teardowns go on; once more
ends it at once.")]
pub(crate) struct Options {
    file: PathBuf,
    /// Which DAG, if the file has several.
    #[arg(long, value_name = "ID")]
    dag: Option<String>,
    /// Values of params, as a JSON object, or @FILE.
    #[arg(long, value_name = "JSON", value_parser = conf)]
    conf: Option<Map<String, Value>>,
    /// The run's logical date, such as 2026-11-20 or 2026-11-20T06:00:00+07:00; UTC without an offset.
    #[arg(long, value_name = "INSTANT", value_parser = date)]
    logical_date: Option<DateTime<Utc>>,
    /// Shows states only, no log lines.
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let parsed = validate::read(&options.file)?;
    for problem in &parsed.diagnostics {
        output::line(problem)?;
    }
    if !parsed.diagnostics.is_empty() {
        return Ok(Ended::Invalid);
    }
    let dag = chosen(parsed.dags, options.dag.as_deref())?;
    let context = context(&dag, options.conf.unwrap_or_default(), options.logical_date)?;
    let connections = connections(&dag)?;
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let keeper = vec![std::env::current_exe()?.into(), "keeper".into()];
    let runner = LocalRunner::new(folder.path().to_owned(), keeper)?;

    let mut interrupts = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let dag_id = dag.dag_id.clone();
    let begun = clock::now();
    let run = LocalRun::new(dag, runner, context, connections, options.quiet)?;
    let state = run.run(&mut interrupts).await?;
    output::line(format!("{dag_id} {state} in {}", output::span(clock::now() - begun)))?;
    Ok(if state == RunState::Success { Ended::Success } else { Ended::RunFailed })
}

fn chosen(mut dags: Vec<Dag>, wanted: Option<&str>) -> anyhow::Result<Dag> {
    let ids: Vec<String> = dags.iter().map(|dag| dag.dag_id.to_string()).collect();
    if let Some(wanted) = wanted {
        dags.retain(|dag| dag.dag_id.0 == wanted);
    }
    match (dags.pop(), dags.is_empty()) {
        (Some(dag), true) => Ok(dag),
        (None, _) => bail!("the file has no such DAG; it has {}", ids.join(", ")),
        _ => bail!("the file has several DAGs, choose one with --dag: {}", ids.join(", ")),
    }
}

/// What the templates of all tasks see of the run.
fn context(
    dag: &Dag,
    conf: Map<String, Value>,
    logical_date: Option<DateTime<Utc>>,
) -> anyhow::Result<RunContext> {
    let conf = Value::Object(conf);
    let params = match dag.params_with(&conf) {
        Ok(params) => params,
        Err(problems) => bail!("{}", problems.join("; ")),
    };
    let now = clock::now();
    Ok(RunContext {
        dag_id: dag.dag_id.to_string(),
        run_id: run_id("manual", logical_date.unwrap_or(now)),
        run_type: "manual".to_owned(),
        logical_date,
        data_interval_start: logical_date,
        data_interval_end: logical_date,
        run_after: Some(now),
        params,
        conf,
        map_index: -1,
        variables: variables(dag),
        ..RunContext::default()
    })
}

/// The variables that the DAG's templates name, as far as the environment has them.
fn variables(dag: &Dag) -> BTreeMap<String, String> {
    let named = dag.tasks.iter().flat_map(|task| references_of(task).variables.into_keys());
    let value = |key: String| {
        let value = subak_server::connections::variable_from_environment(&key)?;
        Some((key, value))
    };
    named.filter_map(value).collect()
}

/// The connections that the DAG's tasks name, from the environment; all missing ones at once.
fn connections(dag: &Dag) -> anyhow::Result<BTreeMap<String, Connection>> {
    let mut found = BTreeMap::new();
    let mut missing = Vec::new();
    for id in dag.tasks.iter().flat_map(|task| &task.connections) {
        let variable = format!("SUBAK_CONN_{}", id.to_uppercase());
        let Ok(text) = std::env::var(&variable) else {
            missing.push(variable);
            continue;
        };
        // The message names the variable, never its value.
        let value = subak_server::connections::parse(&text)
            .with_context(|| format!("the variable {variable}"))?;
        let connection = serde_json::from_value(value)
            .ok()
            .with_context(|| format!("the variable {variable} is no connection"))?;
        found.insert(id.clone(), connection);
    }
    missing.sort();
    missing.dedup();
    if !missing.is_empty() {
        bail!(
            "connections are missing: set {}, for example to \
             postgres://login:password@host:5432/database",
            missing.join(" and ")
        );
    }
    Ok(found)
}
