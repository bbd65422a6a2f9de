//! `subak dags pause` and `unpause`.

use anyhow::bail;
use clap::Args;
use subak_core::ids::DagId;

use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::runs::engine::with_engine;

/// Which DAG.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    dag_id: String,
}

/// Pauses a DAG, or lets it go on.
pub(crate) async fn run(options: Options, paused: bool) -> Outcome {
    let store = options.metadata.store().await?;
    let id = DagId(options.dag_id);
    let known = with_engine(&store, async |engine| engine.dag_pause(&id, paused).await).await?;
    store.close().await;
    if !known {
        bail!("there is no DAG `{id}`: `subak dags list` shows all");
    }
    output::line(match paused {
        true => format!(
            "{id} is paused: no run starts; what runs goes on, and tasks without an end yield"
        ),
        false => format!("{id} goes on"),
    })?;
    Ok(Ended::Success)
}
