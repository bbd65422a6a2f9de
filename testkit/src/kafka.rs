//! A real Kafka broker for tests: one a test process, or one of a test's own that may be killed.

mod counted;
mod secured;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, DefaultConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// For one answer of a broker on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub use counted::Counted;
pub use secured::{PLAIN_USER, SCRAM_USER, SECRET, WRONG_SECRET};

static SHARED: OnceCell<Broker> = OnceCell::const_new();
static TOPICS: AtomicU32 = AtomicU32::new(0);

/// A broker on loopback.
#[derive(Debug)]
pub struct Broker {
    bootstrap: String,
    own: Option<Own>,
    /// What its clients need besides.
    settings: Vec<(String, String)>,
}

/// A broker that this process started.
#[derive(Debug)]
struct Own {
    port: u16,
    folder: TempDir,
    /// Ends the broker when this process does, however that happens.
    guard: Option<Child>,
    /// What the script is told.
    env: Vec<(&'static str, String)>,
}

/// A record to produce.
#[derive(Debug, Clone, Default)]
pub struct NewRecord {
    /// `None`: by the key, or anywhere.
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    /// `None`: a tombstone.
    pub value: Option<Vec<u8>>,
    /// Milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    /// Names and values, in order; a name may come again.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// The broker of this test process: that of `KAFKA_BOOTSTRAP`, or one that is started.
pub async fn broker() -> anyhow::Result<&'static Broker> {
    SHARED
        .get_or_try_init(async || match std::env::var("KAFKA_BOOTSTRAP") {
            Ok(bootstrap) => Ok(Broker { bootstrap, own: None, settings: Vec::new() }),
            Err(_) => Broker::start().await,
        })
        .await
}

/// A name that no other topic has.
#[must_use]
pub fn topic_name(about: &str) -> String {
    format!("{about}-{}-{}", std::process::id(), TOPICS.fetch_add(1, Ordering::Relaxed))
}

impl Broker {
    /// Starts one of a test's own.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(tempfile::tempdir()?, Vec::new(), Vec::new()).await
    }

    async fn start_with(
        folder: TempDir,
        env: Vec<(&'static str, String)>,
        settings: Vec<(String, String)>,
    ) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let own = Own { port, folder, guard: None, env };
        let bootstrap = format!("127.0.0.1:{port}");
        let mut broker = Self { bootstrap, own: Some(own), settings };
        broker.restart().await?;
        Ok(broker)
    }

    /// `host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Serves again what it served before a kill.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let own = self.own.as_mut().context("the broker is not this process's own")?;
        let mut start = own.script("start");
        let output = tokio::task::spawn_blocking(move || start.output()).await??;
        ensure!(
            output.status.success(),
            "starting Kafka: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        own.guard()
    }

    /// Kills it with KILL.
    pub fn kill(&self) -> anyhow::Result<()> {
        let own = self.own.as_ref().context("the broker is not this process's own")?;
        let pid = std::fs::read_to_string(own.folder.path().join("kafka.pid"))?;
        let status = Command::new("kill").args(["-9", pid.trim()]).status()?;
        ensure!(status.success(), "kill -9 {pid}");
        // The pid stays taken until the process is gone.
        let gone = Command::new("tail").args(["-f", "--pid", pid.trim(), "/dev/null"]).status()?;
        ensure!(gone.success(), "waiting for the end of {pid}");
        Ok(())
    }

    /// Makes a topic of a name that no other has, and returns it.
    pub async fn topic(
        &self,
        about: &str,
        partitions: i32,
        config: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let name = topic_name(about);
        self.topic_create(&name, partitions, config).await?;
        Ok(name)
    }

    /// Makes a topic.
    pub async fn topic_create(
        &self,
        name: &str,
        partitions: i32,
        config: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        // One that was just removed may still be there for a moment.
        for _ in 0..600 {
            let made = self.admin()?.create_topics([&topic], &options()).await?;
            match made.into_iter().next() {
                Some(Ok(_)) => return self.topic_appears(name, partitions).await,
                Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                other => anyhow::bail!("making topic {name}: {other:?}"),
            }
        }
        anyhow::bail!("topic {name} exists already")
    }

    /// Removes a topic.
    pub async fn topic_remove(&self, name: &str) -> anyhow::Result<()> {
        let removed = self.admin()?.delete_topics(&[name], &options()).await?;
        ensure!(matches!(removed.as_slice(), [Ok(_)]), "removing topic {name}: {removed:?}");
        Ok(())
    }

