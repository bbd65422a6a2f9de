//! What a load loads: the rows of its dataset, and, in a run that replays the load's own dead letters,
//! these behind them.

use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use futures::stream::{self, Stream};
use futures::{StreamExt as _, TryStreamExt as _};
use subak_core::letter::{Letter, Replay};
use subak_task::{BadRow, RecordBatchStream, TaskContext, TaskError, letters, rows_again};

/// Rows of one schema, in order.
pub(crate) struct Input {
    pub(crate) schema: SchemaRef,
    pub(crate) parts: Pin<Box<dyn Stream<Item = Result<Part, TaskError>> + Send>>,
}

/// Rows that come together.
pub(crate) struct Part {
    pub(crate) batch: RecordBatch,
    /// Of each row the dead letter that it was, if they were.
    letters: Option<Vec<Letter>>,
    /// Dead letters that are no rows of the schema any more.
    pub(crate) unfit: Vec<BadRow>,
}

impl Input {
    /// The rows of a dataset, then the dead letters of a replay.
    pub(crate) fn new(
        dataset: RecordBatchStream,
        replay: Option<Replay>,
        ctx: &TaskContext,
    ) -> Self {
        let schema = dataset.schema;
        let whole = |batch| Part { batch, letters: None, unfit: Vec::new() };
        let rows = dataset.batches.map_ok(whole);
        let again = stream::iter(replay).flat_map({
            let (ctx, schema) = (ctx.clone(), schema.clone());
            move |replay| replayed(ctx.clone(), schema.clone(), replay)
        });
        Self { schema, parts: Box::pin(rows.chain(again)) }
    }
}

/// The dead letters of a replay, part by part.
fn replayed(
    ctx: TaskContext,
    schema: SchemaRef,
    replay: Replay,
) -> impl Stream<Item = Result<Part, TaskError>> + Send {
    stream::try_unfold(0, move |after| {
        let (ctx, schema, replay) = (ctx.clone(), schema.clone(), replay.clone());
        async move {
            let some = ctx.pipeline.letters(&replay, after).await?;
            let Some(last) = some.last().map(|letter| letter.id) else { return Ok(None) };
            let again = rows_again(some, &schema).map_err(TaskError::permanent)?;
            let letters = Some(again.letters);
            Ok(Some((Part { batch: again.batch, letters, unfit: again.unfit }, last)))
        }
    })
}

impl Part {
    /// The dead letters of rows that do not fit, of which `before` came earlier in dataset `name`.
    pub(crate) fn rejected(
        &self,
        misfits: &[(usize, Vec<String>)],
        name: &str,
        before: u64,
    ) -> Result<Vec<BadRow>, ArrowError> {
        match &self.letters {
            None => letters(&self.batch, misfits, name, before),
            Some(were) => {
                let again = |(at, why): &(usize, Vec<String>)| {
                    BadRow::again(were[*at].clone(), why.clone())
                };
                Ok(misfits.iter().map(again).collect())
            }
        }
    }
}
