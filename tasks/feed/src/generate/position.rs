//! Which record is the next, across tries and runs.

use serde::{Deserialize, Serialize};
use serde_json::json;
use subak_task::{TaskContext, TaskError};

/// The key of the task's state.
const STATE: &str = "position";

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The run that is at it, and how often it was cleared.
    run: String,
    resets: u32,
    /// Where that run began.
    pub(super) from: u64,
    /// The first record that is not yet where it belongs.
    pub(super) next: u64,
}

impl Position {
    /// Takes the position of the last run on: another try of the same run goes on where the last one
    /// was, a run that was cleared begins where it began, a new run behind the last one.
    pub(super) async fn begin(ctx: &TaskContext) -> Result<Self, TaskError> {
        let state = ctx.state.get(STATE).await?.unwrap_or_default();
        let last: Self = serde_json::from_value(state).unwrap_or_default();
        let (run, resets) = (ctx.identity.run_uuid.clone(), ctx.identity.resets);
        let is_own = last.run == run;
        let (from, next) = match (is_own, last.resets == resets) {
            (true, true) => (last.from, last.next),
            (true, false) => (last.from, last.from),
            (false, _) => (last.next, last.next),
        };
        let this = Self { run, resets, from, next };
        if this != last {
            this.keep(ctx).await?;
        }
        Ok(this)
    }

    /// Remembers it.
    pub(super) async fn keep(&self, ctx: &TaskContext) -> Result<(), TaskError> {
        ctx.state.put(STATE, &json!(self)).await
    }
}
