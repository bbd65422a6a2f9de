//! Connected worker sessions: slots by queue, tries by fencing token, and the way to their streams.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use subak_core::ids::{InstanceKey, RunKey};
use subak_proto::{ServerMessage, mix, server_message};
use subak_store::engine::{Fence, HandedOver};
use tokio::sync::mpsc;

/// Where the messages to one worker go. Bounded: a worker that does not read loses its stream.
pub(crate) type Outbound = mpsc::Sender<ServerMessage>;

/// The sessions of this server.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    inner: Mutex<HashMap<i64, Session>>,
}

/// A session that connects.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) session: i64,
    pub(crate) outbound: Outbound,
    /// Queue to free slots.
    pub(crate) free: BTreeMap<String, u32>,
    pub(crate) held: Vec<(i64, InstanceKey, String)>,
    /// Tries that it holds and its worker does not: they are handed over again.
    pub(crate) resent: u64,
    pub(crate) lease: Duration,
}

#[derive(Debug)]
struct Session {
    outbound: Outbound,
    free: BTreeMap<String, u32>,
    held: HashMap<i64, (InstanceKey, String)>,
    digest: u64,
    /// Counts slots taken and tries that began or ended: unchanged, nothing is on its way.
    activity: u64,
    /// Its worker takes no more tries.
    draining: bool,
    /// This server ends, and gives it no more.
    leaving: bool,
    /// Assignments sent since the session connected here, or about to be.
    assignments: u64,
    lease: Duration,
    /// No later than the lease began anew.
    renewed: Instant,
}

impl Session {
    /// Whether tries may be given to it.
    fn is_open(&self) -> bool {
        !self.draining && !self.leaving && self.is_alive()
    }

    /// A worker that is not heard of ends its tries at two thirds of its lease. Its stream may stand for
    /// longer, when it is stuck or its network is cut, and each try that it was given would be lost.
    fn is_alive(&self) -> bool {
        self.renewed.elapsed() < self.lease * 2 / 3
    }
}

impl Sessions {
    /// Adds a session, replacing an older stream of it.
    pub(crate) fn connect(&self, new: Connected) {
        let digest = new.held.iter().fold(0, |digest, (token, ..)| digest ^ mix(*token));
        let held = new.held.into_iter().map(|(token, key, queue)| (token, (key, queue)));
        let session = Session {
            outbound: new.outbound,
            free: new.free,
            held: held.collect(),
            digest,
            activity: 0,
            draining: false,
            leaving: false,
            assignments: new.resent,
            lease: new.lease,
            renewed: Instant::now(),
        };
        self.lock().insert(new.session, session);
    }

    /// Removes a session if this is still its stream.
    pub(crate) fn disconnect(&self, session: i64, outbound: &Outbound) {
        let mut sessions = self.lock();
        if sessions.get(&session).is_some_and(|known| known.outbound.same_channel(outbound)) {
            sessions.remove(&session);
        }
    }

    /// Notes that a lease was renewed, which was asked for at `asked`; returns whether the session was given
    /// nothing before.
    pub(crate) fn renewed(&self, session: i64, asked: Instant) -> bool {
        let mut sessions = self.lock();
        let Some(session) = sessions.get_mut(&session) else { return false };
        let was_alive = session.is_alive();
        session.renewed = session.renewed.max(asked);
        !was_alive
    }

    /// Takes a free slot of `queue`, at the session with the most of them.
    pub(crate) fn reserve(&self, queue: &str) -> Option<i64> {
        let mut sessions = self.lock();
        let (id, slots) = sessions
            .iter_mut()
            .filter(|(_, session)| session.is_open())
            .filter_map(|(id, session)| session.free.get_mut(queue).map(|free| (*id, free)))
            .max_by_key(|(id, free)| (**free, *id))?;
        *slots = slots.checked_sub(1)?;
        if let Some(session) = sessions.get_mut(&id) {
            session.activity += 1;
        }
        Some(id)
    }

