//! Operators on Kafka.
//!
//! It owns the way from a connection to librdkafka, and from records to Arrow. What a pipeline has
//! read already it asks the server and the sinks' ledgers, through the try's context.

mod consume;
mod enqueue;
mod export;
mod failure;
mod feed;
mod groups;
mod mock;
mod pool;
mod produce;
mod record;
mod target;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use serde_json::{Value, json};
use subak_task::{Connection, ErasedOperator, Ledgers, TaskError, Topics};

pub use crate::export::LetterTopic;
pub use crate::mock::{MockKafka, WHAT as MOCK_KAFKA};
use crate::target::Target;
pub use crate::topics::{look, marks, topics};

/// Returns the operators of this crate.
#[must_use]
pub fn operators() -> Vec<Arc<dyn ErasedOperator>> {
    vec![Arc::new(consume::KafkaConsumeOperator), Arc::new(produce::KafkaProduceOperator)]
}

/// Returns what puts records into topics, at least once.
#[must_use]
pub fn writers() -> Arc<dyn Topics> {
    Arc::new(feed::KafkaTopics)
}

/// Returns what reads the offsets that this crate's sinks commit.
#[must_use]
pub fn ledgers() -> Arc<dyn Ledgers> {
    Arc::new(produce::KafkaLedgers)
}

/// Connects and counts brokers and topics: "test connection" of the UI and the CLI. Brokers have
/// `patience` to answer.
pub async fn probe(connection: &Connection, patience: Duration) -> Result<Value, TaskError> {
    let target = Target::new("", connection)?;
    let asking = tokio::task::spawn_blocking(move || {
        let consumer = target.consumer("subak.probe")?;
        let metadata = target.metadata(&consumer, None, patience)?;
        let cluster = consumer.client().fetch_cluster_id(patience).map(mock::shown);
        let topics = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
        Ok(json!({
            "server": "Kafka",
            "cluster": cluster,
            "brokers": metadata.brokers().len(),
            "topics": topics.count(),
        }))
    });
    asking.await.map_err(|error| TaskError::permanent(format!("asking brokers: {error}")))?
}
