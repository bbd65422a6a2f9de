//! Rows that a task does not hand on: logged, counted, kept as dead letters where asked.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, WriterBuilder};
use serde_json::Value;
use subak_core::operators::data::OnBadRow;
use tokio::sync::mpsc::Receiver;

use crate::origin::Origin;
use crate::own_bytes::OwnBytes;
use crate::text::rows_text;
use crate::{BadRow, TaskContext, TaskError};

/// Rejected rows that are logged one by one.
const LOGGED: u64 = 10;

/// Rejected rows sent at once.
const SENT_AT_ONCE: usize = 500;

/// The rejected rows of a try.
pub struct Rejected<'a> {
    ctx: &'a TaskContext,
    fate: OnBadRow,
    count: u64,
}

impl<'a> Rejected<'a> {
    /// None yet; `fate` is what becomes of them.
    #[must_use]
    pub fn new(ctx: &'a TaskContext, fate: OnBadRow) -> Self {
        Self { ctx, fate, count: 0 }
    }

    /// Takes rows; fails if there may be none.
    pub async fn take(&mut self, mut rows: Vec<BadRow>) -> Result<(), TaskError> {
        for row in &rows {
            self.count += 1;
            let what = || format!("{}:{}: {}", row.source, row.position, row.reasons.join("; "));
            match self.count {
                1 if self.fate == OnBadRow::Fail => return Err(TaskError::permanent(what())),
                1..=LOGGED => self.ctx.log(what()),
                count if count == LOGGED + 1 => {
                    self.ctx.log("more bad rows follow; they are counted");
                }
                _ => {}
            }
        }
        if self.fate == OnBadRow::DeadLetter {
            while !rows.is_empty() {
                let rest = rows.split_off(rows.len().min(SENT_AT_ONCE));
                self.ctx.dead_letters.send(std::mem::replace(&mut rows, rest)).await?;
            }
        }
        Ok(())
    }

    /// Takes all that are sent.
    pub async fn take_all(&mut self, mut rows: Receiver<Vec<BadRow>>) -> Result<(), TaskError> {
        while let Some(rows) = rows.recv().await {
            self.take(rows).await?;
        }
        Ok(())
    }

    /// Says in the log what became of them, beside so many good rows; returns how many there were.
    pub fn finish(self, good: u64) -> u64 {
        let fate = match self.fate {
            OnBadRow::Fail | OnBadRow::Skip => "skipped",
            OnBadRow::DeadLetter => "kept as dead letters",
        };
        if self.count > 0 {
            let bad = rows_text(self.count, "bad row");
            let all = rows_text(good + self.count, "row");
            self.ctx.log(format!("{bad} of {all} {fate}"));
        }
        self.count
    }
}

/// Returns the dead letters of rows of a batch, each with its reasons and the record that it was, where the
/// dataset has that, or else the row as JSON. A row is named by its record, or by its number in dataset
/// `name`, of which `before` rows came earlier.
pub fn letters<'a>(
    batch: &RecordBatch,
    rejected: impl IntoIterator<Item = &'a (usize, Vec<String>)>,
    name: &str,
    before: u64,
) -> Result<Vec<BadRow>, ArrowError> {
    let origin = Origin::of(batch);
    let own = OwnBytes::of(batch)?;
    let columns = own.as_ref().map_or(batch, OwnBytes::rest);
    let letter = |(at, reasons): &(usize, Vec<String>)| {
        let bytes = own.as_ref().map_or(Ok(None), |own| own.at(*at))?;
        let (raw, metadata) = match bytes {
            Some(both) => both,
            None => (row_text(columns, *at)?.into_bytes(), Value::Null),
        };
        let record = origin.as_ref().and_then(|origin| origin.at(*at));
        let place = (before + *at as u64 + 1).cast_signed();
        let (source, partition, position) = record.unwrap_or((name, 0, place));
        Ok(BadRow {
            source: source.to_owned(),
            partition,
            position,
            reasons: reasons.clone(),
            raw,
            metadata,
            replay_of: None,
        })
    };
    rejected.into_iter().map(letter).collect()
}

/// One row as JSON.
pub(crate) fn row_text(batch: &RecordBatch, at: usize) -> Result<String, ArrowError> {
    Ok(whole_rows(&batch.slice(at, 1))?.pop().unwrap_or_default().to_string())
}

/// Returns rows as JSON objects, whole, nulls included.
pub fn whole_rows(batch: &RecordBatch) -> Result<Vec<Value>, ArrowError> {
    let mut bytes = Vec::new();
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut bytes);
    writer.write(batch)?;
    writer.finish()?;
    drop(writer);
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&bytes).map_err(|error| ArrowError::JsonError(error.to_string()))
}
