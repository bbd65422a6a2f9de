//! Topics that tasks feed, at least once.

use async_trait::async_trait;

use crate::{TaskContext, TaskError};

/// A record on its way to a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Decides about its partition; `None`: any.
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
}

/// A record that the topic does not take, whoever sends it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub record: Outgoing,
    /// In words.
    pub why: String,
}

/// Opens topics; the worker injects the one that knows brokers.
#[async_trait]
pub trait Topics: Send + Sync {
    /// Opens a topic of a Kafka connection that the task names. It must exist, or is made with so many
    /// partitions.
    async fn open(
        &self,
        connection: &str,
        topic: &str,
        partitions: Option<u32>,
        ctx: &TaskContext,
    ) -> Result<Box<dyn TopicWriter>, TaskError>;
}

/// An open topic.
#[async_trait]
pub trait TopicWriter: Send + Sync {
    /// Sends records, and returns once the brokers have all of them, but for those that are returned.
    async fn send(&mut self, records: Vec<Outgoing>) -> Result<Vec<Refused>, TaskError>;
}

/// Where no brokers are known.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoTopics;

#[async_trait]
impl Topics for NoTopics {
    async fn open(
        &self,
        connection: &str,
        _: &str,
        _: Option<u32>,
        _: &TaskContext,
    ) -> Result<Box<dyn TopicWriter>, TaskError> {
        Err(TaskError::permanent(format!("connection `{connection}` cannot be used here")))
    }
}
