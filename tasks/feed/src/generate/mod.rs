//! Operator `generate`: data of known shape, for a first run, demonstrations, tests and benchmarks.

mod bank;
mod feed;
mod lines;
mod position;
mod profile;
mod purchases;
mod random;
mod retail;
mod table;
mod users;

use subak_core::operators::feed::Generate;
use subak_task::{Operator, TaskContext, TaskError, TaskOutput};

pub use profile::record;
pub use retail::{RETAIL_ROWS, retail};

/// `generate`: sends records to a topic, or hands them on as a dataset.
pub(crate) struct GenerateOperator;

impl Operator for GenerateOperator {
    const NAME: &'static str = "generate";
    type Params = Generate;

    async fn run(&self, params: Generate, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        match (&params.connection, &params.topic) {
            (Some(connection), Some(topic)) => {
                let writer = ctx.topics.open(connection, topic, params.partitions, ctx).await?;
                feed::run(&params, writer, ctx).await
            }
            _ => table::run(&params, ctx).await,
        }
    }
}
