//! From a connection to a client of librdkafka.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext};
use subak_core::connection::{Kafka, fields};
use subak_task::{Connection, ErrorClass, TaskContext, TaskError};

use crate::failure;
use crate::pool::Lent;

/// Between two looks at why a request is not answered.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between a request and the error that tells why it was not answered.
const REASON_WITHIN: Duration = Duration::from_millis(100);

/// For one answer of the brokers.
const PATIENCE: Duration = Duration::from_secs(60);
/// Records that did not arrive, as far as they are remembered.
const FAILED_MOST: usize = 100_000;

/// Brokers, and how they are reached.
#[derive(Clone)]
pub(crate) struct Target {
    id: String,
    connection: Kafka,
}

/// A producer that remembers what its brokers said.
pub(crate) type Writer = Lent<BaseProducer<Heard>>;

/// A consumer that remembers what its brokers said.
pub(crate) type Client = Lent<BaseConsumer<Heard>>;

/// The last error that librdkafka told of by itself: why a request was not answered.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    last: Mutex<Option<(KafkaError, String)>>,
    /// Of a record that no broker has taken: nothing that follows makes it good.
    refused: Mutex<Option<(KafkaError, String)>>,
    /// Records that did not arrive, by what their sender calls them.
    failed: Mutex<Vec<(usize, KafkaError)>>,
}

impl Target {
    /// The connection `id` of a try.
    pub(crate) fn named(id: &str, ctx: &TaskContext) -> Result<Self, TaskError> {
        Self::new(id, ctx.connection(id)?)
    }

    /// Checks a connection; nothing is connected yet.
    pub(crate) fn new(id: &str, connection: &Connection) -> Result<Self, TaskError> {
        let refused = |why: String| TaskError::permanent(format!("connection `{id}`: {why}"));
        let value = serde_json::to_value(connection).map_err(|error| refused(error.to_string()))?;
        let connection = fields(&value).and_then(Kafka::new);
        let connection = connection.map_err(|problem| refused(problem.to_string()))?;
        Ok(Self { id: id.to_owned(), connection })
    }

    /// A consumer that reads what is committed, from where it is told, and commits nothing by itself.
    pub(crate) fn consumer(&self, group: &str) -> Result<Client, TaskError> {
        // Beyond these, librdkafka waits: the memory of a drain is bounded whatever the backlog.
        self.reader(
            group,
            &[
                ("queued.max.messages.kbytes", "16384"),
                ("fetch.max.bytes", "8388608"),
                // What it reads is there already; a longer wait for more would hold up its next question.
                ("fetch.wait.max.ms", "10"),
                // Or it would rest a second each time its queue was full.
                ("fetch.queue.backoff.ms", "5"),
            ],
        )
    }

    /// A consumer that is told of a record as soon as there is one, and asks seldom until then.
    pub(crate) fn watcher(&self, group: &str) -> Result<Client, TaskError> {
        self.reader(
            group,
            &[
                ("fetch.wait.max.ms", "20000"),
                ("queued.max.messages.kbytes", "64"),
                ("fetch.max.bytes", "1048576"),
                ("fetch.message.max.bytes", "65536"),
            ],
        )
    }

    /// A consumer that asks for the offsets of a group, and is not kept: others' groups come and go.
    pub(crate) fn member(&self, group: &str) -> Result<Client, TaskError> {
        Lent::new(&self.reading(group, &[])).map_err(|error| self.misconfigured(error))
    }

    fn reader(&self, group: &str, defaults: &[(&str, &str)]) -> Result<Client, TaskError> {
        let config = self.reading(group, defaults);
        Lent::new(&config).map(Lent::keeping).map_err(|error| self.misconfigured(error))
    }

