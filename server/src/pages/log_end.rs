//! The end of a try's log, as much of it as a page starts with.

use std::collections::VecDeque;

use subak_core::ids::RunKey;
use subak_store::read::{InstanceRecord, LogCursor};
use subak_store::{Store, StoreError};

/// Lines and bytes that a page starts with; the rest is a link away.
const LINES_MOST: usize = 2000;
const BYTES_MOST: usize = 1 << 20;

/// The last lines.
pub(super) struct LogEnd {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// There are earlier lines.
    pub(super) is_cut: bool,
    /// Where the log goes on, and the number of its next line.
    pub(super) next: LogCursor,
    pub(super) number: u64,
}

impl LogEnd {
    /// Reads it. What is in memory is the end and one part more, however long the log is.
    pub(super) async fn read(
        store: &Store,
        run: RunKey,
        it: &InstanceRecord,
        try_number: i32,
    ) -> Result<Self, StoreError> {
        let most = |most: usize| i64::try_from(most).unwrap_or(i64::MAX);
        let (lines, bytes) = (most(LINES_MOST), most(BYTES_MOST));
        let (next, is_cut) =
            store.log_tail(run, it.task, it.map_index, try_number, lines, bytes).await?;
        let number = u64::try_from(next.line).unwrap_or(0) + 1;
        let mut end = Self { lines: VecDeque::new(), bytes: 0, is_cut, next, number };
        loop {
            let part = store.log_read(run, it.task, it.map_index, try_number, end.next).await?;
            part.lines.into_iter().for_each(|line| end.push(line));
            end.next = part.next;
            if !part.more {
                return Ok(end);
            }
        }
    }

    /// Returns its lines as markup.
    pub(super) fn markup(self) -> String {
        let first = self.number - self.lines.len() as u64;
        subak_web::log::markup(&Vec::from(self.lines), first)
    }

    /// Adds a line, and drops what is too much at the beginning.
    fn push(&mut self, mut line: Vec<u8>) {
        // A worker cuts lines much sooner; nothing that one sends is believed.
        if line.len() > BYTES_MOST {
            line.truncate(BYTES_MOST);
            self.is_cut = true;
        }
        self.number += 1;
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > LINES_MOST || self.bytes > BYTES_MOST {
            let Some(first) = self.lines.pop_front() else { return };
            self.bytes -= first.len();
            self.is_cut = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(lines: impl Iterator<Item = usize>) -> LogEnd {
        let next = LogCursor::default();
        let mut end = LogEnd { lines: VecDeque::new(), bytes: 0, is_cut: false, next, number: 1 };
        lines.for_each(|length| end.push(vec![b'x'; length]));
        end
    }

    #[test]
    fn the_end_of_a_log_is_bounded_in_lines_and_in_bytes() {
        let short = end([3, 4].into_iter());
        assert_eq!((short.lines.len(), short.is_cut, short.number), (2, false, 3));
        assert!(short.markup().starts_with("<div class=\"l\"><i>1</i>"));
        let many = end(std::iter::repeat_n(1, LINES_MOST + 5));
        assert_eq!((many.lines.len(), many.is_cut), (LINES_MOST, true));
        assert!(many.markup().starts_with("<div class=\"l\"><i>6</i>"));
        let wide = end(std::iter::repeat_n(64 << 10, 40));
        assert_eq!((wide.lines.len(), wide.bytes, wide.is_cut), (16, BYTES_MOST, true));
        let one = end(std::iter::once(BYTES_MOST * 3));
        assert_eq!((one.lines.len(), one.bytes, one.is_cut), (1, BYTES_MOST, true));
    }
}
