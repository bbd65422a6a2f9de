//! A worker session inside the server's process, without a stream: for tests of the engine, and for
//! programs that embed it. Its tries are fenced and leased like any other's.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};
use subak_proto::{Assignment, ServerMessage, TryRef, server_message::Message};
use subak_store::NewSession;
use subak_store::engine::Fence;
use tokio::sync::mpsc;

use super::{Answer, Engine, TryReport};
use crate::dispatch::Connected;

/// One session. Dropped, it is no longer offered anything; its lease runs out.
pub struct EmbeddedWorker {
    engine: Engine,
    session: i64,
    outbound: mpsc::Sender<ServerMessage>,
    messages: mpsc::Receiver<ServerMessage>,
}

/// What the engine says to it.
#[derive(Debug, Clone)]
pub enum Told {
    Run(Box<Assignment>),
    Stop {
        fence: Fence,
        reason: String,
    },
    /// To end well at its next checkpoint.
    Yield {
        fence: Fence,
    },
}

impl Engine {
    /// Joins with this many slots of each queue.
    pub async fn join(
        &self,
        worker: &str,
        slots: &[(&str, u32)],
        lease: Duration,
    ) -> anyhow::Result<EmbeddedWorker> {
        let session = rand::random_range(1..i64::MAX);
        let queues: Vec<_> =
            slots.iter().map(|(queue, slots)| json!({ "queue": queue, "slots": slots })).collect();
        let new = NewSession {
            session,
            worker: worker.to_owned(),
            state_folder: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            server: self.core.config.server.clone(),
            queues: queues.into(),
            lease,
        };
        self.core.store.session_begin(&new).await?;
        let (outbound, messages) = mpsc::channel(65_536);
        let free: BTreeMap<String, u32> =
            slots.iter().map(|(queue, slots)| ((*queue).to_owned(), *slots)).collect();
        let (held, resent) = (Vec::new(), 0);
        let connected =
            Connected { session, outbound: outbound.clone(), free, held, resent, lease };
        self.core.sessions.connect(connected);
        for (queue, _) in slots {
            self.core.backlog.raise(queue);
        }
        self.core.claims_wake();
        Ok(EmbeddedWorker { engine: self.clone(), session, outbound, messages })
    }

    /// Frees the slot of a try whose end its worker reports through another server.
    pub fn freed(&self, try_: &Fence) {
        self.core.sessions.finish(try_.session, try_.token);
        self.core.claims_wake();
    }
}

impl EmbeddedWorker {
    /// Waits for what comes next: tries to run one by one, or tries to stop, or to end well.
    pub async fn next(&mut self) -> Vec<Told> {
        loop {
            let Some(message) = self.messages.recv().await.and_then(|message| message.message)
            else {
                return Vec::new();
            };
            match message {
                Message::Assignments(all) => {
                    return all
                        .assignments
                        .into_iter()
                        .map(|assignment| Told::Run(Box::new(assignment)))
                        .collect();
                }
                Message::Stop(stop) => {
                    if let Some(fence) = stop.r#try.as_ref().map(fence) {
                        return vec![Told::Stop { fence, reason: stop.reason }];
                    }
                }
                Message::Yield(order) => {
                    if let Some(fence) = order.r#try.as_ref().map(fence) {
                        return vec![Told::Yield { fence }];
                    }
                }
                _ => {}
            }
        }
    }

    /// Renews the lease; false once the session is dead.
    pub async fn renew(&self) -> anyhow::Result<bool> {
        Ok(self.engine.core.renew(self.session).await?.is_some())
    }

    /// Reports the end of a try.
    pub async fn report(&self, report: TryReport) -> Answer {
        self.engine.reports().report(report).await
    }

    /// The session's id.
    #[must_use]
    pub fn session(&self) -> i64 {
        self.session
    }
}

impl Drop for EmbeddedWorker {
    fn drop(&mut self) {
        self.engine.core.sessions.disconnect(self.session, &self.outbound);
    }
}

/// What fences a try, from the wire.
#[must_use]
pub fn fence(try_: &TryRef) -> Fence {
    Fence {
        instance: InstanceKey {
            run: RunKey(try_.run),
            task: TaskNo(try_.task),
            map_index: MapIndex(try_.map_index),
        },
        session: try_.session.cast_signed(),
        token: try_.token,
    }
}
