//! `subak runs clear` at a server.

use std::collections::BTreeMap;

use anyhow::bail;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{Cleared, Options};
use crate::remote::Server;

/// What the API tells of those that were cleared.
#[derive(Deserialize)]
struct Answer {
    task_instances: Vec<Instance>,
}

#[derive(Deserialize)]
struct Instance {
    dag_run_id: String,
    task_id: String,
    state: Option<String>,
}

pub(super) async fn clear(server: &Server, options: &Options) -> anyhow::Result<Cleared> {
    let run = options.which.ask(server).await?;
    let mut body = options.scope.included();
    body["dry_run"] = json!(options.dry_run);
    body["dag_run_id"] = json!(run.run_id);
    body["only_failed"] = json!(options.failed);
    body["only_running"] = json!(options.running);
    body["load_again"] = json!(options.load_again);
    if !options.task.is_empty() {
        body["task_ids"] = match options.map_index {
            Some(index) => options.task.iter().map(|task| json!([task, index])).collect(),
            None => json!(options.task),
        };
    }
    let path = ["dags", &run.dag_id, "clearTaskInstances"];
    if !options.dry_run {
        // What has not run is not cleared, and the answer tells of the state after.
        body["dry_run"] = json!(true);
        let before: Answer = server.change(Method::POST, &path, &body).await?;
        if before.task_instances.is_empty() {
            return Err(options.nothing(&run.run_id));
        }
        if before.task_instances.iter().all(|it| it.state.is_none()) {
            bail!("nothing of the run was cleared: none of these tasks has run");
        }
        body["dry_run"] = json!(false);
    }
    let answer: Answer = server.change(Method::POST, &path, &body).await?;
    if answer.task_instances.is_empty() {
        return Err(options.nothing(&run.run_id));
    }
    let mut by_run: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for it in &answer.task_instances {
        by_run.entry(&it.dag_run_id).or_default().push(&it.task_id);
    }
    let line = |(run_id, mut tasks): (&str, Vec<&str>)| {
        let dag_id = &run.dag_id;
        if options.dry_run {
            tasks.dedup();
            return format!("{dag_id}  {run_id}  would clear {}", tasks.join(", "));
        }
        format!("{dag_id}  {run_id}  {} cleared", tasks.len())
    };
    let lines = by_run.into_iter().map(line).collect();
    Ok(Cleared { run, lines })
}
