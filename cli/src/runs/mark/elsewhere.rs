//! `subak runs mark` at a server.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use subak_server::engine::Mark;

use super::Options;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::remote::Server;
use crate::runs::view::Run;

/// What the API tells of those that were marked.
#[derive(Deserialize)]
struct Answer {
    task_instances: Vec<Instance>,
}

#[derive(Deserialize)]
struct Instance {
    dag_run_id: String,
    task_id: String,
    map_index: i32,
}

pub(super) async fn mark(server: &Server, options: &Options, mark: Mark) -> Outcome {
    let run = options.which.ask(server).await?;
    let state = mark.as_str();
    if options.task.is_empty() {
        let path = ["dags", &run.dag_id, "dagRuns", &run.run_id];
        let body = json!({"state": state});
        server.change::<Value>(Method::PATCH, &path, &body).await?;
        output::line(format!("{}  {}  marked as {state}", run.dag_id, run.run_id))?;
        return Ok(Ended::Success);
    }
    let mut body = options.scope.included();
    body["new_state"] = json!(state);
    let mut by_run: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for task in &options.task {
        // What changes is told before: the answer tells of all that were named.
        let would = one(server, &run, task, options.map_index, true, &body).await?;
        if !options.dry_run {
            one(server, &run, task, options.map_index, false, &body).await?;
        }
        by_run.entry(run.run_id.clone()).or_default();
        for it in would.task_instances {
            let name = match it.map_index {
                ..0 => it.task_id,
                index => format!("{}[{index}]", it.task_id),
            };
            by_run.entry(it.dag_run_id).or_default().push(name);
        }
    }
    let what = if options.dry_run { "would be marked as" } else { "marked as" };
    for (run_id, names) in by_run {
        let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        output::line(format!("{}  {run_id}  {what} {state}: {names}", run.dag_id))?;
    }
    Ok(Ended::Success)
}

async fn one(
    server: &Server,
    run: &Run,
    task: &str,
    map_index: Option<i32>,
    dry_run: bool,
    body: &Value,
) -> anyhow::Result<Answer> {
    let index = map_index.map(|index| index.to_string());
    let mut path = vec!["dags", &run.dag_id, "dagRuns", &run.run_id, "taskInstances", task];
    path.extend(index.as_deref());
    if dry_run {
        path.push("dry_run");
    }
    server.change(Method::PATCH, &path, body).await
}
