//! How long a try without an end goes on.

use std::time::Duration;

use subak_task::{TaskContext, TaskError};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Then it yields: a run a day keeps logs and history in pieces that can be dropped.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// See the module.
pub(crate) struct Life {
    cancel: CancellationToken,
    yields: CancellationToken,
    until: Instant,
}

/// What a try is to do after it has waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    GoOn,
    /// End well: it goes on in the next run.
    Yield,
}

impl Life {
    /// Begins one of a day.
    pub(crate) fn new(ctx: &TaskContext) -> Self {
        Self::lasting(DAY, ctx.cancel.clone(), ctx.yields.clone())
    }

    fn lasting(span: Duration, cancel: CancellationToken, yields: CancellationToken) -> Self {
        Self { cancel, yields, until: Instant::now() + span }
    }

    /// Waits until an instant, unless the try is to yield before; an error if it is to stop.
    pub(crate) async fn sleep_until(&self, then: Instant) -> Result<Next, TaskError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(TaskError::cancelled()),
            () = self.yields.cancelled() => Ok(Next::Yield),
            () = sleep_until(self.until.min(then)) => Ok(self.next()),
        }
    }

    /// What to do now.
    pub(crate) fn next(&self) -> Next {
        let is_over = self.yields.is_cancelled() || self.until <= Instant::now();
        if is_over { Next::Yield } else { Next::GoOn }
    }
}

#[cfg(test)]
mod tests {
    use subak_task::ErrorClass;

    use super::*;

    /// A life, and the tokens that stop it and that make it yield.
    fn life(span: Duration) -> (Life, CancellationToken, CancellationToken) {
        let (cancel, yields) = (CancellationToken::new(), CancellationToken::new());
        (Life::lasting(span, cancel.clone(), yields.clone()), cancel, yields)
    }

    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_day_is_over_when_its_span_is_whatever_is_waited_for() {
        let born = Instant::now();
        let (day, ..) = life(DAY);
        let hours = (day.until - born).as_secs() / 3_600;
        assert_eq!((hours, day.next()), (24, Next::GoOn));
        assert_eq!(day.sleep_until(born + SOON).await.unwrap(), Next::GoOn);

        let (short, ..) = life(SOON);
        assert_eq!(short.sleep_until(born + DAY).await.unwrap(), Next::Yield);
        assert!(born.elapsed() >= SOON && born.elapsed() < DAY);
        // It stays over, also for who has no need to wait.
        assert_eq!(short.next(), Next::Yield);
        assert_eq!(short.sleep_until(born).await.unwrap(), Next::Yield);
    }

    #[tokio::test]
    async fn who_is_to_yield_does_so_at_once_and_who_is_to_stop_fails() {
        let (life, cancel, yields) = life(DAY);
        yields.cancel();
        let then = Instant::now() + DAY;
        assert_eq!(
            (life.next(), life.sleep_until(then).await.unwrap()),
            (Next::Yield, Next::Yield)
        );
        cancel.cancel();
        let stopped = life.sleep_until(then).await.unwrap_err();
        assert_eq!(stopped.class, ErrorClass::Cancelled);
    }
}
