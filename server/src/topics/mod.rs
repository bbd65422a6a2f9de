//! Topics and their lag, as workers find them: the server has no driver of Kafka. Answers are kept for
//! some seconds and asked for once however many want them, so that pages and scrapers cost brokers
//! nothing.

mod groups;
mod lag;

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use subak_core::topic::{ClusterMarks, TopicHeads, TopicLook};
use subak_proto::{Marks, TopicLook as LookRequest, Topics as HeadsRequest, request::Kind};
use subak_store::Store;
use tracing::warn;

pub(crate) use self::groups::{GroupLag, GroupPartition};
pub(crate) use self::lag::{Lags, PartitionLag, PipelineLag};
use crate::engine::Engine;
use crate::fresh::Fresh;
use crate::gateway::Requests;

/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long an answer is shown again.
const FRESH: Duration = Duration::from_secs(10);
/// Records that a look at a topic shows at most.
pub(crate) const RECORDS_MOST: u32 = 100;

/// An answer, or why there is none.
pub(crate) type Answer<T> = Arc<Result<T, String>>;

/// Asks workers about topics.
#[derive(Clone)]
pub(crate) struct Topics {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    requests: Requests,
    store: Store,
    heads: Fresh<String, Answer<TopicHeads>>,
    looks: Fresh<(String, String, u32), Answer<TopicLook>>,
    marks: Fresh<(String, Vec<String>), Answer<ClusterMarks>>,
    lags: Fresh<(), Arc<Lags>>,
}

impl Topics {
    pub(crate) fn new(store: Store, engine: Engine, requests: Requests) -> Self {
        let inner = Inner {
            engine,
            requests,
            store,
            heads: Fresh::new(FRESH),
            looks: Fresh::new(FRESH),
            marks: Fresh::new(FRESH),
            lags: Fresh::new(FRESH),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The engine, whose sessions are counted.
    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// The topics of a connection.
    pub(crate) async fn heads(&self, connection: &str) -> Answer<TopicHeads> {
        let name = connection.to_owned();
        let kind = Kind::Topics(HeadsRequest { connection: name.clone() });
        self.inner.heads.get(name, || self.ask(connection, kind)).await
    }

    /// A topic with its latest records.
    pub(crate) async fn look(
        &self,
        connection: &str,
        topic: &str,
        records: u32,
    ) -> Answer<TopicLook> {
        let (connection, topic) = (connection.to_owned(), topic.to_owned());
        let kind = Kind::Topic(LookRequest {
            connection: connection.clone(),
            topic: topic.clone(),
            records: records.min(RECORDS_MOST),
        });
        let key = (connection.clone(), topic, records);
        self.inner.looks.get(key, || self.ask(&connection, kind)).await
    }

    /// How far topics go.
    async fn marks(&self, connection: &str, topics: &[String]) -> Answer<ClusterMarks> {
        let kind =
            Kind::Marks(Marks { connection: connection.to_owned(), topics: topics.to_vec() });
        let key = (connection.to_owned(), topics.to_vec());
        self.inner.marks.get(key, || self.ask(connection, kind)).await
    }

    /// Asks a worker. The words of an error hold no secret: the worker hides them.
    async fn ask<T: DeserializeOwned>(&self, id: &str, kind: Kind) -> Answer<T> {
        Arc::new(self.asked(id, kind).await)
    }

    async fn asked<T: DeserializeOwned>(&self, id: &str, kind: Kind) -> Result<T, String> {
        let Inner { engine, requests, .. } = &*self.inner;
        let id = id.to_owned();
        let connections = engine.core.connections([&id]).await.map_err(|error| {
            warn!(connection = id, error = format!("{error:#}"), "a connection could not be read");
            format!("connection `{id}` cannot be read: the server's log says why")
        })?;
        if connections.is_empty() {
            return Err(format!("connection `{id}` does not exist"));
        }
        let answer = requests.ask(engine, kind, connections, PATIENCE).await;
        let answer = answer.map_err(|error| error.to_string())?;
        serde_json::from_value(answer).map_err(|_| {
            "the worker's answer cannot be read: is it of the server's version?".into()
        })
    }
}
