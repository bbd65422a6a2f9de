//! What the server asks of workers besides tasks: it has no drivers of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use subak_proto::{self as proto, request, server_message};
use tokio::sync::oneshot;

use crate::engine::Engine;

/// Questions that may wait for workers at once: each is a request of somebody who waits too.
const WAITING_MOST: usize = 256;

/// Requests that wait for their worker's answer.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    next: Arc<AtomicU64>,
    waiting: Arc<Mutex<HashMap<u64, Waiting>>>,
}

/// Who was asked, and who waits for the answer.
#[derive(Debug)]
struct Waiting {
    session: i64,
    reply: oneshot::Sender<proto::RequestReply>,
}

/// Takes a question back when nobody waits for its answer any more, however that came.
struct Asked<'r> {
    requests: &'r Requests,
    id: u64,
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No worker is connected to this server.
    #[error("no worker is connected: start one with `subak worker`")]
    NoWorker,
    #[error("too many questions wait for workers: ask again in a moment")]
    Busy,
    #[error("the worker left before it answered: ask again")]
    Gone,
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
        let (asked, answer) = self.expect(session)?;
        let request = proto::Request {
            id: asked.id,
            connections,
            timeout_micros: u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX),
            kind: Some(kind),
        };
        sessions.send(session, server_message::Message::Request(request));
        let answer = tokio::time::timeout(timeout, answer).await;
        let answer = answer.map_err(|_| RequestError::Timeout(timeout))?;
        let reply = answer.map_err(|_| RequestError::Gone)?;
        if !reply.error.is_empty() {
            return Err(RequestError::Refused(reply.error));
        }
        Ok(serde_json::from_slice(&reply.value).unwrap_or(Value::Null))
    }

    /// A session's stream has ended: what it was asked it will not answer.
    pub(crate) fn gone(&self, session: i64) {
        self.lock().retain(|_, waiting| waiting.session != session);
    }

    /// Makes room for the answer of a session.
    fn expect(
        &self,
        session: i64,
    ) -> Result<(Asked<'_>, oneshot::Receiver<proto::RequestReply>), RequestError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.len() >= WAITING_MOST {
            return Err(RequestError::Busy);
        }
        waiting.insert(id, Waiting { session, reply });
        Ok((Asked { requests: self, id }, answer))
    }

    /// A worker answered. What one says that was not asked is no answer.
    pub(crate) fn answer(&self, session: i64, reply: proto::RequestReply) {
        let mut waiting = self.lock();
        if waiting.get(&reply.id).is_some_and(|waiting| waiting.session == session)
            && let Some(asked) = waiting.remove(&reply.id)
        {
            // An error means that nobody waits any more.
            let _ = asked.reply.send(reply);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.requests.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(id: u64) -> proto::RequestReply {
        proto::RequestReply { id, ..proto::RequestReply::default() }
    }

    #[test]
    fn only_the_worker_that_was_asked_can_answer() {
        let requests = Requests::default();
        let (asked, mut answer) = requests.expect(7).unwrap();
        requests.answer(8, reply(asked.id));
        assert!(answer.try_recv().is_err());
        requests.answer(7, reply(asked.id));
        assert!(answer.try_recv().is_ok());
    }

    #[test]
    fn a_question_that_nobody_waits_for_leaves_nothing() {
        let requests = Requests::default();
        let all: Vec<_> = (0..WAITING_MOST).map(|_| requests.expect(7).unwrap()).collect();
        assert!(matches!(requests.expect(7), Err(RequestError::Busy)));
        drop(all);
        assert!(requests.lock().is_empty());
        requests.answer(7, reply(0));
        let (_asked, mut answer) = requests.expect(7).unwrap();
        requests.gone(7);
        assert!(matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    }
}
