//! `branch`, `short_circuit` and `latest_only`: their result tells the server what to skip.

use serde::Deserialize;
use serde_json::Value;
use subak_core::operators::Rules;
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

/// Hands on whether the run is the newest of its schedule, as the server saw it.
pub(crate) struct LatestOnlyOperator;

/// What the server adds to a task that has no arguments of its own.
#[derive(Deserialize)]
pub(crate) struct Newest {
    /// A run without a server is one made by hand.
    #[serde(default = "yes")]
    newest: bool,
}

impl Rules for Newest {}

fn yes() -> bool {
    true
}

impl Operator for LatestOnlyOperator {
    const NAME: &'static str = "latest_only";
    const IMMEDIATE: bool = true;
    type Params = Newest;

    async fn run(&self, params: Newest, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        ctx.log(match params.newest {
            true => "latest_only: the run is the newest of its schedule, or made by hand",
            false => "latest_only: a later run is due: what is right below is skipped",
        });
        Ok(output(params.newest.into()))
    }
}

fn output(value: Value) -> TaskOutput {
    TaskOutput { value: Some(value), ..TaskOutput::default() }
}
