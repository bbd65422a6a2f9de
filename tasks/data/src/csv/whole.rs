//! Knows when files were read from beginning to end, and then how many rows they have.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use subak_task::ScanCounts;
use subak_tasks_csv::Parsed;

/// Whom to tell the rows of a whole scan.
#[derive(Clone)]
pub(crate) struct Whole {
    pub dataset: String,
    pub counts: Arc<ScanCounts>,
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whole").field("dataset", &self.dataset).finish_non_exhaustive()
    }
}

/// The chunks of one pass over the files. A reader that stops early leaves some unparsed, and then
/// nothing is told.
#[derive(Debug)]
pub(crate) struct Tally {
    whole: Option<Whole>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    rows: u64,
    unparsed: u64,
    ended: bool,
}

impl Tally {
    pub(crate) fn new(whole: Option<Whole>) -> Self {
        Self { whole, seen: Mutex::default() }
    }

    /// A chunk was handed out.
    pub(crate) fn given(&self) {
        self.seen().unparsed += 1;
    }

    /// A chunk was parsed.
    pub(crate) fn parsed(&self, parsed: &Parsed) {
        let rows: usize = parsed.batches.iter().map(RecordBatch::num_rows).sum();
        let mut seen = self.seen();
        seen.rows += rows as u64;
        seen.unparsed -= 1;
        self.tell(&seen);
    }

    /// No chunk is left.
    pub(crate) fn ended(&self) {
        let mut seen = self.seen();
        seen.ended = true;
        self.tell(&seen);
    }

    fn tell(&self, seen: &Seen) {
        if seen.ended
            && seen.unparsed == 0
            && let Some(whole) = &self.whole
        {
            whole.counts.note(&whole.dataset, seen.rows);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
