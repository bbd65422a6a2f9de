//! What a worker says: heartbeats, reports, logs, state, dead letters, replies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use subak_core::decide::TryEnd;
use subak_core::text::{json_without_nul, without_nul};
use subak_proto::{self as proto, ServerMessage, server_message::Message as Out, worker_message};
use subak_store::{NewDeadLetter, NewLogChunk};
use tokio::sync::mpsc;
use tonic::Streaming;
use tracing::{debug, warn};

use super::Gateway;
use super::own::Own;
use super::ranges;
use super::session::handed_over;
use crate::dispatch::Outbound;
use crate::engine::{DatasetReport, LargeXCom, LogTail, Outcome, TryReport, XComReport, fence};

/// Chunks of logs that wait to be kept together.
const LOG_CHUNKS_MOST: usize = 64;
/// Before logs that could not be kept are tried again.
const LOG_PAUSE: Duration = Duration::from_millis(500);

/// One stream's receiving side.
pub(super) struct Inbound {
    gateway: Gateway,
    session: i64,
    own: Own,
    outbound: Outbound,
    /// How much had gone on when the last heartbeat's digest did not match.
    differed_at: Option<u64>,
    /// What follows on the stream must not be read.
    broken: bool,
    /// Logs are kept beside the stream, so that a slow disk holds up no report.
    logs: mpsc::Sender<proto::LogChunk>,
}

impl Inbound {
    pub(super) fn new(gateway: Gateway, session: i64, own: Own, outbound: Outbound) -> Self {
        let (logs, waiting) = mpsc::channel(LOG_CHUNKS_MOST * 4);
        gateway.beside.spawn(keep_logs(gateway.clone(), outbound.clone(), waiting));
        Self { gateway, session, own, outbound, differed_at: None, broken: false, logs }
    }

    /// Reads messages until the stream ends; returns whether there was any.
    pub(super) async fn serve(mut self, mut stream: Streaming<proto::WorkerMessage>) -> bool {
        let mut heard = false;
        while let Some(Ok(message)) = stream.next().await {
            heard = true;
            let Some(message) = message.message else { continue };
            if let Err(error) = self.take(message).await {
                warn!(
                    error = format!("{error:#}"),
                    worker.session = self.session,
                    "worker protocol"
                );
            }
            if self.broken {
                break;
            }
        }
        heard
    }

