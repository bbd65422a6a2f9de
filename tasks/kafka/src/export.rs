//! Dead letters into a topic, at least once.

use std::time::Duration;

use rdkafka::producer::{BaseRecord, Producer as _};
use subak_task::{Connection, ExportedLetter, TaskError};

use crate::enqueue::{NotTaken, enqueue};
use crate::target::{Target, Writer};

/// For the brokers to take what is sent.
const PATIENCE: Duration = Duration::from_secs(60);

/// A topic that takes dead letters: each a JSON object, under the key of its pipeline and its place.
pub struct LetterTopic {
    target: Target,
    topic: String,
    producer: Writer,
}

impl LetterTopic {
    /// Connects and looks for the topic. Blocks.
    pub fn open(id: &str, connection: &Connection, topic: &str) -> Result<Self, TaskError> {
        let target = Target::new(id, connection)?;
        let producer = target.plain_producer()?;
        let metadata = producer.client().fetch_metadata(Some(topic), PATIENCE);
        let metadata = metadata.map_err(|error| target.write_failure(&error, &producer))?;
        producer.context().forget();
        if metadata.topics().iter().all(|topic| topic.partitions().is_empty()) {
            return Err(TaskError::permanent(format!(
                "{target} has no topic `{topic}`: create it, or correct its name"
            )));
        }
        Ok(Self { target, topic: topic.to_owned(), producer })
    }

    /// Writes dead letters, and waits until the brokers have them. Blocks.
    pub fn put(&mut self, letters: &[ExportedLetter]) -> Result<(), TaskError> {
        for letter in letters {
            let (key, value) = (letter.key().to_string(), letter.value.to_string());
            let mut next = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.topic, 0);
            (next.key, next.payload) = (Some(key.as_bytes()), Some(value.as_bytes()));
            // Whoever exports ends the process.
            enqueue(&self.producer, next, || false).map_err(|why| match why {
                NotTaken::Cancelled => TaskError::cancelled(),
                NotTaken::Refused(error) => self.target.write_failure(&error, &self.producer),
            })?;
        }
        let flushed = self.producer.flush(PATIENCE);
        flushed.map_err(|error| self.target.write_failure(&error, &self.producer))?;
        match self.producer.context().refused() {
            None => Ok(()),
            Some((error, reason)) => Err(self.target.refusal(&error, reason)),
        }
    }
}
