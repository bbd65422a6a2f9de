//! The order to end a try, with its reason.

use std::sync::OnceLock;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Why a try is ended from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StopCause {
    /// The server's word: cancelled, cleared, superseded.
    Server(String),
    /// The lease could not be renewed: whatever the try still did would be fenced.
    LeaseLost,
    /// The worker ends and the try took too long.
    ShuttingDown,
}

/// Given at most once; the first one counts.
#[derive(Debug, Default)]
pub(crate) struct StopOrder {
    cause: OnceLock<(StopCause, Option<Duration>)>,
    /// Cancelled with the order.
    pub(crate) token: CancellationToken,
}

impl StopOrder {
    /// Orders the try to end; after `within` it is abandoned, its processes killed.
    pub(crate) fn give(&self, cause: StopCause, within: Option<Duration>) {
        let _ = self.cause.set((cause, within));
        self.token.cancel();
    }

    /// The reason, if the order was given. A timeout is no order: the worker gives it to itself.
    pub(crate) fn cause(&self) -> Option<&StopCause> {
        self.cause.get().map(|(cause, _)| cause)
    }

    /// How long the try may still take.
    pub(crate) fn within(&self) -> Option<Duration> {
        self.cause.get().and_then(|(_, within)| *within)
    }
}
