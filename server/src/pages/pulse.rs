//! When a page that is open looks again.

use std::time::Duration;

use subak_core::ids::RunKey;
use tokio::select;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// No more than five looks a second, however fast a run changes.
const APART: Duration = Duration::from_millis(200);
/// Changes that another server made are seen this late at most.
const SLOW: Duration = Duration::from_secs(2);
/// A stream ends after this: the browser comes again, and shows who it is again.
const LIFE: Duration = Duration::from_secs(600);

/// Beats when a run changed, and slowly otherwise.
pub(super) struct Pulse {
    run: RunKey,
    changes: Receiver<RunKey>,
    stop: CancellationToken,
    looked: Instant,
    ends: Instant,
}

impl Pulse {
    pub(super) fn of(app: &App, run: RunKey) -> Self {
        let now = Instant::now();
        Self {
            run,
            changes: app.actions.changes(),
            stop: app.stop.clone(),
            looked: now,
            ends: now + LIFE,
        }
    }

    /// Waits until it is time to look; false: the stream is over.
    pub(super) async fn beat(&mut self) -> bool {
        if self.stop.is_cancelled() || Instant::now() >= self.ends {
            return false;
        }
        let stop = self.stop.clone();
        select! {
            biased;
            () = stop.cancelled() => return false,
            () = self.changed() => {}
            () = sleep(SLOW) => {}
        }
        select! {
            biased;
            () = stop.cancelled() => return false,
            () = sleep_until(self.looked + APART) => {}
        }
        // What happened until now is what the look will see.
        while self.changes.try_recv().is_ok() {}
        self.looked = Instant::now();
        true
    }

    async fn changed(&mut self) {
        loop {
            match self.changes.recv().await {
                Ok(run) if run != self.run => {}
                // Too many to keep up with: one of them may be ours.
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
