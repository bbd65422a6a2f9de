//! `subak dags delete`.

use anyhow::bail;
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use subak_store::{Kept, Store};

use crate::audit;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::place::{At, Place};

/// Deletes a DAG whose file is gone, with its runs and their logs.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  subak dags delete old_report

Remove its file first: a DAG whose file is there would come back.")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    dag_id: String,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let dag_id = &options.dag_id;
    match options.place.open_with_storage().await? {
        At::Database(store) => here(&store, dag_id).await?,
        At::Server(server) => {
            server.act(Method::DELETE, &["dags", dag_id], &[]).await?;
        }
    }
    output::line(format!("{dag_id} is deleted"))?;
    Ok(Ended::Success)
}

async fn here(store: &Store, dag_id: &str) -> anyhow::Result<()> {
    let before = store
        .dag_get(dag_id)
        .await?
        .map(|dag| json!({"file": dag.file, "version": dag.version, "is_paused": dag.is_paused}));
    let why = match store.dag_delete(dag_id).await? {
        None => {
            let of = audit::of_dag("delete_dag", dag_id);
            audit::add(store, of, json!(before), Value::Null).await?;
            return Ok(());
        }
        Some(Kept::Unknown) => {
            bail!("DAG `{dag_id}` does not exist: `subak dags list --all` shows those that do")
        }
        Some(Kept::HasFile) => "its file is there: remove that first, or the DAG comes back",
        Some(Kept::HasRuns) => "runs of it go on: cancel them first",
        Some(Kept::HasRanges) => "ranges of topics are open: load or abandon them first",
    };
    bail!("DAG `{dag_id}` cannot be deleted: {why}")
}
