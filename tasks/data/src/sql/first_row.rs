//! Finds the row that a computation failed at: in one more pass, only once it has failed.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::{DataFrame, SessionContext};
use futures::StreamExt;
use subak_core::operators::data::Step;
use subak_task::letters;

use super::physical::physical;
use super::{explain, steps};
use crate::error::DataError;

/// What a step makes of each column.
type Stage = Vec<(String, Arc<dyn PhysicalExpr>)>;

/// Returns the place in a batch of the first row that an expression fails at, and how it fails.
pub(crate) fn in_batch(
    value: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
) -> Option<(usize, DataFusionError)> {
    if batch.num_rows() == 0 {
        return None;
    }
    let fails = |rows: usize| value.evaluate(&batch.slice(0, rows)).err();
    // So many rows from the first on do, and so many do not.
    let (mut good, mut bad) = (0, batch.num_rows());
    let mut error = fails(bad)?;
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        match fails(middle) {
            Some(earlier) => (bad, error) = (middle, earlier),
            None => good = middle,
        }
    }
    Some((bad - 1, error))
}

/// Names a row of a batch as rejected ones are: by its record, or by its number in a dataset of which
/// `before` rows came earlier.
pub(crate) fn place(batch: &RecordBatch, at: usize, dataset: &str, before: u64) -> String {
    let row = [(at, Vec::new())];
    match letters(batch, &row, dataset, before).ok().and_then(|mut rows| rows.pop()) {
        Some(row) => format!("{}:{}", row.source, row.position),
        None => format!("{dataset}:{}", before + at as u64 + 1),
    }
}

/// Says at which row and column steps over a frame fail first, and why; `None` if they don't.
pub(super) async fn of_steps(
    session: &SessionContext,
    frame: DataFrame,
    steps: &[Step],
    dataset: &str,
) -> Result<Option<String>, DataError> {
    let stages = stages(session, frame.clone(), steps)?;
    let mut stream = frame.execute_stream().await?;
    let mut before = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        if let Some((at, what)) = in_stages(&stages, &batch)? {
            return Ok(Some(format!("{}: {what}", place(&batch, at, dataset, before))));
        }
        before += batch.num_rows() as u64;
    }
    Ok(None)
}

fn stages(
    session: &SessionContext,
    mut frame: DataFrame,
    steps: &[Step],
) -> Result<Vec<Stage>, DataError> {
    let mut stages = Vec::new();
    for step in steps {
        let columns = steps::columns(session, &frame, step)?;
        let schema = frame.schema();
        let stage = columns
            .into_iter()
            .map(|(name, value)| Ok((name, physical(session, value, schema)?)))
            .collect::<Result<Stage, DataError>>()?;
        stages.push(stage);
        frame = steps::apply(session, frame, step)?;
    }
    Ok(stages)
}

/// Returns the first row of a batch that a step fails at, and what is wrong with it.
fn in_stages(stages: &[Stage], batch: &RecordBatch) -> Result<Option<(usize, String)>, DataError> {
    let mut batch = batch.clone();
    for (number, stage) in (1..).zip(stages) {
        let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
        for (name, value) in stage {
            if let Some((at, error)) = in_batch(value, &batch) {
                let what = explain::values(&error).unwrap_or_else(|| error.strip_backtrace());
                return Ok(Some((at, format!("step {number}: column `{name}`: {what}"))));
            }
            let array = value.evaluate(&batch)?.into_array(batch.num_rows())?;
            columns.push((name, array));
        }
        batch = RecordBatch::try_from_iter(columns)?;
    }
    Ok(None)
}
