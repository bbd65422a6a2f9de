//! Operator `kafka.produce`: rows into a topic, in one transaction with the offsets they were read at.

mod ledger;
mod transaction;
mod values;

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt as _;
use serde_json::json;
use subak_core::letter::REPLAY_CLUSTER;
use subak_core::operators::produce::KafkaProduce;
use subak_task::{
    DatasetRef, Operator, RangeRef, RecordBatchStream, TaskContext, TaskError, TaskOutput,
};
use tokio::sync::mpsc::{Sender, channel};

use self::ledger::Group;
pub(crate) use self::ledger::KafkaLedgers;
use self::transaction::Written;
use crate::target::Target;

/// Batches that wait to be written.
const QUEUE: usize = 2;

/// `kafka.produce`: writes a dataset into a topic.
pub(crate) struct KafkaProduceOperator;

/// A try that writes.
struct Produce {
    params: KafkaProduce,
    target: Target,
    ctx: TaskContext,
    dataset: DatasetRef,
    /// Ranges of topics that the dataset carries.
    ranges: Vec<RangeRef>,
}

impl Operator for KafkaProduceOperator {
    const NAME: &'static str = "kafka.produce";
    type Params = KafkaProduce;

    async fn run(&self, params: KafkaProduce, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let produce = Arc::new(Produce::new(params, ctx)?);
        let working = async {
            produce.await_turn().await?;
            let stream = ctx.datasets.read(&produce.dataset, None, ctx).await?;
            produce.write(stream).await
        };
        let written = ctx.cancel.run_until_cancelled(working).await;
        let written = written.unwrap_or_else(|| Err(TaskError::cancelled()))?;
        // Records of several ranges are not told apart.
        let rows = match written {
            Written::Now(records) if produce.ranges.len() == 1 => i64::try_from(records).ok(),
            Written::Now(_) | Written::Earlier => None,
        };
        for range in &produce.ranges {
            range.tell_committed(&ctx.identity.task_id, rows, ctx).await;
        }
        let topic = &produce.params.topic;
        ctx.log(match written {
            Written::Now(records) => format!("{records} records written to topic {topic}"),
            Written::Earlier => format!("nothing to write: {} is there already", produce.shown()),
        });
        let records = match written {
            Written::Now(records) => records,
            Written::Earlier => 0,
        };
        let value = Some(json!({ "topic": topic, "records": records }));
        Ok(TaskOutput { value, ..TaskOutput::default() })
    }
}

impl Produce {
    fn new(params: KafkaProduce, ctx: &TaskContext) -> Result<Self, TaskError> {
        let dataset: DatasetRef =
            serde_json::from_value(params.input.0.clone()).map_err(|error| {
                TaskError::permanent(format!(
                    "`input` is no dataset ({error}): name a task that hands one on, as \
                     `{{{{ tasks.<task id>.output }}}}`"
                ))
            })?;
        let ranges = RangeRef::of(&dataset)?;
        if !ranges.is_empty() && ctx.identity.map_index >= 0 {
            return Err(TaskError::permanent(
                "a mapped task cannot write a topic's range: each instance would move the same offsets",
            ));
        }
        let target = Target::named(&params.connection, ctx)?;
        Ok(Self { params, target, ctx: ctx.clone(), dataset, ranges })
    }

    /// Waits until the ranges before these are in the topic.
    async fn await_turn(&self) -> Result<(), TaskError> {
        for range in &self.ranges {
            let mut group = self.group(range)?;
            let name = group.ledger_name();
            let sink = &self.ctx.identity.task_id;
            range.await_turn(sink, &name, &self.ctx, &mut group).await?;
        }
        Ok(())
    }

    /// Writes all rows on a thread where waiting for brokers holds up nobody.
    async fn write(self: &Arc<Self>, stream: RecordBatchStream) -> Result<Written, TaskError> {
        let (batches, to_write) = channel(QUEUE);
        let this = Arc::clone(self);
        let schema = Arc::clone(&stream.schema);
        let writing = tokio::task::spawn_blocking(move || this.transact(&schema, to_write));
        let fed = feed(stream, batches).await;
        let written = writing
            .await
            .map_err(|error| TaskError::permanent(format!("writing to Kafka: {error}")))?;
        fed?;
        written
    }

    /// The ledger of a range: the offsets of a group, in the cluster that was read.
    fn group(&self, range: &RangeRef) -> Result<Group, TaskError> {
        if range.cluster == REPLAY_CLUSTER {
            return Group::of_replay(&self.target, &self.ctx, range, &self.params.topic);
        }
        let source = match range.connection.as_str() {
            "" => self.target.clone(),
            connection => Target::named(connection, &self.ctx)?,
        };
        Group::new(&source, &self.ctx, &self.ctx.identity.task_id, &range.ledger_topic())
    }

    fn shown(&self) -> String {
        self.ranges.iter().map(RangeRef::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// Hands batches over until the writer wants no more. If reading fails, the writer is told by silence: it
/// commits only what [`Batches::End`] ends.
async fn feed(mut stream: RecordBatchStream, batches: Sender<Batches>) -> Result<(), TaskError> {
    while let Some(batch) = stream.batches.next().await {
        if batches.send(Batches::More(batch?)).await.is_err() {
            return Ok(());
        }
    }
    // A writer that has failed says so itself.
    let _ = batches.send(Batches::End).await;
    Ok(())
}

/// What the writer is given.
enum Batches {
    More(RecordBatch),
    /// There are no more: without it nothing is committed.
    End,
}