    /// Gives a reserved slot back.
    pub(crate) fn release(&self, session: i64, queue: &str) {
        if let Some(free) =
            self.lock().get_mut(&session).and_then(|session| session.free.get_mut(queue))
        {
            *free += 1;
        }
    }

    /// Notes that sessions hold tries: their hand-over was committed.
    pub(crate) fn hold(&self, handed: &[HandedOver]) {
        let mut sessions = self.lock();
        for try_ in handed {
            if let Some(session) = sessions.get_mut(&try_.session) {
                // It is known if the session connected between the commit and this.
                if session.held.insert(try_.token, (try_.key, try_.queue.clone())).is_none() {
                    session.digest ^= mix(try_.token);
                }
                session.activity += 1;
                session.assignments += 1;
            }
        }
    }

    /// Notes that a hand-over will not be sent: the worker's count never hears of it.
    pub(crate) fn not_sent(&self, session: i64) {
        if let Some(session) = self.lock().get_mut(&session) {
            session.assignments = session.assignments.saturating_sub(1);
        }
    }

    /// Notes that a try has ended at its worker, which has the slot free again.
    pub(crate) fn finish(&self, session: i64, token: i64) {
        if let Some(session) = self.lock().get_mut(&session)
            && let Some((_, queue)) = session.held.remove(&token)
        {
            session.digest ^= mix(token);
            session.activity += 1;
            if let Some(free) = session.free.get_mut(&queue) {
                *free += 1;
            }
        }
    }

    /// Notes that a worker refused a try: it had no slot, so none comes back.
    pub(crate) fn refused(&self, session: i64, token: i64) {
        if let Some(session) = self.lock().get_mut(&session)
            && session.held.remove(&token).is_some()
        {
            session.digest ^= mix(token);
            session.activity += 1;
        }
    }

    /// Sets what a session holds to what the database said, with the slots that this takes or gives,
    /// unless a try was handed over or ended since `activity`: then the word is about the past.
    pub(crate) fn reconcile(
        &self,
        session: i64,
        activity: u64,
        held: impl Iterator<Item = (i64, InstanceKey, String)>,
    ) -> bool {
        let mut sessions = self.lock();
        let Some(session) = sessions.get_mut(&session).filter(|s| s.activity == activity) else {
            return false;
        };
        let held = held.map(|(token, key, queue)| (token, (key, queue))).collect();
        let before = std::mem::replace(&mut session.held, held);
        for (_, queue) in before.values() {
            session.free.entry(queue.clone()).and_modify(|free| *free += 1);
        }
        for (_, queue) in session.held.values() {
            session.free.entry(queue.clone()).and_modify(|free| *free = free.saturating_sub(1));
        }
        session.digest = subak_proto::digest(session.held.keys());
        true
    }

    /// All queues that some session here serves.
    pub(crate) fn queues(&self) -> Vec<String> {
        let sessions = self.lock();
        let all: BTreeSet<&String> = sessions.values().flat_map(|s| s.free.keys()).collect();
        all.into_iter().cloned().collect()
    }

    /// Sets the free slots by the worker's word, if it comes by the session's present stream; `seen` is
    /// how many assignments it had got there by then.
    pub(crate) fn credit(
        &self,
        session: i64,
        by: &Outbound,
        free: &BTreeMap<String, u32>,
        seen: u64,
    ) {
        if let Some(session) = self.lock().get_mut(&session)
            && session.outbound.same_channel(by)
        {
            // Fewer than were sent: some are on their way, its word is about the past, and the next one
            // will come. More: some came twice, by the former stream's count and by this one's.
            if session.assignments <= seen {
                session.assignments = seen;
                session.free.clone_from(free);
            }
        }
    }

    /// Lets a session take nothing more; returns whether that is new, and the session here.
    pub(crate) fn drain(&self, session: i64) -> bool {
        let mut sessions = self.lock();
        let drained = sessions.get_mut(&session);
        drained.is_some_and(|session| !std::mem::replace(&mut session.draining, true))
    }

