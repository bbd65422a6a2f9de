//! Deletes a run that has ended.

use serde_json::json;
use subak_core::ids::RunKey;
use subak_core::state::RunState;
use subak_store::StoreError;

use super::{Core, Engine};

/// Why a run was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("the run does not exist")]
    NotFound,
    #[error("the run is {0}: cancel it, and delete it once it has ended")]
    Active(RunState),
    #[error("the run could not be deleted")]
    Internal(#[from] anyhow::Error),
}

impl Engine {
    /// Deletes an ended run: its tasks, their history, logs and what they handed on. `by` is logged.
    pub async fn run_delete(&self, run: RunKey, by: &str) -> Result<(), DeleteError> {
        let core = &self.core;
        core.within(async { Ok(delete(core, run).await) }).await??;
        if let Err(error) = core.store.xcoms_large_drop(run).await {
            // They go with their day.
            tracing::warn!(run.key = run.0, error = format!("{error:#}"), "large XComs stay");
        }
        tracing::info!(run.key = run.0, "the run was deleted by {by}");
        core.changed(run);
        core.timers_left().await;
        Ok(())
    }
}

async fn delete(core: &Core, run: RunKey) -> Result<(), DeleteError> {
    let internal = |error: StoreError| DeleteError::Internal(error.into());
    let mut tx = core.store.engine_begin().await.map_err(internal)?;
    let Some(locked) = tx.runs_lock(&[run]).await.map_err(internal)?.pop() else {
        return Err(DeleteError::NotFound);
    };
    if !locked.state.is_final() {
        return Err(DeleteError::Active(locked.state));
    }
    tx.run_delete(run).await.map_err(internal)?;
    // The next run has another one before it now, and its version may wait though this one did not.
    tx.outbox_put("past", None, Some(locked.dag), &json!({})).await.map_err(internal)?;
    tx.commit().await.map_err(internal)
}
