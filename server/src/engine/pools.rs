//! Sets up pools, and keeps their counts right.

use std::collections::BTreeMap;
use std::time::Duration;

use subak_store::engine::EngineTx;
use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{Core, Engine, work};

/// Tasks that a passing lock hid from whoever dealt out slots wait this long at most.
const LOOK: Duration = Duration::from_secs(5);

/// Why a pool was not removed.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    #[error("there is no pool `{0}`")]
    NotFound(String),
    #[error("pool `{name}` is in use: {tasks} tasks are in it or wait for it")]
    InUse { name: String, tasks: i64 },
    #[error("the pool could not be changed")]
    Internal(#[from] anyhow::Error),
}

impl Engine {
    /// Makes a pool of this many slots (-1: no limit), or changes it; what waits for it gets what is
    /// free now. What is left out stays as it is.
    pub async fn pool_put(
        &self,
        name: &str,
        slots: i32,
        include_deferred: Option<bool>,
        description: Option<&str>,
    ) -> anyhow::Result<()> {
        let mut tx = self.core.store.engine_begin().await?;
        tx.pool_put(name, slots, include_deferred, description).await?;
        deal(&self.core, tx, name).await
    }

    /// Removes a pool that no task is in or waits for.
    pub async fn pool_remove(&self, name: &str) -> Result<(), PoolError> {
        let remove = async || -> anyhow::Result<Option<i64>> {
            let mut tx = self.core.store.engine_begin().await?;
            let tasks = tx.pool_remove(name).await?;
            tx.commit().await?;
            Ok(tasks)
        };
        match remove().await? {
            None => Err(PoolError::NotFound(name.to_owned())),
            Some(0) => Ok(()),
            Some(tasks) => Err(PoolError::InUse { name: name.to_owned(), tasks }),
        }
    }
}

/// Deals out what is free in a pool.
async fn deal(core: &Core, mut tx: EngineTx<'_>, name: &str) -> anyhow::Result<()> {
    let queues = tx.pools_settle(&BTreeMap::from([(name.to_owned(), 0)])).await?;
    tx.commit().await?;
    let backlog = queues.into_iter().collect();
    core.committed(work::After { backlog, ..work::After::default() }).await;
    Ok(())
}

/// The loop.
pub(super) async fn run(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
        if let Err(error) = engine.core.within(look(&engine.core)).await {
            error!(error = format!("{error:#}"), "pools: will try again");
        }
    }
}

async fn look(core: &Core) -> anyhow::Result<()> {
    for name in core.store.pools_amiss().await? {
        let mut tx = core.store.engine_begin().await?;
        if let Some((counted, held)) = tx.pool_reconcile(&name).await? {
            warn!(pool = name, counted, held, "the count of a pool was wrong: it is right now");
        }
        deal(core, tx, &name).await?;
    }
    Ok(())
}
