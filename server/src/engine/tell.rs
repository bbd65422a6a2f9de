//! Telling other servers, and hearing from them: hints that save a look, never the truth.

use subak_core::ids::RunKey;
use subak_proto as proto;
use subak_store::News;
use subak_store::engine::Fence;

use super::{Core, work};

impl Core {
    /// Tells every server.
    pub(crate) async fn tell(&self, news: Vec<News>) {
        if news.is_empty() {
            return;
        }
        if let Err(error) = self.asked(self.store.tell(&news)).await {
            tracing::warn!(error = format!("{error:#}"), "other servers could not be told");
        }
    }

    /// Passes on what another server says.
    pub(super) fn heard(&self, news: News) {
        match news {
            News::Ready(queue) => {
                self.backlog.raise(&queue);
                self.claims_wake();
            }
            News::Starts(dag) => {
                let _ = self.starts.try_send(dag);
                self.timers.notify_one();
            }
            News::Stops(run) => drop(self.stops.try_send(run)),
            News::Drains(session) => self.drain(session),
            News::Yields(dag) => {
                let _ = self.yields.try_send(dag);
                // Of a pause there is a row in the outbox, too.
                self.timers.notify_one();
            }
            News::Timers => self.timers.notify_one(),
            News::Notices => self.notices.notify_one(),
        }
    }

    /// Tells the worker behind a session, once, to take no more tries.
    pub(crate) fn drain(&self, session: i64) {
        if self.sessions.drain(session) {
            let reason = "drained by `subak workers drain`".to_owned();
            let drain = proto::server_message::Message::Drain(proto::Drain { reason });
            self.sessions.send(session, drain);
        }
    }

    /// Hands on what this process will not go on with: it is a command that ends, or a server that
    /// does.
    pub(super) async fn hand_on(&self, after: &work::After) {
        if self.starts.is_closed() {
            let ready = after.backlog.iter().cloned().map(News::Ready);
            let starts = after.dags_waiting.iter().copied().map(News::Starts);
            let timers = after.timer.then_some(News::Timers);
            let notices = after.notices.then_some(News::Notices);
            self.tell(ready.chain(starts).chain(timers).chain(notices).collect()).await;
        }
    }

    /// A timer may be due earlier than its loop thinks: the loop of this process, or those of the servers
    /// if it has none.
    pub(super) async fn timers_left(&self) {
        if self.starts.is_closed() {
            self.tell(vec![News::Timers]).await;
        }
        self.timers.notify_one();
    }

    /// Tells workers to end tries of a run, wherever their streams are.
    pub(super) async fn stop_everywhere(&self, run: RunKey, fences: &[Fence], reason: &str) {
        self.stop_tries(fences, reason);
        if fences.iter().any(|fence| !self.sessions.is_here(fence.session)) {
            self.tell(vec![News::Stops(run)]).await;
        }
    }
}
