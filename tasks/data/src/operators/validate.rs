//! `validate`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;
use subak_core::operators::validate::Validate;
use subak_task::{
    BadRow, DatasetRef, DatasetStats, Operator, ScanCounts, TaskContext, TaskError, TaskOutput,
};
use tokio::sync::mpsc;

use super::rejected::Rejected;
use crate::dataset::ipc::{self, PartWriter};
use crate::dataset::reader;
use crate::dataset::reference;
use crate::dataset::statistics::whole_rows;
use crate::error::DataError;
use crate::runtime::run;
use crate::text::rows_text;
use crate::validate::origin::Origin;
use crate::validate::{Validated, Validator as Rules};

/// Passes on the rows that keep every rule.
pub(crate) struct Validator;

impl Operator for Validator {
    const NAME: &'static str = "validate";
    type Params = Validate;

    async fn run(&self, params: Validate, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let input = reference::dataset(&params.input)?;
        let (sender, receiver) = mpsc::channel(4);
        let work = Work {
            name: ctx.identity.task_id.clone(),
            folder: ipc::folder(ctx)?,
            counts: Arc::clone(&ctx.counts),
            memory_bytes: ctx.memory_bytes,
            input,
            params,
        };
        let mut rejects = Rejected::new(ctx, work.params.on_bad_row);
        let dividing = run(&ctx.cancel, work.divide(sender));
        let ((dataset, stats), ()) = tokio::try_join!(dividing, take(receiver, &mut rejects))?;
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
}

impl Work {
    /// Writes the rows that keep the rules, in their order, and hands the others over.
    async fn divide(
        self,
        rejected: mpsc::Sender<Vec<BadRow>>,
    ) -> Result<(DatasetRef, DatasetStats), DataError> {
        let mut stream = reader::open(&self.input, None, Some(&self.counts))?;
        let mut config = SessionConfig::new();
        config.options_mut().sql_parser.enable_ident_normalization = false;
        let session = SessionContext::new_with_config(config);
        let rules = &self.params.rules;
        let mut rules = Rules::new(rules, &stream.schema, &session, self.memory_bytes)?;
        let mut writer = PartWriter::new(&self.folder, 0, &stream.schema)?;
        let mut before = 0;
        while let Some(batch) = stream.batches.try_next().await? {
            let validated = rules.divide(&batch)?;
            let letters = self.letters(&batch, &validated, before)?;
            before += batch.num_rows() as u64;
            writer.write(&validated.kept)?;
            if !letters.is_empty() && rejected.send(letters).await.is_err() {
                return Err(DataError::permanent("the rejected rows could not be handed over"));
            }
        }
        let (mut dataset, stats) =
            ipc::dataset(&self.name, &self.folder, &stream.schema, vec![writer.finish()?])?;
        dataset.provenance = self.input.provenance;
        Ok((dataset, stats))
    }

    /// The rejected rows of a batch that comes after so many rows, each as JSON.
    fn letters(
        &self,
        batch: &RecordBatch,
        validated: &Validated,
        before: u64,
    ) -> Result<Vec<BadRow>, DataError> {
        let mut letters = Vec::with_capacity(validated.rejected.len());
        let origin = Origin::of(batch);
        for (at, reasons) in &validated.rejected {
            let row = whole_rows(&batch.slice(*at, 1))?.pop().unwrap_or_default();
            let record = origin.as_ref().and_then(|origin| origin.at(*at));
            let place = (before + *at as u64 + 1).cast_signed();
            let (source, partition, position) = record.unwrap_or((&self.input.name, 0, place));
            letters.push(BadRow {
                source: source.to_owned(),
                partition,
                position,
                reasons: reasons.clone(),
                raw: row.to_string().into_bytes(),
            });
        }
        Ok(letters)
    }
}

async fn take(
    mut rejected: mpsc::Receiver<Vec<BadRow>>,
    rejects: &mut Rejected<'_>,
) -> Result<(), TaskError> {
    while let Some(rows) = rejected.recv().await {
        rejects.take(rows).await?;
    }
    Ok(())
}
