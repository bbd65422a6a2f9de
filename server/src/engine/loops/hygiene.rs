//! Keeps the database in shape: partitions made ahead, what was kept long enough dropped, sessions of
//! long ago forgotten.

use std::time::Duration;

use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::engine::Engine;

const PERIOD: Duration = Duration::from_secs(60 * 60);

/// Partitions are there this many days before they are needed.
const DAYS_AHEAD: i32 = 7;

pub(super) async fn run(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        if let Err(error) = tick(&engine).await {
            error!(error = format!("{error:#}"), "hygiene: will try again");
        }
        select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn tick(engine: &Engine) -> anyhow::Result<()> {
    let store = &engine.core.store;
    store.partitions_make(DAYS_AHEAD).await?;
    for day in store.days_expired(engine.core.config.keep_days).await? {
        store.day_drop(day).await?;
        info!(%day, "the runs of a day were dropped: they were kept long enough");
    }
    for day in store.storage_sweep(engine.core.config.keep_days).await? {
        info!(%day, "datasets and large logs of a day were dropped from the storage");
    }
    store.sessions_forget().await?;
    Ok(())
}
