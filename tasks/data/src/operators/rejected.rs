//! Rows that a task does not hand on: logged, counted, kept as dead letters where asked.

use subak_core::operators::data::OnBadRow;
use subak_task::{BadRow, TaskContext, TaskError};

use crate::text::rows_text;

/// Rejected rows that are logged one by one.
const LOGGED: u64 = 10;

/// Rejected rows sent at once.
const SENT_AT_ONCE: usize = 500;

/// The rejected rows of a try.
pub(super) struct Rejected<'a> {
    ctx: &'a TaskContext,
    fate: OnBadRow,
    count: u64,
}

impl<'a> Rejected<'a> {
    /// None yet; `fate` is what becomes of them.
    pub(super) fn new(ctx: &'a TaskContext, fate: OnBadRow) -> Self {
        Self { ctx, fate, count: 0 }
    }

    /// Takes rows; fails if there may be none.
    pub(super) async fn take(&mut self, mut rows: Vec<BadRow>) -> Result<(), TaskError> {
        for row in &rows {
            self.count += 1;
            let what = || format!("{}:{}: {}", row.source, row.position, row.reasons.join("; "));
            match self.count {
                1 if self.fate == OnBadRow::Fail => return Err(TaskError::permanent(what())),
                1..=LOGGED => self.ctx.log(what()),
                count if count == LOGGED + 1 => {
                    self.ctx.log("more bad rows follow; they are counted");
                }
                _ => {}
            }
        }
        if self.fate == OnBadRow::DeadLetter {
            while !rows.is_empty() {
                let rest = rows.split_off(rows.len().min(SENT_AT_ONCE));
                self.ctx.dead_letters.send(std::mem::replace(&mut rows, rest)).await?;
            }
        }
        Ok(())
    }

    /// Says in the log what became of them, beside so many good rows; returns how many there were.
    pub(super) fn finish(self, good: u64) -> u64 {
        let fate = match self.fate {
            OnBadRow::Fail | OnBadRow::Skip => "skipped",
            OnBadRow::DeadLetter => "kept as dead letters",
        };
        if self.count > 0 {
            let bad = rows_text(self.count, "bad row");
            let all = rows_text(good + self.count, "row");
            self.ctx.log(format!("{bad} of {all} {fate}"));
        }
        self.count
    }
}
