//! Free slots that a transaction took for hand-overs: given back unless it commits, wherever it is
//! cut short.

use crate::dispatch::Sessions;

/// See the module.
pub(super) struct Slots<'s> {
    sessions: &'s Sessions,
    /// Sessions, each with the queue of its slot.
    taken: Vec<(i64, String)>,
}

impl<'s> Slots<'s> {
    pub(super) fn new(sessions: &'s Sessions) -> Self {
        Self { sessions, taken: Vec::new() }
    }

    /// Takes a free slot of `queue`.
    pub(super) fn take(&mut self, queue: &str) -> Option<i64> {
        let session = self.sessions.reserve(queue)?;
        self.taken.push((session, queue.to_owned()));
        Some(session)
    }

    /// Takes the first `count` slots of others; the rest is given back.
    pub(super) fn take_first(&mut self, count: usize, mut from: Self) {
        self.taken.extend(from.taken.drain(..count));
    }

    pub(super) fn len(&self) -> usize {
        self.taken.len()
    }

    /// The sessions, one for each slot, in the order in which they were taken.
    pub(super) fn sessions(&self) -> Vec<i64> {
        self.taken.iter().map(|(session, _)| *session).collect()
    }

    /// The hand-overs are committed: the slots are no longer free.
    pub(super) fn keep(mut self) {
        self.taken.clear();
    }
}

impl Drop for Slots<'_> {
    fn drop(&mut self) {
        for (session, queue) in &self.taken {
            self.sessions.release(*session, queue);
        }
    }
}
