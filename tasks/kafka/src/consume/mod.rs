//! Operator `kafka.consume`: what a topic has gained, as a dataset, each record once.

mod left;
mod make;
mod observers;
mod plan;
mod read;
mod rejects;
mod replay;
mod sample;
mod take;
mod topic;
mod wait;

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;
use std::time::Instant;

use subak_core::operators::kafka::{KafkaConsume, Start};
use subak_core::range::{Answer, Operation, Origin, Partition, Range, SinkPositions};
use subak_task::{
    DatasetRef, DatasetStats, LedgerTopic, Operator, RangeRef, TaskContext, TaskError, TaskOutput,
};
use tokio::runtime::Handle;

use self::plan::{Before, Limits};
use self::read::{Reading, Totals};
use self::take::{Taking, makers};
use self::topic::Topic;
use crate::record::Rows;
use crate::target::Target;

/// `kafka.consume`: reads a range of a topic.
pub(crate) struct KafkaConsumeOperator;

impl Operator for KafkaConsumeOperator {
    const NAME: &'static str = "kafka.consume";
    type Params = KafkaConsume;

    async fn run(&self, params: KafkaConsume, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        if ctx.identity.map_index >= 0 {
            return Err(TaskError::permanent(
                "a mapped task cannot read a topic: ranges are a task's own",
            ));
        }
        let consume = Arc::new(Consume::new(params, ctx)?);
        if let Some(replay) = ctx.pipeline.replay().await? {
            return consume.replay(replay).await;
        }
        let (topic, range, origin) = consume.range().await?;
        if origin != Origin::Cut {
            consume.check_same(&topic, &range).await?;
        }
        consume.read(topic, range).await
    }
}

/// What became of the wish for a new range.
enum Cut {
    Range(Box<Answer>),
    /// There is nothing behind these positions, by partition.
    Nothing(Vec<(i32, i64)>),
}

/// A try that reads.
struct Consume {
    params: KafkaConsume,
    target: Target,
    ctx: TaskContext,
}

impl Consume {
    fn new(params: KafkaConsume, ctx: &TaskContext) -> Result<Self, TaskError> {
        let target = Target::named(&params.connection, ctx)?;
        Ok(Self { target, params, ctx: ctx.clone() })
    }

    /// The group by which observers know the pipeline.
    fn group(&self) -> String {
        let id = &self.ctx.identity;
        format!("subak.{}.{}.{}", id.installation, id.dag_id, id.task_id)
    }

    /// Takes the range to read, or cuts a new one.
    async fn range(self: &Arc<Self>) -> Result<(Arc<Topic>, Range, Origin), TaskError> {
        let mut topic = Arc::new(self.blocking(Topic::open).await?);
        let waited = Instant::now();
        loop {
            let sinks = self.positions(&topic.cluster).await?;
            topic.tell_observers(&sinks);
            let take = Operation::Take {
                cluster: topic.cluster.clone(),
                topic: self.params.topic.clone(),
                sinks: sinks.clone(),
                may_skip: self.may_skip(),
            };
            let answer = match self.ask(take).await? {
                Answer::None { newest, last, is_active } => {
                    // Nothing is open now, so nothing moves the ledgers: what was read of them before
                    // may be older than the last commit.
                    let sinks =
                        if is_active { sinks } else { self.positions(&topic.cluster).await? };
                    let before = Before::new(last, is_active, &sinks);
                    match self.cut(&topic, newest, before).await? {
                        Cut::Range(answer) => *answer,
                        Cut::Nothing(positions) => {
                            // Its client is free for whoever reads meanwhile.
                            drop(topic);
                            self.wait(positions, waited).await?;
                            topic = Arc::new(self.blocking(Topic::open).await?);
                            continue;
                        }
                    }
                }
                answer => answer,
            };
            match answer {
                Answer::Range { range, sinks, .. }
                    if !range.partitions.iter().any(Partition::moves) =>
                {
                    self.begin(&range, sinks).await?;
                    return Err(self.nothing());
                }
                Answer::Range { range, sinks, origin, skipped } => {
                    self.check_sinks(&range, &sinks)?;
                    self.check_skips(&range, skipped)?;
                    self.say(&range, origin);
                    return Ok((topic, range, origin));
                }
                Answer::Skipped { range, sinks, run_id } => {
                    self.pass(&range, &sinks, &run_id).await?;
                }
                Answer::Begun { range, version, run_id, open } => {
                    self.check_sinks(&range, &open)?;
                    return Err(self.begun(&range, version, run_id));
                }
                // Another try was quicker.
                Answer::Changed => {}
                other => return Err(TaskError::permanent(format!("unexpected answer {other:?}"))),
            }
        }
    }

    /// Makes rows of records, with these columns.
    fn rows(&self, params: &KafkaConsume) -> Result<Rows, TaskError> {
        let rows = Rows::new(params, &self.ctx.files)?;
        Ok(if self.params.infers_columns() { rows.noting_others() } else { rows })
    }

    /// How far the sinks are, by their own ledgers.
    async fn positions(&self, cluster: &str) -> Result<Vec<SinkPositions>, TaskError> {
        let pipeline = &self.ctx.pipeline;
        let topic = LedgerTopic {
            consume_task: self.ctx.identity.task_id.clone(),
            cluster: cluster.to_owned(),
            topic: self.params.topic.clone(),
        };
        let mut all = Vec::new();
        for sink in &pipeline.sinks {
            let positions: BTreeMap<i32, i64> =
                pipeline.ledgers.read(sink, &topic, &self.ctx).await?;
            all.push(SinkPositions { sink: sink.task_id.clone(), positions });
        }
        Ok(all)
    }

