//! `validate`.

use std::sync::Arc;

use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;
use serde_json::Value;
use subak_core::letter::{Letter, Replay};
use subak_core::operators::validate::Validate;
use subak_task::{
    BadRow, DatasetRef, DatasetStats, Operator, RangeRef, RecordBatchStream, Rejected, ScanCounts,
    TaskContext, TaskError, TaskOutput, letters, rows_again, rows_text,
};
use tokio::sync::mpsc;

use crate::dataset::ipc::{self, PartWriter};
use crate::dataset::writing::Writing;
use crate::dataset::{reader, reference};
use crate::error::DataError;
use crate::runtime::run;
use crate::validate::Validator as Rules;

/// Passes on the rows that keep every rule.
pub(crate) struct Validator;

impl Operator for Validator {
    const NAME: &'static str = "validate";
    type Params = Validate;

    async fn run(&self, params: Validate, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let input = reference::dataset(&params.input)?;
        let (sender, receiver) = mpsc::channel(4);
        let replay = ctx.pipeline.replay().await?.filter(|it| it.task == ctx.identity.task_id);
        let (letters, to_take) = mpsc::channel(1);
        let work = Work {
            name: ctx.identity.task_id.clone(),
            folder: ipc::folder(ctx)?,
            counts: Arc::clone(&ctx.counts),
            memory_bytes: ctx.memory_bytes,
            input,
            params,
            replayed: replay.as_ref().map(|replay| {
                RangeRef::new(&replay.range, &ctx.identity.dag_id, &replay.task).to_provenance()
            }),
        };
        let mut rejects = Rejected::new(ctx, work.params.on_bad_row);
        let dividing = run(&ctx.cancel, work.divide(to_take, sender));
        let ((dataset, stats), (), ()) = tokio::try_join!(
            dividing,
            rejects.take_all(receiver),
            feed(replay.as_ref(), ctx, letters)
        )?;
        let good = stats.rows.unwrap_or_default();
        let rows_rejected = rejects.finish(good);
        ctx.log(format!("{} passed on", rows_text(good, "row")));
        Ok(TaskOutput { dataset: Some((dataset, stats)), rows_rejected, ..TaskOutput::default() })
    }
}

/// What the threads for data need of a try.
struct Work {
    name: String,
    folder: std::path::PathBuf,
    counts: Arc<ScanCounts>,
    memory_bytes: usize,
    input: DatasetRef,
    params: Validate,
    /// Of a replay of this task's dead letters what the dataset carries of it.
    replayed: Option<Value>,
}

impl Work {
    /// Writes the rows that keep the rules, in their order, and hands the others over.
    async fn divide(
        self,
        replayed: mpsc::Receiver<Vec<Letter>>,
        rejected: mpsc::Sender<Vec<BadRow>>,
    ) -> Result<(DatasetRef, DatasetStats), DataError> {
        let stream = reader::open(&self.input, None, Some(&self.counts))?;
        let schema = Arc::clone(&stream.schema);
        let writing = Writing::new(PartWriter::new(&self.folder, 0, &schema)?);
        let divided = self.divide_all(stream, replayed, rejected, &writing).await;
        let written = writing.ended().await;
        divided?;
        let (mut dataset, stats) =
            ipc::dataset(&self.name, &self.folder, &schema, vec![written?.finish()?])?;
        dataset.provenance = self.input.provenance;
        dataset.provenance.extend(self.replayed);
        Ok((dataset, stats))
    }

    /// Ends early if a write has failed. Dead letters of a replay come behind what the input has, which
    /// is nothing.
    async fn divide_all(
        &self,
        mut stream: RecordBatchStream,
        mut replayed: mpsc::Receiver<Vec<Letter>>,
        rejected: mpsc::Sender<Vec<BadRow>>,
        writing: &Writing,
    ) -> Result<(), DataError> {
        let mut config = SessionConfig::new();
        config.options_mut().sql_parser.enable_ident_normalization = false;
        let session = SessionContext::new_with_config(config);
        let rules = &self.params.rules;
        let mut rules = Rules::new(rules, &stream.schema, &session, self.memory_bytes)?;
        let mut before = 0;
        while let Some(batch) = stream.batches.try_next().await? {
            let validated = rules
                .divide(&batch)
                .map_err(|error| rules.explained(error, &batch, &self.input.name, before))?;
            let letters = letters(&batch, &validated.rejected, &self.input.name, before)?;
            before += batch.num_rows() as u64;
            if !writing.write(validated.kept).await {
                return Ok(());
            }
            hand_over(&rejected, letters).await?;
        }
        while let Some(letters) = replayed.recv().await {
            let again = rows_again(letters, &stream.schema)?;
            let validated = rules
                .divide(&again.batch)
                .map_err(|error| rules.explained(error, &again.batch, "replayed rows", before))?;
            before += again.batch.num_rows() as u64;
            if !writing.write(validated.kept).await {
                return Ok(());
            }
            let broken = validated.rejected.into_iter();
            let broken = broken.map(|(at, why)| BadRow::again(again.letters[at].clone(), why));
            hand_over(&rejected, again.unfit.into_iter().chain(broken).collect()).await?;
        }
        Ok(())
    }
}

async fn hand_over(
    rejected: &mpsc::Sender<Vec<BadRow>>,
    rows: Vec<BadRow>,
) -> Result<(), DataError> {
    if !rows.is_empty() && rejected.send(rows).await.is_err() {
        return Err(DataError::permanent("the rejected rows could not be handed over"));
    }
    Ok(())
}

/// Asks for the dead letters of a replay, part by part.
async fn feed(
    replay: Option<&Replay>,
    ctx: &TaskContext,
    letters: mpsc::Sender<Vec<Letter>>,
) -> Result<(), TaskError> {
    let Some(replay) = replay else { return Ok(()) };
    let mut after = 0;
    loop {
        let asking = ctx.pipeline.letters(replay, after);
        let some = ctx.cancel.run_until_cancelled(asking).await;
        let some = some.unwrap_or_else(|| Err(TaskError::cancelled()))?;
        let Some(last) = some.last() else { return Ok(()) };
        after = last.id;
        if letters.send(some).await.is_err() {
            // Who takes them has failed, and says why.
            return Ok(());
        }
    }
}
