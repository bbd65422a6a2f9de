//! What a server asks of a worker besides tasks: it has no drivers of its own.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use subak_proto::{Request, RequestReply, request::Kind};
use subak_task::{Connection, FileAccess, TaskError};

use crate::log::Patterns;

/// Where the server names no limit.
const LIMIT: Duration = Duration::from_secs(30);

/// What brokers and web servers have to answer: less than the request, so that their reason is heard.
const ANSWER: Duration = Duration::from_secs(8);

/// Tests a connection, given as its JSON, from here and without a server. What is said holds none of its
/// secrets.
pub async fn probe(id: &str, value: &Value, patience: Duration) -> Result<Value, String> {
    let kind = Kind::Probe(subak_proto::Probe { connection: id.to_owned() });
    ask_here(kind, id, value, patience).await
}

/// Lists the topics of a connection, from here: see [`subak_core::topic::TopicHeads`].
pub async fn topics(id: &str, value: &Value, patience: Duration) -> Result<Value, String> {
    let kind = Kind::Topics(subak_proto::Topics { connection: id.to_owned() });
    ask_here(kind, id, value, patience).await
}

/// Looks at a topic, from here: see [`subak_core::topic::TopicLook`].
pub async fn topic(
    id: &str,
    value: &Value,
    topic: &str,
    records: u32,
    patience: Duration,
) -> Result<Value, String> {
    let (connection, topic) = (id.to_owned(), topic.to_owned());
    let kind = Kind::Topic(subak_proto::TopicLook { connection, topic, records });
    ask_here(kind, id, value, patience).await
}

async fn ask_here(
    kind: Kind,
    id: &str,
    value: &Value,
    patience: Duration,
) -> Result<Value, String> {
    let request = Request {
        id: 0,
        connections: vec![subak_proto::Connection {
            id: id.to_owned(),
            value: value.to_string().into_bytes(),
        }],
        timeout_micros: u64::try_from(patience.as_micros()).unwrap_or(u64::MAX),
        kind: Some(kind),
    };
    let reply = answer(request, &FileAccess::everywhere()).await;
    match reply.error.is_empty() {
        true => serde_json::from_slice(&reply.value).map_err(|error| error.to_string()),
        false => Err(reply.error),
    }
}

/// Answers one request within its time. What it shows is for people: secrets of the connections that
/// came along are hidden.
pub(crate) async fn answer(request: Request, readable: &FileAccess) -> RequestReply {
    let id = request.id;
    let limit = Some(request.timeout_micros).filter(|micros| *micros > 0);
    let limit = limit.map_or(LIMIT, Duration::from_micros);
    let patterns = secrets(&request);
    let answer = tokio::time::timeout(limit, work(request, limit, readable))
        .await
        .unwrap_or_else(|_| Err(TaskError::transient(format!("no answer within {limit:?}"))));
    match answer {
        Ok(value) => {
            let value = patterns.without_secrets(value).to_string().into();
            RequestReply { id, error: String::new(), value }
        }
        Err(error) => RequestReply { id, error: patterns.mask(&error.message), value: Vec::new() },
    }
}

async fn work(
    request: Request,
    limit: Duration,
    readable: &FileAccess,
) -> Result<Value, TaskError> {
    let patience = ANSWER.min(limit * 4 / 5);
    match &request.kind {
        Some(Kind::Probe(probe)) => {
            let connection = connection(&request, &probe.connection)?;
            match connection.conn_type.as_str() {
                "http" => subak_tasks_http::probe(&connection, patience).await,
                "kafka" => subak_tasks_kafka::probe(&connection, patience).await,
                _ => subak_tasks_sql::probe(&connection).await,
            }
        }
        Some(Kind::Preview(preview)) => {
            let dataset = serde_json::from_slice(&preview.dataset).map_err(|error| {
                TaskError::permanent(format!("the dataset's reference is broken: {error}"))
            })?;
            let rows = usize::try_from(preview.rows).unwrap_or(usize::MAX);
            subak_tasks_data::preview(&dataset, rows, readable).await.map(Value::from)
        }
        Some(Kind::Topics(asked)) => {
            let connection = connection(&request, &asked.connection)?;
            json(subak_tasks_kafka::topics(&connection, patience).await?)
        }
        Some(Kind::Marks(asked)) => {
            let connection = connection(&request, &asked.connection)?;
            let topics = asked.topics.clone();
            json(subak_tasks_kafka::marks(&connection, topics, patience).await?)
        }
        Some(Kind::Topic(asked)) => {
            let connection = connection(&request, &asked.connection)?;
            let records = usize::try_from(asked.records).unwrap_or(usize::MAX);
            let topic = asked.topic.clone();
            json(subak_tasks_kafka::look(&connection, topic, records, patience).await?)
        }
        None => Err(TaskError::permanent(
            "this worker does not know the request: start one of the server's version",
        )),
    }
}

fn json(answer: impl Serialize) -> Result<Value, TaskError> {
    serde_json::to_value(answer).map_err(|error| TaskError::permanent(error.to_string()))
}

fn connection(request: &Request, id: &str) -> Result<Connection, TaskError> {
    let found = request.connections.iter().find(|connection| connection.id == id);
    let found = found.ok_or_else(|| TaskError::permanent(format!("no connection `{id}`")))?;
    // The parser's own words could quote the secret.
    serde_json::from_slice(&found.value)
        .map_err(|_| TaskError::permanent(format!("connection `{id}` cannot be read")))
}

fn secrets(request: &Request) -> Patterns {
    let connections: Vec<Connection> = request
        .connections
        .iter()
        .filter_map(|connection| serde_json::from_slice(&connection.value).ok())
        .collect();
    Patterns::new(connections.iter().flat_map(Connection::secrets))
}
