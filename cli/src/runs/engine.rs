//! The engine in this process, for one command: the same transactions as a server's.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use subak_server::engine::{Engine, EngineConfig};
use subak_store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the loops may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// A command judges no worker and drops no history: both are the servers' business.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);
const FOR_EVER_DAYS: i32 = 36_500;

/// Runs `work` with an engine that ends with it.
pub(super) async fn with_engine<T>(
    store: &Store,
    work: impl AsyncFnOnce(&Engine) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let config = EngineConfig { server: "cli".to_owned(), lease: NEVER, keep_days: FOR_EVER_DAYS };
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let engine = Engine::start(store.clone(), None, config, &mut tasks, stop.clone())
        .await
        .context("starting the engine")?;
    let result = work(&engine).await;
    stop.cancel();
    drop(engine);
    let ended = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(ENDS_WITHIN, ended).await;
    result
}

/// Tells the servers that tasks of this DAG may be ready: none of them saw this process's commit.
pub(super) async fn tell_servers(store: &Store, dag_id: &str) -> anyhow::Result<()> {
    let Some(dag) = store.dag_get(dag_id).await? else { return Ok(()) };
    let Some(version) = store.version_get(dag.dag, dag.version).await? else { return Ok(()) };
    let queues: BTreeSet<String> = version.model.tasks.into_iter().map(|task| task.queue).collect();
    store.ready_tell(&Vec::from_iter(queues)).await?;
    Ok(())
}
