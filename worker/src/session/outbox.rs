//! What tries have to say to the server, on its way to the session.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use subak_core::range::{Answer, Operation};
use subak_proto::{
    DeadLetters, LogChunk, Progress, RangeRequest, Report, RequestReply, StateRequest,
};
use subak_proto::{TryRef, state_request};
use subak_task::{ProgressSink, Ranges, Slot, StateStore, TaskError};
use tokio::sync::{mpsc, oneshot};

use super::letters::LetterCount;
use crate::log::{Chunk, FLUSH_EVERY, Patterns, Shipper, TryLog};

/// Something for the session to send, and to send again until it is answered.
pub(crate) enum Event {
    Log {
        token: i64,
        chunk: Chunk,
    },
    /// `spooled`: the report already lies on disk.
    Finished {
        report: Box<Report>,
        chunks: Vec<LogChunk>,
        spooled: bool,
    },
    Progress(Progress),
    State {
        request: StateRequest,
        reply: oneshot::Sender<Result<Option<Vec<u8>>, String>>,
    },
    Range {
        request: RangeRequest,
        reply: oneshot::Sender<Result<Vec<u8>, String>>,
    },
    DeadLetters(Arc<DeadLetters>),
    /// A try waits without its slot, or has it again.
    Slot {
        token: i64,
        is_left: bool,
    },
    Reply(RequestReply),
}

/// The way into the session.
#[derive(Clone)]
pub(crate) struct Outbox {
    /// Sent from within locks, so never waited for. The session takes what is there at every turn,
    /// linked or not; a try adds one report, 64 chunks of log before it is made to wait for the
    /// server, and so many messages of rejected records.
    events: mpsc::UnboundedSender<Event>,
    /// Each running try once.
    waiting_logs: mpsc::UnboundedSender<Weak<TryLog>>,
}

impl Outbox {
    /// Opens the outbox; the second part is the session's end, the third is for [`flush_logs`].
    pub(crate) fn open() -> (Self, mpsc::UnboundedReceiver<Event>, WaitingLogs) {
        let (events, received) = mpsc::unbounded_channel();
        let (waiting_logs, logs) = mpsc::unbounded_channel();
        (Self { events, waiting_logs }, received, WaitingLogs(logs))
    }

    /// Hands an event over. After the session's end nobody listens: the spool has what matters.
    pub(crate) fn send(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

/// Logs with lines that wait to leave.
pub(crate) struct WaitingLogs(mpsc::UnboundedReceiver<Weak<TryLog>>);

/// Flushes waiting logs together, every [`FLUSH_EVERY`] while there are some.
pub(crate) async fn flush_logs(mut logs: WaitingLogs) {
    let mut waiting = Vec::new();
    while logs.0.recv_many(&mut waiting, usize::MAX).await > 0 {
        tokio::time::sleep(FLUSH_EVERY).await;
        while let Ok(log) = logs.0.try_recv() {
            waiting.push(log);
        }
        for log in waiting.drain(..).filter_map(|log| log.upgrade()) {
            log.flush();
        }
    }
}

impl Shipper for Outbox {
    fn ship(&self, token: i64, chunk: Chunk) {
        self.send(Event::Log { token, chunk });
    }

    fn flush_soon(&self, log: Weak<TryLog>) {
        let _ = self.waiting_logs.send(log);
    }
}

/// Puts a chunk into the form that travels.
pub(crate) fn packed(try_ref: TryRef, chunk: Chunk) -> LogChunk {
    LogChunk {
        r#try: Some(try_ref),
        sequence: chunk.sequence,
        lz4: Bytes::from(lz4_flex::block::compress_prepend_size(&chunk.text)),
        lines: chunk.lines,
        first_line: chunk.first_line,
    }
}

/// One try's line to the session, for what is neither log nor report.
pub(crate) struct TryLine {
    pub(super) try_ref: TryRef,
    pub(super) outbox: Outbox,
    log: Arc<TryLog>,
    requests: Arc<AtomicU64>,
    pub(super) letters: Arc<LetterCount>,
}

impl TryLine {
    /// Opens the line; `requests` numbers the requests of all tries.
    pub(crate) fn new(
        try_ref: TryRef,
        outbox: Outbox,
        log: Arc<TryLog>,
        requests: Arc<AtomicU64>,
    ) -> Self {
        Self { try_ref, outbox, log, requests, letters: Arc::default() }
    }

    /// The secrets that nobody is to see.
    pub(super) fn patterns(&self) -> &Patterns {
        self.log.patterns()
    }

    /// The count of rejected records' messages.
    pub(crate) fn letters(&self) -> &Arc<LetterCount> {
        &self.letters
    }

    async fn ask(
        &self,
        key: &str,
        operation: state_request::Operation,
    ) -> Result<Option<Vec<u8>>, TaskError> {
        let (reply, answer) = oneshot::channel();
        let request = StateRequest {
            id: self.requests.fetch_add(1, Ordering::Relaxed),
            r#try: Some(self.try_ref),
            key: key.to_owned(),
            operation: Some(operation),
        };
        self.outbox.send(Event::State { request, reply });
        let answer = answer.await.map_err(|_| TaskError::transient("the worker has ended"))?;
        answer.map_err(|error| TaskError::transient(format!("state `{key}`: {error}")))
    }
}

impl ProgressSink for TryLine {
    fn progress(&self, rows: u64, bytes: u64, note: &str) {
        let note = self.log.mask(note);
        self.outbox.send(Event::Progress(Progress {
            r#try: Some(self.try_ref),
            rows,
            bytes,
            note,
        }));
    }
}

impl Slot for TryLine {
    fn leave(&self) {
        self.outbox.send(Event::Slot { token: self.try_ref.token, is_left: true });
    }

    fn take(&self) {
        self.outbox.send(Event::Slot { token: self.try_ref.token, is_left: false });
    }
}

#[async_trait]
impl StateStore for TryLine {
    async fn get(&self, key: &str) -> Result<Option<Value>, TaskError> {
        let bytes = self.ask(key, state_request::Operation::Get(true)).await?;
        let value = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        value.map_err(|error| TaskError::permanent(format!("state `{key}` is not JSON: {error}")))
    }

    async fn put(&self, key: &str, value: &Value) -> Result<(), TaskError> {
        let put = state_request::Operation::Put(value.to_string().into_bytes());
        self.ask(key, put).await.map(drop)
    }

    async fn delete(&self, key: &str) -> Result<(), TaskError> {
        self.ask(key, state_request::Operation::Delete(true)).await.map(drop)
    }
}

#[async_trait]
impl Ranges for TryLine {
    async fn ask(&self, operation: Operation) -> Result<Answer, TaskError> {
        let unreadable = |error| TaskError::permanent(format!("a range of a topic: {error}"));
        let (reply, answer) = oneshot::channel();
        let request = RangeRequest {
            id: self.requests.fetch_add(1, Ordering::Relaxed),
            r#try: Some(self.try_ref),
            operation: serde_json::to_vec(&operation).map_err(unreadable)?,
        };
        self.outbox.send(Event::Range { request, reply });
        let answer = answer.await.map_err(|_| TaskError::transient("the worker has ended"))?;
        let answer = answer.map_err(TaskError::transient)?;
        serde_json::from_slice(&answer).map_err(unreadable)
    }
}
