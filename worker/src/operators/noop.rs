//! `noop`: does nothing, on a worker.

use subak_core::operators::plain::Nothing;
use subak_task::{Operator, TaskContext, TaskError, TaskOutput};

/// Writes one line and succeeds.
pub(crate) struct Noop;

impl Operator for Noop {
    const NAME: &'static str = "noop";
    const IMMEDIATE: bool = true;
    type Params = Nothing;

    async fn run(&self, _params: Nothing, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        ctx.log("noop: nothing to do");
        Ok(TaskOutput::default())
    }
}
