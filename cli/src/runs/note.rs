//! `subak runs note`.

use anyhow::{Context, bail};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use subak_core::ids::{MapIndex, TaskId};
use subak_store::read::noted;
use subak_store::{NewAudit, Store};

use super::{Which, version};
use crate::audit;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::place::{At, Place};
use crate::remote::Server;

/// As the API has it.
const CHARS_MOST: usize = 1_000;

/// Notes something about a run, or about one of its tasks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs note retail_retention --text 'loaded twice, see ticket 12'
  subak runs note retail_retention --task load --text 'the table was locked'
  subak runs note retail_retention --text ''      removes it")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Which,
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    #[arg(long)]
    text: String,
}

pub(crate) async fn run(options: Options) -> Outcome {
    if options.text.chars().count() > CHARS_MOST {
        bail!("a note holds at most {CHARS_MOST} characters");
    }
    let (dag_id, run_id) = match options.place.open().await? {
        At::Database(store) => here(&store, &options).await?,
        At::Server(server) => elsewhere(&server, &options).await?,
    };
    output::line(format!("{dag_id}  {run_id}  noted"))?;
    Ok(Ended::Success)
}

async fn elsewhere(server: &Server, options: &Options) -> anyhow::Result<(String, String)> {
    let run = options.which.ask(server).await?;
    let mut path = vec!["dags", &run.dag_id, "dagRuns", &run.run_id];
    if let Some(task) = &options.task {
        path.extend(["taskInstances", task]);
    }
    server.change::<Value>(Method::PATCH, &path, &json!({"note": options.text})).await?;
    Ok((run.dag_id, run.run_id))
}

async fn here(store: &Store, options: &Options) -> anyhow::Result<(String, String)> {
    let run = options.which.find(store).await?;
    match &options.task {
        None => {
            store.run_note_set(run.run_key, &options.text).await?;
            audit::of_run(store, "patch_dag_run", &run, json!({"note": options.text})).await?;
        }
        Some(task) => {
            let version = version(store, &run).await?;
            let all = store.instance_list(&run, &version).await?;
            let of = noted(&all, &TaskId(task.clone()), None);
            let first =
                of.first().with_context(|| format!("DAG `{}` has no task `{task}`", run.dag_id))?;
            let whole = (first.task.0, MapIndex::NONE.0);
            let before = store.task_notes(run.run_key).await?.remove(&whole);
            store.task_note_set(run.run_key, &of, &options.text, "cli").await?;
            let of = NewAudit {
                task_id: Some(task.clone()),
                ..audit::about_run("patch_task_instance", &run)
            };
            let (before, after) = (json!({"note": before}), json!({"note": options.text}));
            audit::add(store, of, before, after).await?;
        }
    }
    Ok((run.dag_id, run.run_id))
}
