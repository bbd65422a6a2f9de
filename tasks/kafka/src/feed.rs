//! Topics that tasks feed: each record at least once, and none in silence.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseRecord, Producer as _};
use subak_task::{Outgoing, Refused, TaskContext, TaskError, TopicWriter, Topics};
use tokio_util::sync::CancellationToken;

use crate::enqueue::{NotTaken, enqueue};
use crate::target::{Target, Writer};

/// Between two looks at what the brokers have.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Opens topics.
pub(crate) struct KafkaTopics;

#[async_trait]
impl Topics for KafkaTopics {
    async fn open(
        &self,
        connection: &str,
        topic: &str,
        partitions: Option<u32>,
        ctx: &TaskContext,
    ) -> Result<Box<dyn TopicWriter>, TaskError> {
        let target = Target::named(connection, ctx)?;
        let (topic, cancel) = (topic.to_owned(), ctx.cancel.clone());
        let topic = blocking(move || {
            let producer = target.feeder()?;
            target.check_topic(&producer, &topic, partitions)?;
            Ok(Topic { target, topic, producer, cancel })
        });
        Ok(Box::new(Feed(Arc::new(topic.await?))))
    }
}

/// A topic, shared with the thread that waits for its brokers.
struct Feed(Arc<Topic>);

struct Topic {
    target: Target,
    topic: String,
    producer: Writer,
    cancel: CancellationToken,
}

#[async_trait]
impl TopicWriter for Feed {
    async fn send(&mut self, records: Vec<Outgoing>) -> Result<Vec<Refused>, TaskError> {
        let topic = Arc::clone(&self.0);
        blocking(move || topic.send(records)).await
    }
}

impl Topic {
    /// Sends all and waits for the brokers. Blocks.
    fn send(&self, mut records: Vec<Outgoing>) -> Result<Vec<Refused>, TaskError> {
        let mut failed = Vec::new();
        for (number, record) in records.iter().enumerate() {
            failed.extend(self.hand_over(number, record)?.map(|error| (number, error)));
        }
        while self.producer.in_flight_count() > 0 {
            if self.cancel.is_cancelled() {
                return Err(TaskError::cancelled());
            }
            self.producer.poll(LOOK_EVERY);
        }
        failed.extend(self.producer.context().take_failed());
        let mut refused = Vec::new();
        for (number, error) in failed {
            if !is_the_records_fault(&error) {
                return Err(self.target.write_failure(&error, &self.producer));
            }
            let record = std::mem::take(&mut records[number]);
            let why = format!("topic {} does not take it: {error}", self.topic);
            refused.push(Refused { record, why });
        }
        self.producer.context().forget();
        Ok(refused)
    }

    /// Hands a record to librdkafka; returns why it does not take it.
    fn hand_over(&self, number: usize, record: &Outgoing) -> Result<Option<KafkaError>, TaskError> {
        let mut next = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.topic, number);
        (next.key, next.payload) = (record.key.as_deref(), Some(record.value.as_slice()));
        match enqueue(&self.producer, next, || self.cancel.is_cancelled()) {
            Ok(()) => Ok(None),
            Err(NotTaken::Cancelled) => Err(TaskError::cancelled()),
            Err(NotTaken::Refused(error)) if is_the_records_fault(&error) => Ok(Some(error)),
            Err(NotTaken::Refused(error)) => Err(self.target.write_failure(&error, &self.producer)),
        }
    }
}

/// Whether the same record would fail again, and another one would not.
fn is_the_records_fault(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::MessageSizeTooLarge | Code::InvalidRecord | Code::InvalidMessageSize)
    )
}

/// Does work that waits for brokers on a thread where that holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TaskError> + Send + 'static,
) -> Result<T, TaskError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| TaskError::permanent(format!("writing to Kafka: {error}")))?
}
