//! What a server asks of a worker besides tasks: it has no drivers of its own.

use std::time::Duration;

use serde_json::Value;
use subak_proto::{Request, RequestReply, request::Kind};
use subak_task::{Connection, FileAccess, TaskError};

use crate::log::Patterns;

/// Where the server names no limit.
const LIMIT: Duration = Duration::from_secs(30);

/// What brokers have to answer a probe: less than the request, so that their reason is heard.
const PROBE: Duration = Duration::from_secs(8);

/// Answers one request within its time. What it shows is for people: secrets of the connections that
/// came along are hidden.
pub(crate) async fn answer(request: Request, readable: &FileAccess) -> RequestReply {
    let id = request.id;
    let limit = Some(request.timeout_micros).filter(|micros| *micros > 0);
    let limit = limit.map_or(LIMIT, Duration::from_micros);
    let patterns = secrets(&request);
    let answer = tokio::time::timeout(limit, work(request, readable))
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

async fn work(request: Request, readable: &FileAccess) -> Result<Value, TaskError> {
    match &request.kind {
        Some(Kind::Probe(probe)) => {
            let connection = connection(&request, &probe.connection)?;
            match connection.conn_type.as_str() {
                "kafka" => subak_tasks_kafka::probe(&connection, PROBE).await,
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
        None => Err(TaskError::permanent(
            "this worker does not know the request: start one of the server's version",
        )),
    }
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
