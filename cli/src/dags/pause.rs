//! `subak dags pause` and `unpause`.

use anyhow::bail;
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use subak_core::ids::DagId;
use subak_store::Store;

use crate::audit;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::place::{At, Place};
use crate::runs::engine::with_engine;

/// Which DAG.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    dag_id: String,
}

/// Pauses a DAG, or lets it go on.
pub(crate) async fn run(options: Options, paused: bool) -> Outcome {
    let dag_id = options.dag_id;
    match options.place.open().await? {
        At::Database(store) => here(&store, &dag_id, paused).await?,
        At::Server(server) => {
            let body = json!({"is_paused": paused});
            server.change::<Value>(Method::PATCH, &["dags", &dag_id], &body).await?;
        }
    }
    output::line(match paused {
        true => format!(
            "{dag_id} is paused: no run and no task starts; tasks that run go on, and those without an \
             end yield"
        ),
        false => format!("{dag_id} goes on"),
    })?;
    Ok(Ended::Success)
}

async fn here(store: &Store, dag_id: &str, paused: bool) -> anyhow::Result<()> {
    let id = DagId(dag_id.to_owned());
    let before = store.dag_get(dag_id).await?.map(|dag| json!({"is_paused": dag.is_paused}));
    let known = with_engine(store, async |engine| engine.dag_pause(&id, paused).await).await?;
    if known {
        let of = audit::of_dag("patch_dag", dag_id);
        audit::add(store, of, json!(before), json!({"is_paused": paused})).await?;
    }
    store.close().await;
    if !known {
        bail!("there is no DAG `{id}`: `subak dags list` shows all");
    }
    Ok(())
}
