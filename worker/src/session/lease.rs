//! The worker's view of its lease, on the monotonic clock.
//!
//! The lease is counted from when the last acknowledged heartbeat was *sent*: the server renewed it
//! later than that, so the worker never believes in a lease that the server does not.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// See the module.
#[derive(Debug)]
pub(crate) struct Lease {
    length: Duration,
    renewed: Option<Instant>,
    sequence: u64,
    unanswered: VecDeque<Sent>,
    next: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    sequence: u64,
    at: Instant,
}

impl Lease {
    /// Before the first Welcome.
    pub(crate) fn unknown(now: Instant) -> Self {
        Self {
            length: Duration::from_secs(60),
            renewed: None,
            sequence: 0,
            unanswered: VecDeque::new(),
            next: now,
        }
    }

    /// A server welcomed the Hello sent at `sent`. Only a new session's lease begins with it; a
    /// resumed one is renewed by its next heartbeat, due at once.
    pub(crate) fn welcomed(&mut self, length: Duration, is_new: bool, sent: Instant) {
        self.length = length;
        if is_new {
            self.renewed = Some(sent);
        }
        self.unanswered.clear();
        self.next = sent;
    }

    /// Returns the sequence number of the heartbeat that is sent now.
    pub(crate) fn beat(&mut self, now: Instant) -> u64 {
        self.sequence += 1;
        self.unanswered.push_back(Sent { sequence: self.sequence, at: now });
        self.next = now + self.beat_period();
        self.sequence
    }

    /// The server answered a heartbeat. Returns when that was sent.
    pub(crate) fn answered(&mut self, sequence: u64) -> Option<Instant> {
        let position = self.unanswered.iter().position(|sent| sent.sequence == sequence)?;
        let sent = self.unanswered[position].at;
        self.unanswered.drain(..=position);
        self.renewed = Some(self.renewed.map_or(sent, |renewed| renewed.max(sent)));
        Some(sent)
    }

    /// The stream has ended; what was sent on it is not answered any more.
    pub(crate) fn disconnected(&mut self) {
        self.unanswered.clear();
    }

    /// When running tries must begin to end: at two thirds, so that there is time for KILL.
    pub(crate) fn ends_tries(&self) -> Option<Instant> {
        self.renewed.map(|renewed| renewed + self.length * 2 / 3)
    }

    /// How long tries may take to end then.
    pub(crate) fn grace(&self) -> Duration {
        self.length / 6
    }

    /// When the server counts as silent, and the next one is tried.
    pub(crate) fn is_silent_from(&self) -> Option<Instant> {
        self.unanswered.front().map(|sent| sent.at + self.length / 4)
    }

    /// When the next heartbeat is due.
    pub(crate) fn next_beat(&self) -> Instant {
        self.next
    }

    /// The time between heartbeats.
    pub(crate) fn beat_period(&self) -> Duration {
        self.length / 12
    }

    /// How long a server may take to answer.
    pub(crate) fn patience(&self) -> Duration {
        self.length / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_lease_counts_from_the_sending_of_what_was_answered() {
        let start = Instant::now();
        let mut lease = Lease::unknown(start);
        assert_eq!(lease.ends_tries(), None);
        lease.welcomed(60 * SECOND, true, start);
        assert_eq!(lease.ends_tries(), Some(start + 40 * SECOND));
        let first = lease.beat(start + 5 * SECOND);
        let second = lease.beat(start + 10 * SECOND);
        assert_eq!(lease.is_silent_from(), Some(start + 20 * SECOND));
        assert_eq!(lease.answered(second), Some(start + 10 * SECOND));
        assert_eq!(lease.ends_tries(), Some(start + 50 * SECOND));
        assert_eq!(lease.answered(first), None, "an older answer renews nothing");
        assert_eq!(lease.is_silent_from(), None);
        assert_eq!(lease.next_beat(), start + 15 * SECOND);
    }

    #[test]
    fn a_resumed_session_is_renewed_by_its_heartbeat_only() {
        let start = Instant::now();
        let mut lease = Lease::unknown(start);
        lease.welcomed(60 * SECOND, true, start);
        lease.beat(start + 5 * SECOND);
        lease.disconnected();
        lease.welcomed(60 * SECOND, false, start + 20 * SECOND);
        assert_eq!(lease.ends_tries(), Some(start + 40 * SECOND));
        assert_eq!(lease.next_beat(), start + 20 * SECOND);
    }
}
