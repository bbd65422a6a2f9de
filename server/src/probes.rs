//! Whether connections work, as a worker finds it: the server has no drivers of its own, but for telling
//! people of ends.

use std::time::Duration;

use serde_json::Value;
use subak_core::connection::place;
use subak_proto::{Probe, request::Kind};
use subak_store::StoreError;
use tracing::warn;

use crate::connections;
use crate::engine::Engine;
use crate::gateway::{RequestError, Requests};
use crate::notices;

/// How long a worker may take to answer; a page is given up soon after.
const PATIENCE: Duration = Duration::from_secs(15);

/// Tests connections.
#[derive(Clone)]
pub(crate) struct Probes {
    engine: Engine,
    requests: Requests,
}

/// What a test came to. Its words hold no secret: the worker hides them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tested {
    pub(crate) works: bool,
    pub(crate) message: String,
}

/// A connection without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) conn_type: String,
    /// Server, port and database.
    pub(crate) place: String,
    pub(crate) description: String,
    pub(crate) is_of_environment: bool,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) connections: Vec<Known>,
    /// Why places are missing.
    pub(crate) problem: Option<String>,
}

impl Probes {
    /// Lists the connections, by id; those of the environment hide kept ones of the same name.
    pub(crate) async fn list(&self) -> Result<List, StoreError> {
        let mut list = self.heads().await?;
        let ids: Vec<&String> = list.connections.iter().map(|it| &it.id).collect();
        match self.engine.core.connections(ids).await {
            Ok(found) => {
                for it in &mut list.connections {
                    let value = found.iter().find(|known| known.id == it.id);
                    let value =
                        value.and_then(|it| serde_json::from_slice::<Value>(&it.value).ok());
                    it.place = value.as_ref().map(place).unwrap_or_default();
                }
            }
            // One that cannot be decrypted; the message names it.
            Err(error) => list.problem = Some(format!("{error:#}")),
        }
        Ok(list)
    }

    /// The ids of the connections of a type.
    pub(crate) async fn of_type(&self, conn_type: &str) -> Result<Vec<String>, StoreError> {
        let all = self.heads().await?.connections.into_iter();
        Ok(all.filter(|it| it.conn_type == conn_type).map(|it| it.id).collect())
    }

    /// The type of a connection; `None`: there is none.
    pub(crate) async fn conn_type(&self, id: &str) -> Result<Option<String>, StoreError> {
        let all = self.heads().await?.connections.into_iter();
        Ok(all.into_iter().find(|it| it.id == id).map(|it| it.conn_type))
    }

    /// What is known without decrypting anything.
    async fn heads(&self) -> Result<List, StoreError> {
        let kept = self.engine.core.store.connections().await?;
        let of_environment = connections::of_environment();
        let mut list: Vec<Known> = kept
            .into_iter()
            .filter(|it| !of_environment.contains(&it.conn_id.to_lowercase()))
            .map(|it| Known {
                id: it.conn_id,
                conn_type: it.conn_type,
                place: String::new(),
                description: it.description.unwrap_or_default(),
                is_of_environment: false,
            })
            .collect();
        list.extend(of_environment.into_iter().map(|id| {
            let value = connections::from_environment(&id).ok().flatten().unwrap_or_default();
            let conn_type = value["conn_type"].as_str().unwrap_or_default();
            Known {
                conn_type: conn_type.replace("postgresql", "postgres"),
                id,
                place: String::new(),
                description: String::new(),
                is_of_environment: true,
            }
        }));
        list.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(List { connections: list, problem: None })
    }

    pub(crate) fn new(engine: Engine, requests: Requests) -> Self {
        Self { engine, requests }
    }

    /// Lets a worker test a connection, or the server itself one by which people are told; `None` if there
    /// is none of this id. An error means that no worker could be asked.
    pub(crate) async fn test(&self, id: &str) -> Result<Option<Tested>, RequestError> {
        let id = id.to_owned();
        let connections = match self.engine.core.connections([&id]).await {
            Ok(connections) => connections,
            Err(error) => {
                let message = format!("{error:#}");
                warn!(connection = id, error = message, "a connection could not be read");
                return Ok(Some(Tested { works: false, message }));
            }
        };
        if connections.is_empty() {
            return Ok(None);
        }
        let value = serde_json::from_slice::<Value>(&connections[0].value).unwrap_or_default();
        if value["conn_type"].as_str().is_some_and(notices::tells) {
            return Ok(Some(match notices::probe(&value, PATIENCE).await {
                Ok(found) => Tested { works: true, message: in_words(&found) },
                Err(error) => Tested { works: false, message: format!("{error:#}") },
            }));
        }
        let kind = Kind::Probe(Probe { connection: id });
        match self.requests.ask(&self.engine, kind, connections, PATIENCE).await {
            Ok(found) => Ok(Some(Tested { works: true, message: in_words(&found) })),
            Err(error @ (RequestError::Refused(_) | RequestError::Timeout(_))) => {
                Ok(Some(Tested { works: false, message: error.to_string() }))
            }
            Err(error) => Err(error),
        }
    }
}

/// What a worker found at the other end, as `PostgreSQL: database users, user etl, version 15.14`.
#[must_use]
pub fn in_words(found: &Value) -> String {
    let fields = found.as_object().into_iter().flatten().filter(|(name, _)| *name != "server");
    let words: Vec<String> = fields
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name} {text}"),
            Value::Null => format!("{name} unknown"),
            other => format!("{name} {other}"),
        })
        .collect();
    match found["server"].as_str() {
        Some(server) => format!("{server}: {}", words.join(", ")),
        None => words.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_found_is_told_in_words() {
        let found = json!({"server": "Kafka", "brokers": 3, "cluster": null, "topics": 12});
        assert_eq!(in_words(&found), "Kafka: brokers 3, cluster unknown, topics 12");
    }
}
