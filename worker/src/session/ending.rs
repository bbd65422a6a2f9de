//! Ending: of this worker, and of tries whose session or lease is gone; what waits then is on disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use subak_proto::{DeadLetters, TryRef};
use tracing::{info, warn};

use super::book::Waiting;
use super::{SPOOL_AFTER, Session};
use crate::spool::{Spool, Spooled};
use crate::tries::StopCause;

/// How long the last reports may wait for their answers at the end.
pub(super) const LAST_ANSWERS: Duration = Duration::from_secs(5);

impl Session {
    /// Takes no more tries. What runs may take as long as it takes.
    pub(super) fn drain(&mut self, reason: &str) {
        if !self.is_draining {
            info!(reason, running = self.book.all_running().count(), "draining");
            self.is_draining = true;
            self.book.all_running().for_each(|running| running.yields.cancel());
            self.send_draining();
        }
    }

    /// Takes no more tries, and ends what runs when its time is over.
    pub(super) fn drain_in_time(&mut self, reason: &str) {
        self.drain(reason);
        self.drain_until = Some(Instant::now() + self.config.drain);
    }

    /// The server ends: the next one is asked, at once.
    pub(super) fn leave(&mut self, reason: &str) {
        info!(reason, "going to another server");
        self.next_server += 1;
        self.disconnect();
    }

    /// Nothing runs, and every report is answered or has waited long enough.
    pub(super) fn is_over(&mut self) -> bool {
        if !self.is_draining || self.book.all_running().next().is_some() {
            return false;
        }
        let now = Instant::now();
        let end = *self.end_at.get_or_insert(now + LAST_ANSWERS);
        let is_done = self.book.waiting_count() == 0 && self.book.logs().next().is_none();
        is_done || end <= now || !self.was_welcomed
    }

    pub(super) fn lose_lease(&mut self) {
        self.lease_lost = true;
        let running = self.book.all_running().count();
        if running > 0 {
            warn!(running, "no server renewed the lease: ending what runs");
            self.stop_all(&StopCause::LeaseLost, Some(self.lease.grace()));
        }
    }

    pub(super) fn stop_all(&self, cause: &StopCause, within: Option<Duration>) {
        for running in self.book.all_running() {
            running.stop.give(cause.clone(), within);
        }
    }

    pub(super) fn stop_unknown(&self, try_ref: TryRef) {
        if let Some(running) = self.book.running(try_ref.token) {
            running.stop.give(StopCause::Server("superseded".to_owned()), None);
        }
    }

    pub(super) fn spool_overdue(&mut self, now: Instant) {
        let mut next: Option<Instant> = None;
        for waiting in self.book.all_waiting().filter(|waiting| !waiting.is_spooled) {
            let due = waiting.since + SPOOL_AFTER;
            if due <= now {
                write_soon(&self.spool, waiting, &self.letters);
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        self.spool_at = next;
    }

    pub(super) fn spool_waiting(&mut self) {
        for waiting in self.book.all_waiting().filter(|waiting| !waiting.is_spooled) {
            write_soon(&self.spool, waiting, &self.letters);
        }
    }
}

fn write_soon(spool: &Spool, waiting: &mut Waiting, letters: &HashMap<i64, Vec<Arc<DeadLetters>>>) {
    spool.write_soon(Spooled {
        report: waiting.report.clone(),
        chunks: waiting.chunks.clone(),
        letters: letters.get(&waiting.token()).cloned().unwrap_or_default(),
    });
    waiting.is_spooled = true;
}
