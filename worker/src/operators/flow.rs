//! `branch` and `short_circuit`: their result, once rendered, tells the server what to skip.

use serde_json::Value;
use subak_core::operators::flow::{Branch, ShortCircuit};
use subak_core::template::is_true;
use subak_task::{Operator, TaskContext, TaskError, TaskOutput};

/// Hands on what to follow.
pub(crate) struct BranchOperator;

/// Hands on whether to go on.
pub(crate) struct ShortCircuitOperator;

impl Operator for BranchOperator {
    const NAME: &'static str = "branch";
    const IMMEDIATE: bool = true;
    type Params = Branch;

    async fn run(&self, params: Branch, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        ctx.log(format!("branch: follows {}", params.choose));
        Ok(output(params.choose))
    }
}

impl Operator for ShortCircuitOperator {
    const NAME: &'static str = "short_circuit";
    const IMMEDIATE: bool = true;
    type Params = ShortCircuit;

    async fn run(&self, params: ShortCircuit, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let goes_on = is_true(&params.condition);
        ctx.log(match goes_on {
            true => "short_circuit: the condition is true",
            false => "short_circuit: the condition is not true: what is below is skipped",
        });
        Ok(output(goes_on.into()))
    }
}

fn output(value: Value) -> TaskOutput {
    TaskOutput { value: Some(value), ..TaskOutput::default() }
}