    /// Gives a topic more partitions.
    pub async fn partitions_add(&self, topic: &str, all: usize) -> anyhow::Result<()> {
        let more = NewPartitions::new(topic, all);
        let made = self.admin()?.create_partitions([&more], &options()).await?;
        ensure!(matches!(made.as_slice(), [Ok(_)]), "adding partitions to {topic}: {made:?}");
        self.topic_appears(topic, i32::try_from(all)?).await
    }

    /// Drops the records of a partition before `offset`, as retention does.
    pub async fn expire(&self, topic: &str, partition: i32, offset: i64) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        let dropped = self.admin()?.delete_records(&list, &options()).await?;
        dropped.elements().iter().try_for_each(|element| element.error())?;
        Ok(())
    }

    /// Produces records and waits until the broker has them all.
    pub async fn produce(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = NewRecord> + Send + 'static,
    ) -> anyhow::Result<()> {
        self.produce_with(topic, &[], records, false).await
    }

    /// Produces records in a transaction, which is then committed or aborted.
    pub async fn produce_in_transaction(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = NewRecord> + Send + 'static,
        commits: bool,
    ) -> anyhow::Result<()> {
        let id = topic_name("test");
        let settings = [("transactional.id", id.as_str())];
        self.produce_with(topic, &settings, records, !commits).await
    }

    /// Begins anew under a transactional id, as another worker would: whoever had it cannot commit any
    /// more.
    pub async fn fence(&self, transactional_id: &str) -> anyhow::Result<()> {
        let mut config = self.config();
        config.set("transactional.id", transactional_id);
        let fencing = move || -> anyhow::Result<()> {
            BaseProducer::<DefaultProducerContext>::from_config(&config)?
                .init_transactions(PATIENCE)?;
            Ok(())
        };
        tokio::task::spawn_blocking(fencing).await?
    }

    /// Moves a group's offset within a transaction that never ends, as a writer does that is killed.
    pub async fn abandon_offset(
        &self,
        transactional_id: &str,
        group: &str,
        topic: &str,
    ) -> anyhow::Result<()> {
        let (mut config, mut member) = (self.config(), self.config());
        config.set("transactional.id", transactional_id);
        config.set("transaction.timeout.ms", "900000");
        member.set("group.id", group);
        let topic = topic.to_owned();
        let abandoning = move || -> anyhow::Result<()> {
            let producer = BaseProducer::<DefaultProducerContext>::from_config(&config)?;
            let member = BaseConsumer::<DefaultConsumerContext>::from_config(&member)?;
            producer.init_transactions(PATIENCE)?;
            producer.begin_transaction()?;
            let mut offsets = TopicPartitionList::new();
            offsets.add_partition_offset(&topic, 0, Offset::Offset(1))?;
            let member = member.group_metadata().context("a group without a name")?;
            producer.send_offsets_to_transaction(&offsets, &member, PATIENCE)?;
            Ok(())
        };
        tokio::task::spawn_blocking(abandoning).await?
    }

    async fn produce_with(
        &self,
        topic: &str,
        settings: &[(&str, &str)],
        records: impl IntoIterator<Item = NewRecord> + Send + 'static,
        aborts: bool,
    ) -> anyhow::Result<()> {
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("linger.ms", "20");
        config.set("message.max.bytes", "4000000");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let is_transaction = !settings.is_empty();
        let topic = topic.to_owned();
        let producing = move || -> anyhow::Result<()> {
            let producer = BaseProducer::from_config(&config)?;
            if is_transaction {
                producer.init_transactions(PATIENCE)?;
                producer.begin_transaction()?;
            }
            for record in records {
                send(&producer, &topic, &record)?;
            }
            producer.flush(PATIENCE)?;
            match (is_transaction, aborts) {
                (false, _) => {}
                (true, false) => producer.commit_transaction(PATIENCE)?,
                (true, true) => producer.abort_transaction(PATIENCE)?,
            }
            Ok(())
        };
        tokio::task::spawn_blocking(producing).await?
    }

    /// Commits an offset of a partition for a consumer group, as a reader of somebody else's does.
    pub async fn commit(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> anyhow::Result<()> {
        let mut config = self.config();
        config.set("group.id", group).set("enable.auto.commit", "false");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        let committing = move || -> anyhow::Result<()> {
            let consumer = BaseConsumer::<DefaultConsumerContext>::from_config(&config)?;
            Ok(consumer.commit(&list, CommitMode::Sync)?)
        };
        tokio::task::spawn_blocking(committing).await?
    }

    /// Every record of a topic that is there now, as key and value, partition by partition.
    pub async fn records(&self, topic: &str) -> anyhow::Result<Vec<(String, String)>> {
        let mut config = self.config();
        config.set("group.id", "test").set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "true");
        let topic = topic.to_owned();
        tokio::task::spawn_blocking(move || {
            let consumer = BaseConsumer::<DefaultConsumerContext>::from_config(&config)?;
            let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE)?;
            let mut found = Vec::new();
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                let mut list = TopicPartitionList::new();
                list.add_partition_offset(&topic, partition.id(), Offset::Beginning)?;
                consumer.assign(&list)?;
                // The last offset may be no record, but the end of a transaction.
                loop {
                    let message = match consumer.poll(PATIENCE).context("the broker is silent")? {
                        Err(KafkaError::PartitionEOF(_)) => break,
                        polled => polled?,
                    };
                    let text = |bytes: Option<&[u8]>| {
                        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
                    };
                    found.push((text(message.key()), text(message.payload())));
                }
            }
            Ok(found)
        })
        .await?
    }

    /// The offsets that a consumer group has committed of a topic, by partition.
    pub async fn committed(&self, group: &str, topic: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
        let mut config = self.config();
        config.set("group.id", group).set("enable.auto.commit", "false");
        let topic = topic.to_owned();
        tokio::task::spawn_blocking(move || {
            let consumer = BaseConsumer::<DefaultConsumerContext>::from_config(&config)?;
            let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE)?;
            let mut wanted = TopicPartitionList::new();
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                wanted.add_partition(&topic, partition.id());
            }
            let committed = consumer.committed_offsets(wanted, PATIENCE)?;
            let elements = committed.elements();
            let offsets = elements.iter().filter_map(|element| match element.offset() {
                Offset::Offset(offset) => Some((element.partition(), offset)),
                _ => None,
            });
            Ok(offsets.collect())
        })
        .await?
    }

    /// The broker tells of a topic a moment after it was made.
    async fn topic_appears(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        let (admin, name) = (self.admin()?, name.to_owned());
        tokio::task::spawn_blocking(move || {
            for _ in 0..600 {
                let metadata = admin.inner().fetch_metadata(Some(&name), PATIENCE)?;
                let found = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
                let led = metadata.topics().iter().flat_map(|topic| topic.partitions());
                if i32::try_from(found)? == partitions && led.clone().all(|it| it.leader() >= 0) {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            anyhow::bail!("topic {name} does not appear")
        })
        .await?
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
    }

    fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        Ok(AdminClient::from_config(&self.config())?)
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

fn send(producer: &BaseProducer, topic: &str, record: &NewRecord) -> anyhow::Result<()> {
    loop {
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
        message.partition = record.partition;
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        message.timestamp = record.timestamp;
        message.headers = headers(record);
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                producer.poll(Duration::from_millis(50));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

fn headers(record: &NewRecord) -> Option<OwnedHeaders> {
    let add = |headers: OwnedHeaders, (key, value): &(String, Option<Vec<u8>>)| {
        headers.insert(Header { key, value: value.as_deref() })
    };
    let size = record.headers.len();
    (size > 0).then(|| record.headers.iter().fold(OwnedHeaders::new_with_capacity(size), add))
}

impl Own {
    fn script(&self, verb: &str) -> Command {
        let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut command = Command::new("bash");
        command.arg(root.join("scripts/kafka.sh")).arg(verb).arg(self.port.to_string());
        command.arg(self.folder.path()).env("KAFKA_HEAP", "256m").stdin(Stdio::null());
        // It lives too shortly for what the second compiler would make of it.
        command.env("KAFKA_JAVA", "-XX:TieredStopAtLevel=1");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A process that waits for the end of this one, and then ends the broker.
    fn guard(&mut self) -> anyhow::Result<()> {
        if self.guard.is_some() {
            return Ok(());
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kafka.sh");
        let mut guard = Command::new("setsid");
        guard.args(["bash", "-c", r#"cat >/dev/null; bash "$0" stop "$1" "$2"; rm -rf "$2""#]);
        guard.arg(script).arg(self.port.to_string()).arg(self.folder.path());
        // Its folder goes with it.
        guard.env("KAFKA_SIGNAL", "KILL");
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.guard = Some(guard.spawn().context("starting the broker's guard")?);
        Ok(())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            // Its folder is removed only once nothing writes into it.
            let _ = guard.wait();
        }
    }
}
