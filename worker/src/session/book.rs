//! What this worker holds: running tries, finished ones whose report is not answered, logs not yet
//! kept. Pure bookkeeping: it sends nothing and reads no clock.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use subak_proto::{Answer, LogChunk, QueueSlots, Report, TryRef, mix};

use tokio_util::sync::CancellationToken;

use super::letters::LetterCount;
use crate::config::Queue;
use crate::log::TryLog;
use crate::spool::Spooled;
use crate::tries::StopOrder;

/// Tokens remembered after their report was answered: a second assignment of one may be on its way.
const ANSWERED_KEPT: usize = 65_536;

/// A try that runs here.
pub(crate) struct Running {
    pub(crate) try_ref: TryRef,
    pub(crate) queue: usize,
    pub(crate) since: Instant,
    pub(crate) stop: Arc<StopOrder>,
    /// Cancelled when it is to end well.
    pub(crate) yields: CancellationToken,
    /// It waits, and another try may have its slot.
    pub(crate) has_left: bool,
    pub(crate) log: Arc<TryLog>,
    pub(crate) letters: Arc<LetterCount>,
}

/// A finished try whose report is not answered.
pub(crate) struct Waiting {
    pub(crate) report: Report,
    pub(crate) chunks: Vec<LogChunk>,
    pub(crate) since: Instant,
    pub(crate) is_spooled: bool,
    is_unsent: bool,
    /// When it is sent again for want of an answer.
    pub(crate) resend_at: Instant,
}

impl Waiting {
    /// The try's token.
    pub(crate) fn token(&self) -> i64 {
        self.report.r#try.unwrap_or_default().token
    }
}

enum Entry {
    Running(Running),
    Waiting(Box<Waiting>),
}

/// What to do with an assignment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// In this queue.
    Start(usize),
    /// It runs already, or has ended.
    Known,
    /// No slot is free.
    Refuse,
}

struct Slots {
    queue: Queue,
    running: u32,
    /// Finished and not answered: the server still counts them.
    unanswered: u32,
}

/// See the module.
pub(crate) struct Book {
    slots: Vec<Slots>,
    session: u64,
    entries: HashMap<i64, Entry>,
    /// Logs of answered tries that the server does not keep yet.
    logs: HashMap<i64, UnkeptLog>,
    answered: HashSet<i64>,
    answered_order: VecDeque<i64>,
    waiting: usize,
    digest: u64,
    held: u32,
    queue_of: HashMap<i64, usize>,
    /// To be sent as soon as there is a stream.
    unsent: Vec<i64>,
}

impl Book {
    /// Opens the book with what a former worker left.
    pub(crate) fn open(queues: &[Queue], left: Vec<Spooled>, now: Instant) -> Self {
        let slots = queues.iter().cloned();
        let mut book = Self {
            slots: slots.map(|queue| Slots { queue, running: 0, unanswered: 0 }).collect(),
            session: 0,
            entries: HashMap::new(),
            logs: HashMap::new(),
            answered: HashSet::new(),
            answered_order: VecDeque::new(),
            waiting: 0,
            digest: 0,
            held: 0,
            queue_of: HashMap::new(),
            unsent: Vec::new(),
        };
        for Spooled { report, chunks, .. } in left {
            book.wait(report, chunks, true, now);
        }
        book
    }

    /// The session is now `session`. Tries of another one stay until they have ended.
    pub(crate) fn begin_session(&mut self, session: u64) {
        if self.session == session {
            return;
        }
        self.session = session;
        (self.digest, self.held) = (0, 0);
        self.queue_of.clear();
        for slots in &mut self.slots {
            slots.unanswered = 0;
        }
    }

    /// Decides about an assignment.
    pub(crate) fn admit(&self, try_ref: TryRef, queue: &str) -> Admission {
        if self.entries.contains_key(&try_ref.token) || self.answered.contains(&try_ref.token) {
            return Admission::Known;
        }
        let found = self.slots.iter().position(|slots| slots.queue.name == queue);
        match found {
            Some(at) if self.slots[at].running < self.slots[at].queue.slots => Admission::Start(at),
            _ => Admission::Refuse,
        }
    }

