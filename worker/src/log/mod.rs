//! The log of one try: masked, cut into whole lines, numbered, gathered into chunks.
//!
//! The first line leaves at once, later ones together every [`FLUSH_EVERY`], the last with the
//! report. Where chunks go is the business of a [`Shipper`].

mod lines;
mod mask;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use subak_task::{LogSink, Pipe};
use tokio::sync::Notify;

use lines::Lines;
use mask::Masker;
pub(crate) use mask::{Patterns, hidden};

/// How long lines are gathered before they leave.
pub(crate) const FLUSH_EVERY: Duration = Duration::from_millis(150);
/// Bytes of a chunk before compression.
const CHUNK_LIMIT: usize = 64 * 1024;
/// Bytes of a try's log.
const LOG_LIMIT: u64 = 256 * 1024 * 1024;
/// Chunks that may wait for the server before a process is made to wait.
const CHUNKS_UNKEPT: usize = 64;

/// Whole lines of a try's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) sequence: u64,
    pub(crate) first_line: u64,
    pub(crate) lines: u32,
    /// Each line ends with a newline.
    pub(crate) text: Bytes,
}

/// Takes the chunks of logs.
pub(crate) trait Shipper: Send + Sync {
    /// Takes a chunk of the try that holds `token`.
    fn ship(&self, token: i64, chunk: Chunk);
    /// Calls [`TryLog::flush`] within [`FLUSH_EVERY`].
    fn flush_soon(&self, log: Weak<TryLog>);
}

/// One try's log.
pub(crate) struct TryLog {
    token: i64,
    patterns: Patterns,
    shipper: Arc<dyn Shipper>,
    /// The whole log leaves with the report: the try ends within microseconds.
    is_brief: bool,
    me: Weak<Self>,
    inner: Mutex<Inner>,
    progress: Notify,
}

#[derive(Default)]
struct Inner {
    pipes: [(Masker, Lines); 2],
    masked: Vec<u8>,
    text: Vec<u8>,
    lines: u32,
    first_line: u64,
    sequence: u64,
    bytes: u64,
    is_full: bool,
    is_waiting: bool,
    /// Shipped, and not yet kept by the server.
    unkept: VecDeque<Chunk>,
}

impl TryLog {
    /// Opens the log of the try that holds `token`.
    pub(crate) fn new(
        token: i64,
        patterns: Patterns,
        shipper: Arc<dyn Shipper>,
        is_brief: bool,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            token,
            patterns,
            shipper,
            is_brief,
            me: Weak::clone(me),
            inner: Mutex::default(),
            progress: Notify::new(),
        })
    }

    /// Hides the try's secrets in a text that leaves by another way.
    pub(crate) fn mask(&self, text: &str) -> String {
        self.patterns.mask(text)
    }

    /// The try's secrets.
    pub(crate) fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    /// Ships what was gathered.
    pub(crate) fn flush(&self) {
        let mut inner = self.lock();
        inner.is_waiting = false;
        self.ship(&mut inner);
    }

    /// Ends the log. Returns its number of chunks, and the last one where it was not shipped.
    pub(crate) fn finish(&self) -> (u64, Option<Chunk>) {
        let mut inner = self.lock();
        for pipe in [Pipe::Stdout, Pipe::Stderr] {
            self.drain(&mut inner, pipe);
        }
        let last = inner.take_chunk();
        (inner.sequence, last)
    }

    /// Notes that the server keeps the chunks below `up_to`.
    pub(crate) fn kept(&self, up_to: u64) {
        let mut inner = self.lock();
        while inner.unkept.front().is_some_and(|chunk| chunk.sequence < up_to) {
            inner.unkept.pop_front();
        }
        drop(inner);
        self.progress.notify_waiters();
    }

    /// The chunks that were shipped and that the server does not keep yet.
    pub(crate) fn unkept(&self) -> Vec<Chunk> {
        self.lock().unkept.iter().cloned().collect()
    }

    /// Whether the server keeps this shipped chunk.
    pub(crate) fn is_kept(&self, sequence: u64) -> bool {
        self.lock().unkept.front().is_none_or(|chunk| sequence < chunk.sequence)
    }

    fn drain(&self, inner: &mut Inner, pipe: Pipe) {
        let mut masked = std::mem::take(&mut inner.masked);
        let (mut masker, mut lines) = std::mem::take(&mut inner.pipes[pipe as usize]);
        masker.finish(&self.patterns, &mut masked);
        lines.feed(&masked, |line| self.add(inner, line));
        lines.finish(|line| self.add(inner, line));
        masked.clear();
        inner.masked = masked;
    }

    fn add(&self, inner: &mut Inner, line: &str) {
        if inner.is_full {
            return;
        }
        inner.bytes += line.len() as u64 + 1;
        let line = if inner.bytes > LOG_LIMIT {
            inner.is_full = true;
            "[the log ends here: it reached 256 MiB, the rest was dropped]"
        } else {
            line
        };
        if inner.text.len() + line.len() + 1 > CHUNK_LIMIT {
            self.ship(inner);
        }
        inner.text.extend_from_slice(line.as_bytes());
        inner.text.push(b'\n');
        inner.lines += 1;
    }

    /// Decides when the lines that were just added leave.
    fn schedule(&self, inner: &mut Inner) {
        if inner.text.is_empty() || self.is_brief {
            return;
        }
        if inner.sequence == 0 {
            self.ship(inner);
        } else if !inner.is_waiting {
            inner.is_waiting = true;
            self.shipper.flush_soon(Weak::clone(&self.me));
        }
    }

    fn ship(&self, inner: &mut Inner) {
        if let Some(chunk) = inner.take_chunk() {
            inner.unkept.push_back(chunk.clone());
            self.shipper.ship(self.token, chunk);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take_chunk(&mut self) -> Option<Chunk> {
        if self.text.is_empty() {
            return None;
        }
        let chunk = Chunk {
            sequence: self.sequence,
            first_line: self.first_line,
            lines: self.lines,
            text: std::mem::take(&mut self.text).into(),
        };
        self.sequence += 1;
        self.first_line += u64::from(self.lines);
        self.lines = 0;
        Some(chunk)
    }
}

impl LogSink for TryLog {
    fn line(&self, line: &str) {
        let line = self.patterns.mask(line);
        let mut inner = self.lock();
        let mut lines = Lines::default();
        lines.feed(line.as_bytes(), |line| self.add(&mut inner, line));
        lines.finish(|line| self.add(&mut inner, line));
        self.schedule(&mut inner);
    }

    fn bytes(&self, pipe: Pipe, bytes: &[u8]) {
        let mut inner = self.lock();
        let mut masked = std::mem::take(&mut inner.masked);
        let (mut masker, mut lines) = std::mem::take(&mut inner.pipes[pipe as usize]);
        masker.feed(&self.patterns, bytes, &mut masked);
        lines.feed(&masked, |line| self.add(&mut inner, line));
        inner.pipes[pipe as usize] = (masker, lines);
        masked.clear();
        inner.masked = masked;
        self.schedule(&mut inner);
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            loop {
                let mut progress = std::pin::pin!(self.progress.notified());
                progress.as_mut().enable();
                if self.lock().unkept.len() < CHUNKS_UNKEPT {
                    return;
                }
                progress.await;
            }
        })
    }
}

#[cfg(test)]
mod tests;
