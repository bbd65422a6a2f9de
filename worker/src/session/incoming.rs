//! What the server says.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use subak_proto::server_message::Message;
use subak_proto::{
    Answer, Assignment, HeartbeatAck, Held, RangeReply, ServerMessage, StateReply, TryRef,
};
use tonic::Status;
use tracing::{debug, error, warn};

use super::Session;
use super::assigned::{Assigned, assigned};
use super::book::{Admission, Running};
use super::outbox::Event;
use crate::requests;
use crate::spool;
use crate::tries::{self, StopCause};

impl Session {
    /// Takes what came out of the stream.
    pub(super) fn take_message(&mut self, message: Option<Result<Option<ServerMessage>, Status>>) {
        match message {
            Some(Ok(Some(message))) => {
                if let Some(message) = message.message {
                    self.take(message);
                }
            }
            Some(Ok(None)) => {
                warn!("the server ended the stream");
                self.disconnect();
            }
            Some(Err(status)) => {
                warn!(error = %status, "the stream broke");
                self.disconnect();
            }
            None => {}
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Assignments(all) => self.assign(all.assignments),
            Message::ReportAnswers(all) => {
                for answer in all.answers {
                    let try_ref = answer.r#try.unwrap_or_default();
                    self.answer(try_ref, answer.answer());
                }
                self.settle_former(Instant::now());
                self.send_credit_if_due();
            }
            Message::LogAck(ack) => {
                let try_ref = ack.r#try.unwrap_or_default();
                if self.book.log_kept(try_ref, ack.up_to) {
                    self.spool.remove_soon(try_ref);
                }
            }
            Message::HeartbeatAck(ack) => self.heartbeat_answered(ack),
            Message::Held(held) => self.compare(&held),
            Message::Stop(stop) => {
                let try_ref = stop.r#try.unwrap_or_default();
                if let Some(running) = self.book.running(try_ref.token) {
                    running.stop.give(StopCause::Server(stop.reason), None);
                }
            }
            Message::Yield(order) => {
                let try_ref = order.r#try.unwrap_or_default();
                if let Some(running) = self.book.running(try_ref.token) {
                    debug!(token = try_ref.token, reason = order.reason, "asked to yield");
                    running.yields.cancel();
                }
            }
            Message::State(reply) => self.state_answered(reply),
            Message::Range(reply) => self.range_answered(reply),
            Message::DeadLetterAck(ack) => {
                self.letters_kept(ack.r#try.unwrap_or_default(), ack.up_to);
            }
            Message::Request(request) => {
                let (outbox, host) = (self.outbox.clone(), Arc::clone(&self.host));
                self.tries.spawn(async move {
                    let reply = requests::answer(request, &host.readable).await;
                    outbox.send(Event::Reply(reply));
                });
            }
            Message::Drain(drain) => self.drain(&drain.reason),
            Message::Leave(leave) => self.leave(&leave.reason),
            Message::Welcome(_) => warn!("a second welcome on one stream"),
        }
    }

    // ---- assignments -------------------------------------------------------------------------

    fn assign(&mut self, assignments: Vec<Assignment>) {
        let mut refused = Vec::new();
        self.seen += assignments.len() as u64;
        let now = Instant::now();
        for assignment in assignments {
            let try_ref = assignment.r#try.unwrap_or_default();
            let admission = if self.is_draining || try_ref.session != self.id {
                Admission::Refuse
            } else {
                self.book.admit(try_ref, &assignment.queue)
            };
            match admission {
                Admission::Start(queue) => self.start(assignment, queue, now),
                // Where it has ended, its report was lost on the way.
                Admission::Known => self.resend_report(try_ref.token, now),
                Admission::Refuse => refused.push(try_ref),
            }
        }
        self.send_refused(refused);
        self.send_reports(now);
    }

    fn start(&mut self, assignment: Assignment, queue: usize, now: Instant) {
        let try_ref = assignment.r#try.unwrap_or_default();
        let task = self.cache.get(&assignment.task, &self.host.registry);
        let task = task.map_err(|error| format!("this worker cannot read the task: {error}"));
        let made = task
            .and_then(|task| assigned(assignment, task, &self.host, &self.outbox, &self.requests));
        match made {
            Ok(assigned) => self.start_assigned(assigned, queue, now),
            Err(error) => {
                error!(token = try_ref.token, error, "an assignment cannot be read");
                self.book.finish(unreadable(try_ref, error), Vec::new(), false, now);
            }
        }
    }

    fn start_assigned(&mut self, assigned: Assigned, queue: usize, now: Instant) {
        self.book.start(Running {
            try_ref: assigned.try_ref,
            queue,
            since: now,
            stop: Arc::clone(&assigned.this.stop),
            yields: assigned.this.ctx.yields.clone(),
            has_left: false,
            log: Arc::clone(&assigned.this.log),
            letters: Arc::clone(&assigned.letters),
        });
        if assigned.this.task.is_immediate() && assigned.large.is_empty() {
            // Here and now: a task of its own would cost more than the work. One that waits
            // against its word is run again in the ordinary way.
            if let Some(ended) = tries::run(&assigned.this).now_or_never() {
                self.book.finish(assigned.report(ended), Vec::new(), false, now);
                return;
            }
        }
        let (folder, outbox) = (self.spool.folder().to_owned(), self.outbox.clone());
        self.tries.spawn(async move {
            let mut assigned = assigned;
            let ended = assigned.run().await;
            let report = assigned.report(ended);
            let chunks = assigned.unkept_chunks();
            // On disk before the server hears of it: the work is done, whatever happens now.
            let letters = assigned.letters.unkept();
            let written = spool::write(&folder, &report, &chunks, &letters);
            if let Err(error) = &written {
                error!(%error, "a finished try's result could not be written");
            }
            let report = Box::new(report);
            outbox.send(Event::Finished { report, chunks, spooled: written.is_ok() });
        });
    }

    fn answer(&mut self, try_ref: TryRef, answer: Answer) {
        let later = Instant::now() + Duration::from_millis(250);
        if answer == Answer::Later {
            self.resend_at = Some(self.resend_at.map_or(later, |at| at.min(later)));
        }
        // The server may have taken the slot of a superseded try back on its own.
        self.credit_due |= answer == Answer::Superseded;
        let has_file = self.book.waiting(try_ref.token).is_some_and(|waiting| waiting.is_spooled);
        if self.book.answer(try_ref, answer, later) && has_file {
            self.spool.remove_soon(try_ref);
        }
        if answer != Answer::Later {
            self.letters.remove(&try_ref.token);
        }
    }

    // ---- the lease ---------------------------------------------------------------------------

    fn heartbeat_answered(&mut self, ack: HeartbeatAck) {
        let Some(sent) = self.lease.answered(ack.sequence) else { return };
        self.lease_lost = false;
        self.held_as_of = (!ack.digest_matches).then_some(sent);
    }

    /// Stops what the session does not hold any more. A try that came less than two heartbeats
    /// before the one that the list answers may be missing only because it crossed the list.
    fn compare(&mut self, held: &Held) {
        let known: HashSet<i64> = held.tries.iter().map(|try_ref| try_ref.token).collect();
        let now = Instant::now();
        let asked = self.held_as_of.take().unwrap_or(now);
        let is_old = |since: Instant| asked.duration_since(since) > 2 * self.lease.beat_period();
        let lost = self.book.all_running().filter(|running| {
            running.try_ref.session == self.id
                && !known.contains(&running.try_ref.token)
                && is_old(running.since)
        });
        for running in lost {
            debug!(token = running.try_ref.token, "the session does not hold it any more");
            running.stop.give(StopCause::Server("superseded".to_owned()), None);
        }
        for token in self.book.all_waiting().map(|waiting| waiting.token()).collect::<Vec<_>>() {
            self.resend_report(token, now);
        }
        self.send_reports(now);
        self.credit_due = true;
    }

    // ---- state and dead letters --------------------------------------------------------------

    fn state_answered(&mut self, answer: StateReply) {
        if let Some((_, reply)) = self.states.remove(&answer.id) {
            let value = if answer.error.is_empty() { Ok(answer.value) } else { Err(answer.error) };
            let _ = reply.send(value);
        }
    }

    fn range_answered(&mut self, answer: RangeReply) {
        if let Some((_, reply)) = self.ranges.remove(&answer.id) {
            let value = if answer.error.is_empty() { Ok(answer.answer) } else { Err(answer.error) };
            let _ = reply.send(value);
        }
    }

    fn letters_kept(&mut self, try_ref: TryRef, up_to: u64) {
        if let Some(letters) = self.letters.get_mut(&try_ref.token) {
            letters.retain(|message| message.sequence >= up_to);
        }
        if let Some(running) = self.book.running(try_ref.token) {
            running.letters.kept(up_to);
        }
    }
}

fn unreadable(try_ref: TryRef, error: String) -> subak_proto::Report {
    let mut report = subak_proto::Report { r#try: Some(try_ref), error, ..Default::default() };
    report.set_outcome(subak_proto::Outcome::FailedPermanent);
    report
}
