//! The engine in this process, for one command: the same transactions as a server's. What they leave
//! to be gone on with, the servers are told of at once.

use std::time::Duration;

use anyhow::Context;
use subak_server::engine::Engine;
use subak_store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What its parts may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Runs `work` with an engine that ends with it.
pub(crate) async fn with_engine<T>(
    store: &Store,
    work: impl AsyncFnOnce(&Engine) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let engine = Engine::start_for_command(store.clone(), &mut tasks, stop.clone())
        .await
        .context("starting the engine")?;
    let result = work(&engine).await;
    stop.cancel();
    drop(engine);
    let ended = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(ENDS_WITHIN, ended).await;
    result
}