    /// A try has started.
    pub(crate) fn start(&mut self, running: Running) {
        self.slots[running.queue].running += 1;
        self.hold(running.try_ref);
        self.entries.insert(running.try_ref.token, Entry::Running(running));
    }

    /// A try waits without its slot, or has it again. Returns whether that changes anything.
    pub(crate) fn slot_of(&mut self, token: i64, is_left: bool) -> bool {
        let Some(Entry::Running(running)) = self.entries.get_mut(&token) else { return false };
        if running.has_left == is_left {
            return false;
        }
        running.has_left = is_left;
        let slots = &mut self.slots[running.queue];
        slots.running = if is_left { slots.running - 1 } else { slots.running + 1 };
        true
    }

    /// A try has ended.
    pub(crate) fn finish(
        &mut self,
        report: Report,
        mut chunks: Vec<LogChunk>,
        is_spooled: bool,
        now: Instant,
    ) {
        let try_ref = report.r#try.unwrap_or_default();
        self.slot_of(try_ref.token, false);
        if let Some(Entry::Running(running)) = self.entries.remove(&try_ref.token) {
            self.slots[running.queue].running -= 1;
            // Some may have been kept since the try gathered them.
            chunks.retain(|chunk| !running.log.is_kept(chunk.sequence));
            if try_ref.session == self.session {
                self.slots[running.queue].unanswered += 1;
                self.queue_of.insert(try_ref.token, running.queue);
            }
        }
        self.wait(report, chunks, is_spooled, now);
    }

    fn wait(&mut self, report: Report, chunks: Vec<LogChunk>, is_spooled: bool, now: Instant) {
        let token = report.r#try.unwrap_or_default().token;
        let waiting =
            Waiting { report, chunks, since: now, is_spooled, is_unsent: true, resend_at: now };
        self.waiting += 1;
        self.unsent.push(token);
        self.entries.insert(token, Entry::Waiting(Box::new(waiting)));
    }

    /// The server answered a report. Returns whether nothing of the try is left to be kept.
    pub(crate) fn answer(&mut self, try_ref: TryRef, answer: Answer, later: Instant) -> bool {
        let Some(Entry::Waiting(waiting)) = self.entries.get_mut(&try_ref.token) else {
            return false;
        };
        if answer == Answer::Later || answer == Answer::Unspecified {
            waiting.resend_at = later;
            return false;
        }
        let Some(Entry::Waiting(waiting)) = self.entries.remove(&try_ref.token) else {
            return false;
        };
        self.waiting -= 1;
        self.release(try_ref);
        self.remember(try_ref.token);
        if answer == Answer::Superseded || waiting.chunks.is_empty() {
            return true;
        }
        let log = UnkeptLog { chunks: waiting.chunks, since: waiting.since };
        self.logs.insert(try_ref.token, log);
        false
    }

    /// The server keeps the chunks below `up_to`. Returns whether nothing of an answered try is left
    /// to be kept.
    pub(crate) fn log_kept(&mut self, try_ref: TryRef, up_to: u64) -> bool {
        let unkept = |chunk: &LogChunk| chunk.sequence >= up_to;
        match self.entries.get_mut(&try_ref.token) {
            Some(Entry::Running(running)) => running.log.kept(up_to),
            Some(Entry::Waiting(waiting)) => waiting.chunks.retain(unkept),
            None => {
                if let Some(log) = self.logs.get_mut(&try_ref.token) {
                    log.chunks.retain(unkept);
                    if log.chunks.is_empty() {
                        self.logs.remove(&try_ref.token);
                        return true;
                    }
                }
            }
        }
        false
    }

    fn hold(&mut self, try_ref: TryRef) {
        if try_ref.session == self.session {
            self.digest ^= mix(try_ref.token);
            self.held += 1;
        }
    }

    fn release(&mut self, try_ref: TryRef) {
        if let Some(queue) = self.queue_of.remove(&try_ref.token) {
            self.slots[queue].unanswered -= 1;
            self.digest ^= mix(try_ref.token);
            self.held -= 1;
        }
    }

    fn remember(&mut self, token: i64) {
        self.answered.insert(token);
        self.answered_order.push_back(token);
        if self.answered_order.len() > ANSWERED_KEPT
            && let Some(oldest) = self.answered_order.pop_front()
        {
            self.answered.remove(&oldest);
        }
    }