    async fn take(&mut self, message: worker_message::Message) -> anyhow::Result<()> {
        use worker_message::Message as In;
        let core = self.gateway.engine.core.clone();
        match message {
            In::Reports(reports) => {
                for report in reports.reports {
                    if !self.own.has(report.r#try.as_ref()) {
                        self.disown(report.r#try);
                    } else if let Some(report) = try_report(report) {
                        self.gateway.engine.reports().report_from(self.session, report).await;
                    }
                }
                Ok(())
            }
            In::Heartbeat(beat) => self.heartbeat(beat).await,
            In::Credit(credit) => {
                let free: BTreeMap<_, _> =
                    credit.queues.into_iter().map(|queue| (queue.queue, queue.free)).collect();
                core.sessions.credit(self.session, &self.outbound, &free, credit.assignments_seen);
                core.claims_wake();
                Ok(())
            }
            In::Refused(refused) => self.refused(refused).await,
            In::Log(chunk) if self.own.has(chunk.r#try.as_ref()) => {
                Ok(self.logs.send(chunk).await?)
            }
            In::State(request) => self.state(request).await,
            In::Range(request) => {
                let is_own = self.own.has(request.r#try.as_ref());
                if let Some(reply) = ranges::answer(&core, request, is_own).await {
                    self.send(Out::Range(reply));
                }
                Ok(())
            }
            In::DeadLetters(letters) if self.own.has(letters.r#try.as_ref()) => {
                self.dead_letters(letters).await
            }
            In::Log(_) | In::DeadLetters(_) => Ok(()),
            In::Reply(reply) => {
                self.gateway.requests.answer(self.session, reply);
                Ok(())
            }
            In::Draining(_) => {
                core.sessions.drain(self.session);
                core.asked(core.store.session_drain(self.session)).await
            }
            In::Progress(progress) => {
                if progress.r#try.is_some_and(|it| core.sessions.holds(self.session, it.token)) {
                    core.progress(progress);
                }
                Ok(())
            }
            In::Hello(_) => anyhow::bail!("Hello came twice"),
        }
    }

    /// A report of a try that was never this worker's: it is told to drop it.
    fn disown(&self, try_: Option<proto::TryRef>) {
        let answer = proto::Answer::Superseded.into();
        let answers = vec![proto::ReportAnswer { r#try: try_, answer }];
        self.send(Out::ReportAnswers(proto::ReportAnswers { answers }));
    }

    /// Renews the lease; acknowledged only after the database did.
    async fn heartbeat(&mut self, beat: proto::Heartbeat) -> anyhow::Result<()> {
        let core = self.gateway.engine.core.clone();
        let Some(renewed) = core.renew(self.session).await? else {
            // Marked dead: the worker joins anew, and learns what it may keep.
            core.sessions.disconnect(self.session, &self.outbound);
            anyhow::bail!("the session is dead: its stream is ended");
        };
        let (digest, count, activity) = core.sessions.digest(self.session).unwrap_or_default();
        let matches = digest == beat.digest && u32::try_from(count).is_ok_and(|n| n == beat.count);
        // While tries come and go a heartbeat crosses them, and the two counts differ for a moment:
        // only a difference that stays while nothing moves is one.
        let stays = !matches && self.differed_at == Some(activity);
        self.differed_at = (!matches && !stays).then_some(activity);
        self.send(Out::HeartbeatAck(proto::HeartbeatAck {
            sequence: beat.sequence,
            digest_matches: !stays,
            now_micros: renewed.now.timestamp_micros(),
        }));
        if renewed.draining {
            core.drain(self.session);
        }
        if stays {
            self.reconcile(activity).await?;
        }
        Ok(())
    }

    /// The two sides' books differ: the database's is sent.
    async fn reconcile(&self, activity: u64) -> anyhow::Result<()> {
        let core = &self.gateway.engine.core;
        let held = core.asked(core.store.tries_of_session(self.session)).await?;
        let books = held.iter().map(|t| (t.token, t.fence().instance, t.queue.clone()));
        if !core.sessions.reconcile(self.session, activity, books) {
            return Ok(());
        }
        debug!(worker.session = self.session, tries = held.len(), "the books of a worker differed");
        let tries = held.iter().map(|t| crate::engine::try_ref(&t.fence())).collect();
        self.send(Out::Held(proto::Held { tries }));
        // Duplicates are ignored by the worker.
        let again: Vec<_> = held.iter().filter(|held| !held.restarting).map(handed_over).collect();
        core.within(core.assign(&again)).await
    }

    async fn refused(&mut self, mut refused: proto::Refused) -> anyhow::Result<()> {
        let core = &self.gateway.engine.core;
        refused.tries.retain(|try_| self.own.has(Some(try_)));
        if refused.tries.is_empty() {
            return Ok(());
        }
        let fences: Vec<_> = refused.tries.iter().map(fence).collect();
        let runs: Vec<_> = fences.iter().map(|fence| fence.instance.run).collect();
        core.asked(async {
            let mut tx = core.store.engine_begin().await?;
            let locked = tx.runs_lock(&runs).await?;
            tx.tasks_refuse(&fences).await?;
            // What was handed over before the pause is ready again: it is held back as the rest was.
            let paused: BTreeSet<i32> =
                locked.iter().filter(|run| run.is_paused).map(|run| run.dag).collect();
            for dag in paused {
                tx.outbox_put("pause", None, Some(dag), &serde_json::json!({})).await?;
            }
            tx.commit().await
        })
        .await?;
        for fence in &fences {
            core.sessions.refused(fence.session, fence.token);
        }
        for queue in core.sessions.queues() {
            core.backlog.raise(&queue);
        }
        Ok(())
    }

    async fn state(&mut self, request: proto::StateRequest) -> anyhow::Result<()> {
        use proto::state_request::Operation;
        let core = &self.gateway.engine.core;
        let store = &core.store;
        let Some(try_) = request.r#try.as_ref().map(fence) else { return Ok(()) };
        let superseded = || "the try was superseded".to_owned();
        if !self.own.has(request.r#try.as_ref()) {
            let (id, error) = (request.id, superseded());
            self.send(Out::State(proto::StateReply { id, value: None, error }));
            return Ok(());
        }
        let put = async |value: Option<&Value>| match core
            .asked(store.task_state_put(&try_, &request.key, value))
            .await
        {
            Ok(true) => String::new(),
            Ok(false) => superseded(),
            Err(error) => format!("{error:#}"),
        };
        let mut reply = proto::StateReply { id: request.id, value: None, error: String::new() };
        match &request.operation {
            Some(Operation::Get(_)) => {
                match core.asked(store.task_state_get(&try_, &request.key)).await {
                    Ok(value) => reply.value = value.map(|value| value.to_string().into_bytes()),
                    Err(error) => reply.error = format!("{error:#}"),
                }
            }
            Some(Operation::Put(bytes)) => {
                reply.error = match serde_json::from_slice(bytes) {
                    Ok(value) => put(Some(&value)).await,
                    Err(error) => format!("the value is not JSON: {error}"),
                };
            }
            Some(Operation::Delete(_)) => reply.error = put(None).await,
            None => reply.error = "the request names no operation".to_owned(),
        }
        self.send(Out::State(reply));
        Ok(())
    }

    async fn dead_letters(&mut self, letters: proto::DeadLetters) -> anyhow::Result<()> {
        let Some(try_) = letters.r#try else { return Ok(()) };
        let rows: Vec<NewDeadLetter> = letters
            .letters
            .into_iter()
            .map(|letter| NewDeadLetter {
                source: without_nul(letter.source),
                partition: letter.partition,
                position: letter.position,
                reasons: letter.reasons.into_iter().map(without_nul).collect(),
                raw: letter.raw,
                shown: Some(letter.shown).filter(|shown| !shown.is_empty()),
                metadata: serde_json::from_slice(&letter.metadata).ok().map(json_without_nul),
                replay_of: letter.replay_of,
            })
            .collect();
        let core = &self.gateway.engine.core;
        let kept = core.asked(core.store.dead_letters_put(&fence(&try_), &rows)).await;
        if kept.is_err() {
            // The result behind them would make them visible: the worker joins anew and sends them
            // again, before the result.
            self.broken = true;
            core.sessions.disconnect(self.session, &self.outbound);
        }
        // A superseded try is told by its heartbeat; its letters need no answer.
        if kept? {
            let up_to = letters.sequence + 1;
            self.send(Out::DeadLetterAck(proto::DeadLetterAck { r#try: Some(try_), up_to }));
        }
        Ok(())
    }

    fn send(&self, message: Out) {
        self.gateway.engine.core.sessions.send(self.session, message);
    }
}

/// Keeps chunks of logs in batches that form by themselves, and acknowledges them.
async fn keep_logs(
    gateway: Gateway,
    outbound: Outbound,
    mut waiting: mpsc::Receiver<proto::LogChunk>,
) {
    let core = &gateway.engine.core;
    let mut chunks = Vec::new();
    while waiting.recv_many(&mut chunks, LOG_CHUNKS_MOST).await > 0 {
        let rows: Vec<NewLogChunk> = chunks.iter().filter_map(log_chunk).collect();
        // Later chunks must not be acknowledged before these: that would tell of these, too. The
        // worker holds its tries up when too many chunks wait, and sends all of them again to the
        // server that it joins next.
        while let Err(error) = core.asked(core.store.log_append(&rows)).await {
            warn!(error = format!("{error:#}"), "logs could not be kept, trying again");
            if waiting.is_closed() {
                return;
            }
            tokio::time::sleep(LOG_PAUSE).await;
        }
        let mut acks: BTreeMap<i64, proto::LogAck> = BTreeMap::new();
        for chunk in chunks.drain(..) {
            let Some(try_) = chunk.r#try else { continue };
            let up_to = chunk.sequence + 1;
            let ack = acks.entry(try_.token).or_insert(proto::LogAck { r#try: Some(try_), up_to });
            ack.up_to = ack.up_to.max(up_to);
        }
        for ack in acks.into_values() {
            let run = ack.r#try.map(|try_| subak_core::ids::RunKey(try_.run));
            let message = ServerMessage { message: Some(Out::LogAck(ack)) };
            if outbound.send(message).await.is_err() {
                return;
            }
            if let Some(run) = run {
                core.changed(run);
            }
        }
    }
}

fn log_chunk(chunk: &proto::LogChunk) -> Option<NewLogChunk> {
    Some(NewLogChunk {
        fence: fence(chunk.r#try.as_ref()?),
        sequence: i32::try_from(chunk.sequence).ok()?,
        first_line: i64::try_from(chunk.first_line).ok()?,
        lines: i32::try_from(chunk.lines).ok()?,
        lz4: chunk.lz4.to_vec(),
    })
}

/// A report from the wire, without what the database cannot keep; one that names no try, or no outcome, is dropped.
fn try_report(report: proto::Report) -> Option<TryReport> {
    let outcome = match report.outcome() {
        proto::Outcome::Unspecified => return None,
        proto::Outcome::Success => Outcome::Success,
        proto::Outcome::Failed => Outcome::Failed(TryEnd::Transient),
        proto::Outcome::FailedPermanent => Outcome::Failed(TryEnd::Permanent),
        proto::Outcome::Skipped => Outcome::Skipped,
        proto::Outcome::Stopped => Outcome::Stopped,
        proto::Outcome::WorkerLost => Outcome::Failed(TryEnd::WorkerLost),
    };
    let json = |bytes: &[u8]| json_without_nul(serde_json::from_slice(bytes).unwrap_or_default());
    Some(TryReport {
        fence: fence(report.r#try.as_ref()?),
        outcome,
        error: (!report.error.is_empty()).then(|| without_nul(report.error)),
        exit_code: report.exit_code,
        xcoms: report
            .xcoms
            .into_iter()
            .map(|xcom| XComReport {
                value: json(&xcom.value),
                shown: (!xcom.shown.is_empty()).then(|| json(&xcom.shown)),
                large: (xcom.large_bytes > 0)
                    .then_some(LargeXCom { bytes: xcom.large_bytes, items: xcom.items }),
                key: without_nul(xcom.key),
            })
            .collect(),
        datasets: report
            .datasets
            .into_iter()
            .map(|dataset| DatasetReport {
                reference: json(&dataset.value),
                stats: json(&dataset.stats),
                preview: json(&dataset.preview),
                name: without_nul(dataset.name),
            })
            .collect(),
        rows_rejected: report.rows_rejected,
        rendered: (!report.rendered.is_empty()).then(|| json(&report.rendered)),
        scans: report.scans.into_iter().map(|scan| (scan.task_id, scan.rows)).collect(),
        dead_letters: report.dead_letter_chunks > 0,
        log: report.log.map(|log| LogTail {
            sequence: i32::try_from(log.sequence).unwrap_or(i32::MAX),
            first_line: i64::try_from(log.first_line).unwrap_or(0),
            lines: i32::try_from(log.lines).unwrap_or(0),
            lz4: log.lz4.to_vec(),
        }),
        is_refused: false,
    })
}
