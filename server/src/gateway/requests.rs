//! What the server asks of workers besides tasks: it has no drivers of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use subak_proto::{self as proto, request, server_message};
use tokio::sync::oneshot;

use crate::engine::Engine;

/// Requests that wait for their worker's answer.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    next: Arc<AtomicU64>,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<proto::RequestReply>>>>,
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No worker is connected to this server.
    #[error("no worker is connected: start one with `subak worker`")]
    NoWorker,
    #[error("the worker did not answer within {0:?}")]
    Timeout(Duration),
    /// The worker's own words.
    #[error("{0}")]
    Refused(String),
}

impl Requests {
    /// Asks any connected worker and waits for its answer.
    pub async fn ask(
        &self,
        engine: &Engine,
        kind: request::Kind,
        connections: Vec<proto::Connection>,
        timeout: Duration,
    ) -> Result<Value, RequestError> {
        let sessions = &engine.core.sessions;
        let session = sessions.any().ok_or(RequestError::NoWorker)?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        self.lock().insert(id, reply);
        let request = proto::Request {
            id,
            connections,
            timeout_micros: u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX),
            kind: Some(kind),
        };
        sessions.send(session, server_message::Message::Request(request));
        let answer = tokio::time::timeout(timeout, answer).await;
        self.lock().remove(&id);
        let reply = answer.ok().and_then(Result::ok).ok_or(RequestError::Timeout(timeout))?;
        if !reply.error.is_empty() {
            return Err(RequestError::Refused(reply.error));
        }
        Ok(serde_json::from_slice(&reply.value).unwrap_or(Value::Null))
    }

    /// A worker answered.
    pub(crate) fn answer(&self, reply: proto::RequestReply) {
        if let Some(waiting) = self.lock().remove(&reply.id) {
            // An error means that nobody waits any more.
            let _ = waiting.send(reply);
        }
    }

    fn lock(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<proto::RequestReply>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
