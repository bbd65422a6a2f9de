//! What the worker says.

use std::time::{Duration, Instant};

use subak_proto::worker_message::Message;
use subak_proto::{
    Credit, DeadLetters, Draining, Heartbeat, Refused, Reports, TryRef, WorkerMessage,
};

use super::Session;
use super::outbox::{Event, packed};

/// Reports of one message.
const REPORTS_AT_ONCE: usize = 256;

impl Session {
    /// Takes what the tries have to say.
    pub(super) fn take_events(&mut self, events: &mut Vec<Event>) {
        let now = Instant::now();
        for event in events.drain(..) {
            match event {
                Event::Log { token, chunk } => {
                    if let Some(running) = self.book.running(token) {
                        let chunk = packed(running.try_ref, chunk);
                        self.send(Message::Log(chunk));
                    }
                }
                Event::Finished { report, chunks, spooled } => {
                    self.book.finish(*report, chunks, spooled, now);
                }
                Event::Progress(progress) => self.send(Message::Progress(progress)),
                Event::State { request, reply } => {
                    self.send(Message::State(request.clone()));
                    self.states.insert(request.id, (request, reply));
                }
                Event::Range { request, reply } => {
                    self.send(Message::Range(request.clone()));
                    self.ranges.insert(request.id, (request, reply));
                }
                Event::DeadLetters(letters) => {
                    let token = letters.r#try.unwrap_or_default().token;
                    self.send(Message::DeadLetters(DeadLetters::clone(&letters)));
                    self.letters.entry(token).or_default().push(letters);
                }
                Event::Slot { token, is_left } => {
                    self.credit_due |= self.book.slot_of(token, is_left);
                }
                Event::Reply(reply) => self.send(Message::Reply(reply)),
            }
        }
        self.send_reports(now);
        self.send_credit_if_due();
    }

    /// Sends the reports that were not sent on this stream, in few messages.
    pub(super) fn send_reports(&mut self, now: Instant) {
        let again = now + self.lease.beat_period().max(Duration::from_secs(1));
        let mut reports = Vec::new();
        let unsent = self.book.take_unsent();
        if !unsent.is_empty() {
            self.spool_at.get_or_insert(now + super::SPOOL_AFTER);
        }
        for token in unsent {
            let Some(waiting) = self.book.waiting(token).filter(|_| self.link.is_some()) else {
                continue;
            };
            waiting.resend_at = again;
            reports.push(waiting.report.clone());
        }
        let batches = subak_proto::grouped(reports, REPORTS_AT_ONCE);
        if !batches.is_empty() {
            self.resend_at.get_or_insert(again);
        }
        for reports in batches {
            self.send(Message::Reports(Reports { reports }));
        }
    }

    /// Sends one report again, if it waits.
    pub(super) fn resend_report(&mut self, token: i64, now: Instant) {
        if let Some(waiting) = self.book.waiting(token) {
            waiting.resend_at = now;
            self.book.mark_unsent(token);
        }
    }

    /// Sends the reports again whose answer is overdue.
    pub(super) fn resend_reports(&mut self, now: Instant) {
        let waiting = self.book.all_waiting();
        let due: Vec<i64> = waiting
            .filter(|waiting| waiting.resend_at <= now)
            .map(|waiting| waiting.token())
            .collect();
        for token in due {
            self.book.mark_unsent(token);
        }
        self.send_reports(now);
        self.resend_at = self.book.all_waiting().map(|waiting| waiting.resend_at).min();
    }

    /// After a welcome: everything that was not answered goes again.
    pub(super) fn resend_all(&mut self, now: Instant) {
        let running = self.book.all_running();
        let mut logs: Vec<_> = running
            .flat_map(|running| {
                let chunks = running.log.unkept().into_iter();
                chunks.map(|chunk| packed(running.try_ref, chunk))
            })
            .collect();
        logs.extend(self.book.logs().cloned());
        logs.extend(self.book.all_waiting().flat_map(|waiting| waiting.chunks.clone()));
        for chunk in logs {
            self.send(Message::Log(chunk));
        }
        let letters: Vec<_> = self.letters.values().flatten().cloned().collect();
        for letters in letters {
            self.send(Message::DeadLetters(DeadLetters::clone(&letters)));
        }
        let states: Vec<_> = self.states.values().map(|(request, _)| request.clone()).collect();
        for request in states {
            self.send(Message::State(request));
        }
        let ranges: Vec<_> = self.ranges.values().map(|(request, _)| request.clone()).collect();
        for request in ranges {
            self.send(Message::Range(request));
        }
        for token in self.book.all_waiting().map(|waiting| waiting.token()).collect::<Vec<_>>() {
            self.resend_report(token, now);
        }
        self.send_reports(now);
        self.send_draining();
        self.beat(now);
    }

    pub(super) fn beat(&mut self, now: Instant) {
        let sequence = self.lease.beat(now);
        let (digest, count) = self.book.digest();
        self.send(Message::Heartbeat(Heartbeat { sequence, digest, count }));
        // A server that could not keep a chunk says nothing.
        for chunk in self.book.overdue_logs(now - self.lease.patience(), now) {
            self.send(Message::Log(chunk));
        }
        self.send_credit_if_due();
    }

    pub(super) fn send_draining(&self) {
        if self.is_draining {
            self.send(Message::Draining(Draining {}));
        }
    }

    pub(super) fn send_refused(&self, tries: Vec<TryRef>) {
        if !tries.is_empty() {
            self.send(Message::Refused(Refused { tries }));
        }
    }

    /// Sends the free slots where the server's count may be wrong. Only while no report is on its
    /// way: its answer gives a slot back, and would be counted twice or never.
    pub(super) fn send_credit_if_due(&mut self) {
        if self.credit_due && self.book.is_answered() && self.link.is_some() {
            self.credit_due = false;
            let queues = self.book.queue_slots(self.is_draining);
            self.send(Message::Credit(Credit { queues, assignments_seen: self.seen }));
        }
    }

    /// Without a stream nothing is sent: what matters is sent again after the next welcome.
    fn send(&self, message: Message) {
        if let Some(link) = &self.link {
            let _ = link.output.send(WorkerMessage { message: Some(message) });
        }
    }
}