    /// Whether the session takes nothing more.
    pub(crate) fn is_draining(&self, session: i64) -> bool {
        self.lock().get(&session).is_some_and(|session| session.draining)
    }

    /// Gives nothing more to anybody, and returns the sessions that are here.
    pub(crate) fn close(&self) -> Vec<i64> {
        let mut sessions = self.lock();
        for session in sessions.values_mut() {
            session.leaving = true;
        }
        sessions.keys().copied().collect()
    }

    /// Digest and number of the tries that a session holds by this server's count, and how much
    /// went on before.
    pub(crate) fn digest(&self, session: i64) -> Option<(u64, usize, u64)> {
        let sessions = self.lock();
        let session = sessions.get(&session)?;
        Some((session.digest, session.held.len(), session.activity))
    }

    /// Whether the session holds the try by this server's count.
    pub(crate) fn holds(&self, session: i64, token: i64) -> bool {
        self.lock().get(&session).is_some_and(|session| session.held.contains_key(&token))
    }

    /// Whether the session's stream is here.
    pub(crate) fn is_here(&self, session: i64) -> bool {
        self.lock().contains_key(&session)
    }

    /// Runs of which some session here holds a try.
    pub(crate) fn runs(&self) -> BTreeSet<RunKey> {
        let sessions = self.lock();
        sessions.values().flat_map(|s| s.held.values()).map(|(key, _)| key.run).collect()
    }

    /// Tries of these runs that sessions here hold.
    pub(crate) fn held_of(&self, runs: &BTreeSet<RunKey>) -> Vec<Fence> {
        let sessions = self.lock();
        let all = sessions.iter().flat_map(|(session, s)| {
            s.held.iter().map(|(token, (key, _))| Fence {
                instance: *key,
                session: *session,
                token: *token,
            })
        });
        all.filter(|fence| runs.contains(&fence.instance.run)).collect()
    }

    /// Whether some slot of `queue` is free here.
    pub(crate) fn has_free(&self, queue: &str) -> bool {
        self.lock().values().any(|session| {
            session.is_open() && session.free.get(queue).is_some_and(|free| *free > 0)
        })
    }

    /// The token of the try of a task instance that a session here holds.
    pub(crate) fn token_of(&self, key: InstanceKey) -> Option<i64> {
        let sessions = self.lock();
        let mut held = sessions.values().flat_map(|session| &session.held);
        held.find(|(_, (held, _))| *held == key).map(|(token, _)| *token)
    }

    /// How many sessions are connected here.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Free slots of every queue that a session here has.
    pub(crate) fn free_slots(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for session in self.lock().values().filter(|session| session.is_open()) {
            for (queue, free) in &session.free {
                *all.entry(queue.clone()).or_default() += u64::from(*free);
            }
        }
        all
    }

    /// All queues with a free slot.
    pub(crate) fn free_queues(&self) -> Vec<String> {
        let sessions = self.lock();
        let mut queues: Vec<String> = sessions
            .values()
            .filter(|session| session.is_open())
            .flat_map(|session| session.free.iter().filter(|(_, free)| **free > 0))
            .map(|(queue, _)| queue.clone())
            .collect();
        queues.sort_unstable();
        queues.dedup();
        queues
    }

    /// Sends a message to a session's worker. One that does not read is cut off: its tries go on,
    /// and it comes back by reconnecting.
    pub(crate) fn send(&self, session: i64, message: server_message::Message) {
        let mut sessions = self.lock();
        let Some(known) = sessions.get(&session) else { return };
        if known.outbound.try_send(ServerMessage { message: Some(message) }).is_err() {
            tracing::warn!(worker.session = session, "the worker does not read: its stream is cut");
            sessions.remove(&session);
        }
    }