    fn reading(&self, group: &str, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.config(defaults);
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "error");
        config.set("enable.partition.eof", "true");
        config.set("isolation.level", "read_committed");
        config
    }

    /// A producer whose records count one by one; `idempotent`: a broker that is asked again takes a
    /// record once.
    pub(crate) fn feeder(&self) -> Result<Writer, TaskError> {
        let mut config = self.config(&[
            ("queue.buffering.max.kbytes", "65536"),
            ("linger.ms", "5"),
            ("compression.type", "lz4"),
            ("message.max.bytes", "67108864"),
            ("delivery.timeout.ms", "120000"),
            ("partitioner", "murmur2_random"),
        ]);
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        Lent::new(&config).map_err(|error| self.misconfigured(error))
    }

    /// Sees that a topic exists: librdkafka would only find out after minutes. With `partitions` it is
    /// made if it does not. Blocks.
    pub(crate) fn check_topic(
        &self,
        producer: &Writer,
        name: &str,
        partitions: Option<u32>,
    ) -> Result<(), TaskError> {
        if self.has_topic(producer, name)? {
            return Ok(());
        }
        let Some(partitions) = partitions else {
            return Err(TaskError::permanent(format!(
                "{self} has no topic `{name}`: create it, let `partitions` do so, or correct its name"
            )));
        };
        self.make_topic(name, partitions)?;
        // Brokers tell of it a moment later.
        let until = Instant::now() + PATIENCE;
        while !self.has_topic(producer, name)? {
            if Instant::now() > until {
                return Err(TaskError::transient(format!(
                    "{self}: topic `{name}` does not appear"
                )));
            }
            std::thread::sleep(REASON_WITHIN);
        }
        Ok(())
    }

    fn has_topic(&self, producer: &Writer, name: &str) -> Result<bool, TaskError> {
        let metadata = producer.client().fetch_metadata(Some(name), PATIENCE);
        let metadata = metadata.map_err(|error| self.write_failure(&error, producer))?;
        producer.context().forget();
        Ok(metadata.topics().iter().any(|topic| !topic.partitions().is_empty()))
    }

    /// With as many copies as the brokers have it by default.
    pub(crate) fn make_topic(&self, name: &str, partitions: u32) -> Result<(), TaskError> {
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        let admin: AdminClient<DefaultClientContext> =
            self.config(&[]).create().map_err(|error| self.misconfigured(error))?;
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let made = futures::executor::block_on(admin.create_topics([&topic], &options));
        let made = made.map_err(|error| failure::task_error(self, &error, None))?;
        match made.into_iter().next() {
            // Another task was quicker.
            Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) | None => Ok(()),
            Some(Err((_, code))) => {
                Err(failure::task_error(self, &KafkaError::AdminOp(code), None))
            }
        }
    }

    /// A producer whose records count only once they are committed.
    pub(crate) fn producer(&self, transactional_id: &str) -> Result<Writer, TaskError> {
        Lent::new(&self.transactional(transactional_id)).map_err(|error| self.misconfigured(error))
    }

    /// Ends the transaction of a producer with this id, should one be open: whoever began it cannot
    /// commit it any more. Blocks.
    pub(crate) fn end_transaction(
        &self,
        transactional_id: &str,
        patience: Duration,
    ) -> Result<(), TaskError> {
        // Not one that was kept: it has begun no transaction, and takes no id anew.
        let producer: BaseProducer<Heard> = self
            .transactional(transactional_id)
            .create_with_context(Heard::default())
            .map_err(|error| self.misconfigured(error))?;
        let ended = producer.init_transactions(patience);
        ended.map_err(|error| failure::task_error(self, &error, producer.context().last()))
    }

    fn transactional(&self, id: &str) -> ClientConfig {
        let mut config = self.config(&[
            ("queue.buffering.max.kbytes", "32768"),
            ("linger.ms", "20"),
            ("compression.type", "lz4"),
            // What a topic takes its brokers say; here would only be a guess.
            ("message.max.bytes", "67108864"),
            // As long as brokers allow by default: a transaction lasts as long as its dataset is read.
            // One whose writer died is ended by the next try, or by whoever wants its offsets.
            ("transaction.timeout.ms", "900000"),
            // Keys go where Kafka's own clients send them.
            ("partitioner", "murmur2_random"),
        ]);
        config.set("transactional.id", id);
        config
    }

    /// A producer of records that count at once; a broker keeps each once, whatever it answers.
    pub(crate) fn plain_producer(&self) -> Result<Writer, TaskError> {
        let mut config = self.config(&[
            ("queue.buffering.max.kbytes", "32768"),
            ("message.max.bytes", "4194304"),
            ("partitioner", "murmur2_random"),
        ]);
        config.set("enable.idempotence", "true");
        Lent::new(&config).map_err(|error| self.misconfigured(error))
    }

    /// What all clients have: the defaults given, over them the connection's properties.
    fn config(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "subak");
        // A client that is kept while brokers are away is back soon after them.
        config.set("reconnect.backoff.max.ms", "1000");
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.connection.properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", self.connection.servers.join(","));
        config.set_log_level(RDKafkaLogLevel::Critical);
        config
    }

    fn misconfigured(&self, error: KafkaError) -> TaskError {
        match error {
            // Its words could hold the value, which may be a secret.
            KafkaError::ClientConfig(_, _, name, _) => TaskError::permanent(format!(
                "connection `{}`: librdkafka does not take the value of `{name}`, or knows no such \
                 property",
                self.id
            )),
            error => TaskError::permanent(format!("connection `{}`: {error}", self.id)),
        }
    }

    /// What the user sees of a record that was not taken.
    pub(crate) fn refusal(&self, error: &KafkaError, reason: String) -> TaskError {
        failure::task_error(self, error, Some((error.clone(), reason)))
    }

    /// The same as [`Self::failure`], of a producer.
    pub(crate) fn write_failure(&self, error: &KafkaError, producer: &Writer) -> TaskError {
        if producer.context().last().is_none() {
            producer.poll(REASON_WITHIN);
        }
        failure::task_error(self, error, producer.context().last())
    }

    /// Asks for metadata; what the next try would meet, too, such as a wrong password, is told at once.
    /// Blocks.
    pub(crate) fn metadata(
        &self,
        client: &Client,
        topic: Option<&str>,
        patience: Duration,
    ) -> Result<Metadata, TaskError> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let error = match client.fetch_metadata(topic, left.min(LOOK_EVERY)) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            // The reason is heard while the client is polled.
            let _ = client.poll(REASON_WITHIN);
            let failure = self.failure(&error, client);
            if left <= LOOK_EVERY || failure.class == ErrorClass::Permanent {
                return Err(failure);
            }
        }
    }

    /// What the user sees of an error, with what the brokers said before it.
    pub(crate) fn failure(&self, error: &KafkaError, client: &Client) -> TaskError {
        // What librdkafka tells by itself is heard while it is polled.
        if client.context().last().is_none() {
            let _ = client.poll(REASON_WITHIN);
        }
        failure::task_error(self, error, client.context().last())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = self.connection.servers.join(",");
        match self.id.as_str() {
            "" => write!(f, "Kafka at {servers}"),
            id => write!(f, "connection `{id}` (Kafka at {servers})"),
        }
    }
}

impl Heard {
    /// The last error and its reason.
    pub(crate) fn last(&self) -> Option<(KafkaError, String)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why a record was not taken.
    pub(crate) fn refused(&self) -> Option<(KafkaError, String)> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the records that did not arrive.
    pub(crate) fn take_failed(&self) -> Vec<(usize, KafkaError)> {
        std::mem::take(&mut self.failed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets what was said, once something was answered.
    pub(crate) fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl ClientContext for Heard {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down says less than why the last one is.
        if last.is_none() || error.rdkafka_error_code() != Some(Code::AllBrokersDown) {
            *last = Some((error, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Heard {}

impl ProducerContext for Heard {
    /// What the sender calls the record.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        if let Err((error, record)) = result {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            if failed.len() < FAILED_MOST {
                failed.push((number, error.clone()));
            }
            drop(failed);
            let reason =
                format!("a record of {} bytes was not taken: {error}", record.payload_len());
            ClientContext::error(self, error.clone(), &reason);
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((error.clone(), reason));
        }
    }
}
