//! A worker session in this process, without a stream in between: the engine's tests are its workers.

use std::collections::BTreeMap;

use serde_json::json;
use subak_proto::{ServerMessage, server_message};
use subak_store::NewSession;
use subak_store::engine::Fence;
use tokio::sync::mpsc;

use super::Engine;
use crate::dispatch::Connected;

/// Messages that may wait to be read.
const WAITING_MOST: usize = 65_536;

/// The receiving end of a session. Its lease is the engine's; nothing renews it.
#[derive(Debug)]
pub struct LocalSession {
    pub session: i64,
    messages: mpsc::Receiver<ServerMessage>,
}

impl Engine {
    /// Opens a session with free slots of the queue `default`.
    pub async fn local_session(&self, worker: &str, slots: u32) -> anyhow::Result<LocalSession> {
        const QUEUE: &str = "default";
        let session = rand::random_range(1..i64::MAX);
        let config = &self.core.config;
        self.core
            .store
            .session_begin(&NewSession {
                session,
                worker: worker.to_owned(),
                state_folder: String::new(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                server: config.server.clone(),
                queues: json!([{ "queue": QUEUE, "slots": slots }]),
                lease: config.lease,
            })
            .await?;
        let (outbound, messages) = mpsc::channel(WAITING_MOST);
        self.core.sessions.connect(Connected {
            session,
            outbound,
            free: BTreeMap::from([(QUEUE.to_owned(), slots)]),
            held: Vec::new(),
        });
        self.core.backlog.raise(QUEUE);
        self.core.claims_wake();
        Ok(LocalSession { session, messages })
    }

    /// Frees the slot of a try whose end the worker reports through another server.
    pub fn local_freed(&self, try_: &Fence) {
        self.core.sessions.finish(try_.session, try_.token);
        self.core.claims_wake();
    }
}

impl LocalSession {
    /// The next message; `None` once the server has dropped the session.
    pub async fn message(&mut self) -> Option<server_message::Message> {
        self.messages.recv().await?.message
    }
}