    /// A session for a request that every worker can answer: one that stays, if there is one.
    pub(crate) fn any(&self) -> Option<i64> {
        let sessions = self.lock();
        sessions.iter().min_by_key(|(_, session)| !session.is_open()).map(|(id, _)| *id)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Session>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use subak_core::ids::{MapIndex, TaskNo};
    use tokio::sync::mpsc;

    use super::*;

    const QUEUE: &str = "default";

    fn handed(token: i64) -> HandedOver {
        HandedOver {
            key: InstanceKey { run: RunKey(1), task: TaskNo(0), map_index: MapIndex(-1) },
            session: 1,
            token,
            try_number: 1,
            resets: 0,
            queue: QUEUE.to_owned(),
            queued_at: None,
            started_at: DateTime::UNIX_EPOCH,
        }
    }

    fn free(slots: u32) -> BTreeMap<String, u32> {
        BTreeMap::from([(QUEUE.to_owned(), slots)])
    }

    const LEASE: Duration = Duration::from_secs(600);

    fn connect(sessions: &Sessions, slots: u32, held: &[HandedOver]) -> Outbound {
        let (outbound, resent) = (mpsc::channel(8).0, held.len() as u64);
        let held = held.iter().map(|try_| (try_.token, try_.key, try_.queue.clone()));
        sessions.connect(Connected {
            session: 1,
            outbound: outbound.clone(),
            free: free(slots),
            resent,
            held: held.collect(),
            lease: LEASE,
        });
        outbound
    }

    #[test]
    fn a_session_that_is_not_renewed_is_given_nothing() {
        let sessions = Sessions::default();
        connect(&sessions, 1, &[]);
        let renewed = |ago: Duration| {
            let asked = Instant::now().checked_sub(ago).unwrap();
            sessions.lock().get_mut(&1).unwrap().renewed = asked;
        };
        renewed(LEASE / 2);
        assert!(sessions.has_free(QUEUE));
        assert!(!sessions.renewed(1, Instant::now()), "it was given tries all the time");
        renewed(LEASE * 2 / 3);
        assert!(!sessions.has_free(QUEUE));
        assert_eq!(sessions.reserve(QUEUE), None);
        assert!(sessions.renewed(1, Instant::now()), "its slots count again");
        assert_eq!(sessions.reserve(QUEUE), Some(1));
    }

    #[test]
    fn a_workers_word_counts_once_everything_sent_has_come() {
        let sessions = Sessions::default();
        let by = connect(&sessions, 2, &[]);
        assert_eq!(sessions.reserve(QUEUE), Some(1));
        sessions.hold(&[handed(7)]);
        sessions.credit(1, &by, &free(2), 0);
        assert_eq!(sessions.free_slots()[QUEUE], 1, "one is on its way");
        sessions.credit(1, &by, &free(2), 1);
        assert_eq!(sessions.free_slots()[QUEUE], 2, "it waits without its slot");
    }

    #[test]
    fn what_was_handed_over_again_does_not_silence_the_worker() {
        let sessions = Sessions::default();
        let by = connect(&sessions, 1, &[handed(7)]);
        sessions.credit(1, &by, &free(2), 0);
        assert_eq!(sessions.free_slots()[QUEUE], 1, "it comes again");
        sessions.credit(1, &by, &free(2), 1);
        assert_eq!(sessions.free_slots()[QUEUE], 2);
        // Committed before the session connected, and noted after.
        let digest = sessions.digest(1);
        sessions.hold(&[handed(7)]);
        assert_eq!(sessions.digest(1).map(|it| it.0), digest.map(|it| it.0));
        // What came twice is counted once at most.
        sessions.credit(1, &by, &free(0), 5);
        sessions.credit(1, &by, &free(2), 5);
        assert_eq!(sessions.free_slots()[QUEUE], 2);
        // What a former stream still had to say is about the past.
        let next = connect(&sessions, 1, &[]);
        sessions.credit(1, &by, &free(2), 6);
        assert_eq!(sessions.free_slots()[QUEUE], 1);
        sessions.credit(1, &next, &free(2), 0);
        assert_eq!(sessions.free_slots()[QUEUE], 2);
    }
}
