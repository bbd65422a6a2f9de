//! A run that replays: dead letters, for which the topic is left alone, or a range once more.

use std::sync::Arc;

use subak_core::letter::Replay;
use subak_task::{DatasetWriter, RangeRef, TaskError, TaskOutput};
use tokio::runtime::Handle;

use super::rejects::Rejects;
use super::topic::Topic;
use super::{Consume, panicked};
use crate::record::{Record, Rows, Taken};

/// What was taken.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    records: u64,
    rejected: u64,
    tombstones: u64,
}

/// Dead letters being taken.
struct Replaying<'a> {
    consume: &'a Consume,
    replay: &'a Replay,
    rows: Rows,
    writer: Box<dyn DatasetWriter>,
    rejects: Rejects<'a>,
    totals: Totals,
}

impl Consume {
    /// Takes this task's dead letters of a replay; of another task's it hands on nothing, so that only
    /// these go through.
    pub(super) async fn replay(self: &Arc<Self>, replay: Replay) -> Result<TaskOutput, TaskError> {
        if replay.again.is_some() && replay.task == self.ctx.identity.task_id {
            return self.read_again(replay).await;
        }
        let params = self.with_columns_of_letters(&replay).await?;
        let rows = self.rows(&params)?;
        let writer = self.ctx.datasets.writer(Arc::clone(&rows.schema), &self.ctx)?;
        let identity = &self.ctx.identity;
        let is_own = replay.task == identity.task_id;
        let mut shown = RangeRef::new(&replay.range, &identity.dag_id, &replay.task);
        let handle = Handle::current();
        let (writer, totals) = if is_own {
            self.blocking(move |this| {
                let rejects = Rejects::new(this, handle.clone());
                let totals = Totals::default();
                Replaying { consume: this, replay: &replay, rows, writer, rejects, totals }
                    .finish(&handle)
            })
            .await?
        } else {
            let what = if replay.again.is_some() { "a range" } else { "dead letters" };
            self.ctx.log(format!("the run replays {what} of {}: nothing is read", replay.task));
            (writer, Totals::default())
        };
        (shown.records, shown.rejected, shown.filtered) =
            (totals.records, totals.rejected, totals.tombstones);
        let provenance = if is_own { vec![shown.to_provenance()] } else { Vec::new() };
        let finish = move || writer.finish(provenance);
        let dataset = tokio::task::spawn_blocking(finish).await.map_err(panicked)??;
        let value = serde_json::json!({
            "topic": self.params.topic,
            "replayed": totals.records,
            "rejected": totals.rejected,
        });
        Ok(TaskOutput {
            value: Some(value),
            dataset: Some(dataset),
            rows_rejected: totals.rejected,
        })
    }
}

impl Consume {
    /// Reads a range once more. What the ledgers below are held against is the replay, not the range.
    async fn read_again(self: &Arc<Self>, replay: Replay) -> Result<TaskOutput, TaskError> {
        let Some(range) = replay.again else { return Err(TaskError::cancelled()) };
        let topic = Arc::new(self.blocking(Topic::open).await?);
        if topic.cluster != range.cluster || topic.name != range.topic {
            return Err(TaskError::permanent(format!(
                "{} was read from another topic or cluster than the task reads now",
                self.reference(&range)
            )));
        }
        self.check_same(&topic, &range).await?;
        self.ctx.log(format!("{}: once more", self.reference(&range)));
        let reference = self.reference(&replay.range);
        let (dataset, totals) = self.dataset(topic, range, reference).await?;
        self.ctx.log(totals.to_string());
        Ok(self.output(&replay.range, &totals, dataset))
    }
}

impl Replaying<'_> {
    /// Takes all of them. Blocks.
    fn finish(mut self, handle: &Handle) -> Result<(Box<dyn DatasetWriter>, Totals), TaskError> {
        let mut after = 0;
        loop {
            let ctx = &self.consume.ctx;
            let asking = ctx.pipeline.letters(self.replay, after);
            let letters = handle.block_on(ctx.cancel.run_until_cancelled(asking));
            let letters = letters.unwrap_or_else(|| Err(TaskError::cancelled()))?;
            let Some(last) = letters.last() else { break };
            after = last.id;
            for letter in letters {
                self.totals.records += 1;
                match self.rows.push(&Record::of_letter(&letter)) {
                    Taken::Row => {}
                    Taken::Tombstone => self.totals.tombstones += 1,
                    Taken::Rejected(reasons) => {
                        self.rejects.take(subak_task::BadRow::again(letter, reasons))?;
                    }
                }
                if self.rows.is_full() {
                    self.writer.write(&self.rows.take()?)?;
                }
            }
        }
        self.writer.write(&self.rows.take()?)?;
        self.rejects.send()?;
        self.totals.rejected = self.rejects.count;
        let Totals { records, rejected, .. } = self.totals;
        self.consume.ctx.log(format!("{records} dead letters taken again; {rejected} rejected"));
        Ok((self.writer, self.totals))
    }
}
