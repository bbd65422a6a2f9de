//! When a page that is open looks again.

use std::sync::LazyLock;
use std::time::Duration;

use subak_core::ids::RunKey;
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// No more than four looks a second, however fast a run changes: more than people see, and the run
/// itself wants the machine. All who watch it look at the same instants, so that one look serves them
/// all.
const APART: Duration = Duration::from_millis(250);
/// Changes that another server made are seen this late at most.
const SLOW: Duration = Duration::from_secs(2);
/// A stream ends after this: the browser comes again, and shows who it is again.
const LIFE: Duration = Duration::from_secs(600);

/// The next of the instants that lie `APART`, the same for all.
fn next_tick(now: Instant) -> Instant {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    let passed = now.saturating_duration_since(*FIRST);
    let left = APART.as_micros() - passed.as_micros() % APART.as_micros();
    now + Duration::from_micros(u64::try_from(left).unwrap_or(0))
}

/// Beats when a run changed, and slowly otherwise.
pub(super) struct Pulse {
    changes: watch::Receiver<()>,
    stop: CancellationToken,
    ends: Instant,
}

impl Pulse {
    pub(super) fn of(app: &App, run: RunKey) -> Self {
        let now = Instant::now();
        Self { changes: app.actions.changes_of(run), stop: app.stop.clone(), ends: now + LIFE }
    }

    /// Rests, then waits until it is time to look: what was seen before the instant does not count.
    /// `None`: the stream is over.
    pub(super) async fn beat(&mut self, rest: Duration) -> Option<Instant> {
        if self.stop.is_cancelled() || Instant::now() >= self.ends {
            return None;
        }
        let stop = self.stop.clone();
        stop.run_until_cancelled(sleep(rest)).await?;
        select! {
            biased;
            () = stop.cancelled() => return None,
            () = self.changed() => {}
            () = sleep(SLOW) => {}
        }
        let tick = next_tick(Instant::now());
        select! {
            biased;
            () = stop.cancelled() => return None,
            () = sleep_until(tick) => {}
        }
        // What happened until now is what the look will see.
        self.changes.mark_unchanged();
        Some(tick)
    }

    async fn changed(&mut self) {
        // Nobody tells any more: the server ends.
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
