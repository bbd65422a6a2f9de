//! How long a try without an end goes on.

use std::time::Duration;

use subak_task::{TaskContext, TaskError};
use tokio::time::{Instant, sleep_until};

/// Then it yields: a run a day keeps logs and history in pieces that can be dropped.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// See the module.
pub(crate) struct Life<'c> {
    ctx: &'c TaskContext,
    until: Instant,
}

/// What a try is to do after it has waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    GoOn,
    /// End well: it goes on in the next run.
    Yield,
}

impl<'c> Life<'c> {
    /// Begins.
    pub(crate) fn new(ctx: &'c TaskContext) -> Self {
        Self { ctx, until: Instant::now() + DAY }
    }

    /// Waits until an instant, unless the try is to yield before; an error if it is to stop.
    pub(crate) async fn sleep_until(&self, then: Instant) -> Result<Next, TaskError> {
        tokio::select! {
            biased;
            () = self.ctx.cancel.cancelled() => Err(TaskError::cancelled()),
            () = self.ctx.yields.cancelled() => Ok(Next::Yield),
            () = sleep_until(self.until.min(then)) => Ok(self.next()),
        }
    }

    /// What to do now.
    pub(crate) fn next(&self) -> Next {
        let is_over = self.ctx.yields.is_cancelled() || self.until <= Instant::now();
        if is_over { Next::Yield } else { Next::GoOn }
    }
}