    /// Digest and number of the tries that the server believes to be here.
    pub(crate) fn digest(&self) -> (u64, u32) {
        (self.digest, self.held)
    }

    /// The tries of this session, running or not answered.
    pub(crate) fn held(&self) -> Vec<TryRef> {
        let refs = self.entries.values().map(|entry| match entry {
            Entry::Running(running) => running.try_ref,
            Entry::Waiting(waiting) => waiting.report.r#try.unwrap_or_default(),
        });
        refs.filter(|try_ref| try_ref.session == self.session).collect()
    }

    /// The slots of each queue as the server counts them; none are free for a worker that drains.
    pub(crate) fn queue_slots(&self, is_draining: bool) -> Vec<QueueSlots> {
        let slots = self.slots.iter().map(|slots| {
            let free = slots.queue.slots.saturating_sub(slots.running + slots.unanswered);
            QueueSlots {
                queue: slots.queue.name.clone(),
                slots: slots.queue.slots,
                free: if is_draining { 0 } else { free },
            }
        });
        slots.collect()
    }

    /// Whether no report of this session waits for its answer.
    pub(crate) fn is_answered(&self) -> bool {
        self.queue_of.is_empty()
    }

    /// Finished tries whose report is not answered.
    pub(crate) fn waiting_count(&self) -> usize {
        self.waiting
    }

    /// Whether reports of another session than this one wait.
    pub(crate) fn has_former(&self) -> bool {
        self.waiting > self.queue_of.len()
    }

    /// The try that runs under this token.
    pub(crate) fn running(&self, token: i64) -> Option<&Running> {
        match self.entries.get(&token) {
            Some(Entry::Running(running)) => Some(running),
            _ => None,
        }
    }

    /// Every running try.
    pub(crate) fn all_running(&self) -> impl Iterator<Item = &Running> {
        self.entries.values().filter_map(|entry| match entry {
            Entry::Running(running) => Some(running),
            Entry::Waiting(_) => None,
        })
    }

    /// Every finished try whose report is not answered.
    pub(crate) fn all_waiting(&mut self) -> impl Iterator<Item = &mut Waiting> {
        self.entries.values_mut().filter_map(|entry| match entry {
            Entry::Running(_) => None,
            Entry::Waiting(waiting) => Some(&mut **waiting),
        })
    }

    /// The finished try under this token, if its report is not answered.
    pub(crate) fn waiting(&mut self, token: i64) -> Option<&mut Waiting> {
        match self.entries.get_mut(&token) {
            Some(Entry::Waiting(waiting)) => Some(waiting),
            _ => None,
        }
    }

    /// The finished tries whose report is to be sent now; they are asked for once.
    pub(crate) fn take_unsent(&mut self) -> Vec<i64> {
        let unsent = std::mem::take(&mut self.unsent);
        for token in &unsent {
            if let Some(waiting) = self.waiting(*token) {
                waiting.is_unsent = false;
            }
        }
        unsent
    }

    /// A report is to be sent again.
    pub(crate) fn mark_unsent(&mut self, token: i64) {
        if let Some(Entry::Waiting(waiting)) = self.entries.get_mut(&token)
            && !waiting.is_unsent
        {
            waiting.is_unsent = true;
            self.unsent.push(token);
        }
    }

    /// Chunks of answered tries that the server does not keep yet.
    pub(crate) fn logs(&self) -> impl Iterator<Item = &LogChunk> {
        self.logs.values().flat_map(|log| &log.chunks)
    }

    /// Of these, the ones that have waited since `then`; they wait anew.
    pub(crate) fn overdue_logs(&mut self, then: Instant, now: Instant) -> Vec<LogChunk> {
        let overdue = self.logs.values_mut().filter(|log| log.since <= then);
        overdue
            .flat_map(|log| {
                log.since = now;
                log.chunks.clone()
            })
            .collect()
    }
}

/// The log of an answered try, as far as the server does not keep it.
struct UnkeptLog {
    chunks: Vec<LogChunk>,
    since: Instant,
}

#[cfg(test)]
mod tests;
