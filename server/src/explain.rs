//! Gathers what is known of a task instance, and has it explained.

use subak_core::explain::{Explanation, explain as explained};
use subak_core::ids::{Instance, MapIndex, TaskId};
use subak_store::Store;
use subak_store::read::RunRecord;

use crate::problem::ApiError;
use crate::versions::Version;

/// Explains one task instance; `None`: the run has no such task, or the task no such
/// instance.
pub(crate) async fn explain(
    store: &Store,
    run: &RunRecord,
    version: &Version,
    task_id: &str,
    map_index: MapIndex,
) -> Result<Option<Explanation>, ApiError> {
    let plan = version.plan().map_err(|error| {
        tracing::error!(error = error.to_string(), "a version does not compile");
        ApiError::Internal
    })?;
    let Some(task) = plan.number(&TaskId::from(task_id)) else { return Ok(None) };
    let at = Instance { task, map_index };
    let facts = store.explain_facts(run, &plan, at).await?;
    Ok(facts.and_then(|facts| explained(&plan, &facts)))
}