    /// Records a new range, if there is something to read.
    async fn cut(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        newest: i64,
        before: Before,
    ) -> Result<Cut, TaskError> {
        let topic = Arc::clone(topic);
        let (cluster, name) = (topic.cluster.clone(), self.params.topic.clone());
        let limits = Limits::new(&self.params, before.last.as_ref());
        // Where a pipeline of `latest` begins is recorded as a range without records: the next look would
        // find a later end, and leave out what is before it.
        let begins = self.params.start == Start::Latest && !before.has_begun();
        let partitions = self.blocking(move |this| topic.next(this, before, &limits)).await?;
        let is_empty =
            partitions.iter().all(|part| part.from >= part.to && part.from == part.after);
        if is_empty && !begins {
            let positions = partitions.iter().map(|part| (part.partition, part.from));
            return Ok(Cut::Nothing(positions.collect()));
        }
        let sinks = self.ctx.pipeline.sinks.iter().map(|sink| sink.task_id.clone()).collect();
        let cut = Operation::Cut { newest, cluster, topic: name, partitions, sinks };
        self.ask(cut).await.map(|answer| Cut::Range(Box::new(answer)))
    }

    /// Is done with a range without records, which only says where the pipeline begins.
    async fn begin(&self, range: &Range, sinks: Vec<String>) -> Result<(), TaskError> {
        for sink in sinks {
            self.ask(Operation::Commit { range: range.id, sink, rows: None }).await?;
        }
        let topic = &range.topic;
        self.ctx.log(format!("topic {topic} is read from its present end on (start: latest)"));
        Ok(())
    }

    fn say(&self, range: &Range, origin: Origin) {
        let how = match origin {
            Origin::Cut => "new",
            Origin::Own => "the same as an earlier try's",
            Origin::Left => "left by a run that has ended",
        };
        self.ctx.log(format!("{}: {how}", self.reference(range)));
    }

    /// What a dataset carries of a range.
    fn reference(&self, range: &Range) -> RangeRef {
        let identity = &self.ctx.identity;
        let reference = RangeRef::new(range, &identity.dag_id, &identity.task_id);
        RangeRef { connection: self.params.connection.clone(), ..reference }
    }

    /// Refuses a range that was recorded when the topic was another one.
    async fn check_same(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        range: &Range,
    ) -> Result<(), TaskError> {
        let (topic, range) = (Arc::clone(topic), range.clone());
        self.blocking(move |this| topic.check_same(this, &range)).await
    }

    /// Reads all records of a range into a dataset.
    async fn read(
        self: &Arc<Self>,
        topic: Arc<Topic>,
        range: Range,
    ) -> Result<TaskOutput, TaskError> {
        let (dataset, totals) = self.dataset(topic, range.clone(), self.reference(&range)).await?;
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.ask(Operation::Read {
            range: range.id,
            partitions: totals.partitions(&range),
            records: count(totals.records),
            bytes: count(totals.bytes),
            rejected: count(totals.rejected),
            filtered: Some(count(totals.tombstones)),
        })
        .await?;
        self.ctx.log(totals.to_string());
        Ok(self.output(&range, &totals, dataset))
    }

    /// Makes a dataset of all records of a range; it carries `reference`.
    async fn dataset(
        self: &Arc<Self>,
        topic: Arc<Topic>,
        range: Range,
        mut reference: RangeRef,
    ) -> Result<((DatasetRef, DatasetStats), Totals), TaskError> {
        let params = self.with_columns(&topic, &range).await?;
        let first = self.rows(&params)?;
        let writer = self.ctx.datasets.writer(Arc::clone(&first.schema), &self.ctx)?;
        let others = (1..makers()).map(|_| self.rows(&params));
        let makers = iter::once(Ok(first)).chain(others).collect::<Result<_, _>>()?;
        let handle = Handle::current();
        self.blocking(move |this| {
            let reading = Reading::new(this, &topic, &range)?;
            let taking = Taking::new(this, &topic, writer, handle);
            let (writer, totals) = taking.finish(reading, makers)?;
            (reference.records, reference.rejected, reference.filtered) =
                (totals.records, totals.rejected, totals.tombstones);
            Ok((writer.finish(vec![reference.to_provenance()])?, totals))
        })
        .await
    }

    fn output(
        &self,
        range: &Range,
        totals: &Totals,
        dataset: (DatasetRef, DatasetStats),
    ) -> TaskOutput {
        let value = serde_json::json!({
            "topic": range.topic,
            "range": range.sequence,
            "records": totals.records,
            "rows": totals.rows(),
            "rejected": totals.rejected,
            "tombstones": totals.tombstones,
        });
        TaskOutput { value: Some(value), dataset: Some(dataset), rows_rejected: totals.rejected }
    }

    async fn ask(&self, operation: Operation) -> Result<Answer, TaskError> {
        let asking = self.ctx.pipeline.ranges.ask(operation);
        let answer = self.ctx.cancel.run_until_cancelled(asking).await;
        answer.unwrap_or_else(|| Err(TaskError::cancelled()))
    }

    /// Does work that waits for brokers on a thread where that holds up nobody.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, TaskError> + Send + 'static,
    ) -> Result<T, TaskError> {
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&this)).await.map_err(panicked)?
    }
}

fn panicked(error: tokio::task::JoinError) -> TaskError {
    TaskError::permanent(format!("reading from Kafka: {error}"))
}
