//! The operator trait, and its form without type parameters that the worker's registry holds.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::Value;
use subak_core::operators::Rules;

use crate::{DatasetRef, DatasetStats, TaskContext, TaskError};

/// Parameters plus one idempotent function.
pub trait Operator: Send + Sync + 'static {
    /// The name in a DAG file: `csv.read`.
    const NAME: &'static str;
    /// Never waits and takes microseconds: it may run where its assignment was received, and its
    /// result need not survive the worker.
    const IMMEDIATE: bool = false;
    /// `with:` of the DAG file, templates rendered.
    type Params: DeserializeOwned + Rules + Send + 'static;

    /// Does the work. Run twice with the same parameters it leaves the same result. It watches
    /// [`TaskContext::cancel`] wherever it waits for long.
    fn run(
        &self,
        params: Self::Params,
        ctx: &TaskContext,
    ) -> impl Future<Output = Result<TaskOutput, TaskError>> + Send;
}

/// What a successful try hands on.
#[derive(Debug, Default)]
pub struct TaskOutput {
    /// The `XCom` `return_value`; `None` pushes nothing.
    pub value: Option<Value>,
    /// The task's dataset, `{{ tasks.<id>.output }}`.
    pub dataset: Option<(DatasetRef, DatasetStats)>,
    /// Records rejected and counted, dead-lettered or skipped.
    pub rows_rejected: u64,
}

/// An [`Operator`] behind a pointer.
#[async_trait]
pub trait ErasedOperator: Send + Sync + 'static {
    /// The name in a DAG file.
    fn name(&self) -> &'static str;

    /// See [`Operator::IMMEDIATE`].
    fn immediate(&self) -> bool;

    /// Reads the parameters and does the work.
    async fn run_with(&self, with: Value, ctx: &TaskContext) -> Result<TaskOutput, TaskError>;
}

#[async_trait]
impl<O: Operator> ErasedOperator for O {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn immediate(&self) -> bool {
        O::IMMEDIATE
    }

    async fn run_with(&self, with: Value, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let wrong = |why: String| {
            TaskError::permanent(format!("arguments of operator `{}`: {why}", O::NAME))
        };
        let params: O::Params =
            serde_json::from_value(with).map_err(|error| wrong(error.to_string()))?;
        // The parser could not apply them where a template stood.
        if let Some((_, why)) = params.broken_rules().into_iter().next() {
            return Err(wrong(why.into_owned()));
        }
        self.run(params, ctx).await
    }
}
