//! When a page that is open looks again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use subak_core::ids::RunKey;
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Between two looks: no more than four a second, however fast a run changes: more than people see, and
/// the run itself wants the machine. What many are sent costs it as much again for each of them, so that
/// many look less often. All who watch a run look at the same instants, so that one look serves them all:
/// each of these is a multiple of the ones before.
const APART: [(usize, Duration); 2] =
    [(20, Duration::from_millis(250)), (50, Duration::from_millis(500))];
/// The same beyond that many who watch.
const APART_MOST: Duration = Duration::from_secs(1);
/// Changes that another server made are seen this late at most.
const SLOW: Duration = Duration::from_secs(2);
/// A stream ends after this: the browser comes again, and shows who it is again.
const LIFE: Duration = Duration::from_secs(600);

/// How long those rest who watch, if they are so many.
fn apart(watchers: usize) -> Duration {
    APART.iter().find(|(most, _)| watchers <= *most).map_or(APART_MOST, |(_, apart)| *apart)
}

/// The next of the instants that lie `apart`, the same for all.
fn next_tick(now: Instant, apart: Duration) -> Instant {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    let passed = now.saturating_duration_since(*FIRST);
    let left = apart.as_micros() - passed.as_micros() % apart.as_micros();
    now + Duration::from_micros(u64::try_from(left).unwrap_or(0))
}

/// How many pages of runs and their tasks are open.
#[derive(Clone, Default)]
pub(crate) struct Watchers(Arc<AtomicUsize>);

/// One of them, until dropped.
struct Watcher(Watchers);

impl Watchers {
    fn join(&self) -> Watcher {
        self.0.fetch_add(1, Ordering::Relaxed);
        Watcher(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Beats when a run changed, and slowly otherwise.
pub(super) struct Pulse {
    changes: watch::Receiver<()>,
    stop: CancellationToken,
    ends: Instant,
    watcher: Watcher,
}

impl Pulse {
    pub(super) fn of(app: &App, run: RunKey) -> Self {
        let now = Instant::now();
        Self {
            changes: app.actions.changes_of(run),
            stop: app.stop.clone(),
            ends: now + LIFE,
            watcher: app.watchers.join(),
        }
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
        let tick = next_tick(Instant::now(), apart(self.watcher.0.count()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_look_less_often_and_all_at_the_same_instants() {
        let watchers = Watchers::default();
        let mut open: Vec<Watcher> = (0..20).map(|_| watchers.join()).collect();
        assert_eq!(apart(watchers.count()), Duration::from_millis(250));
        open.push(watchers.join());
        assert_eq!(apart(watchers.count()), Duration::from_millis(500));
        open.extend((0..30).map(|_| watchers.join()));
        assert_eq!(apart(watchers.count()), APART_MOST);
        open.truncate(1);
        assert_eq!(apart(watchers.count()), Duration::from_millis(250));
        // Who rests longer meets the others.
        let now = Instant::now();
        let (most, at) = (APART_MOST, next_tick(now, APART_MOST));
        assert!(at > now && at <= now + most, "{at:?}");
        for (_, apart) in APART {
            let last = at - Duration::from_millis(1);
            assert!(next_tick(last, apart).duration_since(at) < Duration::from_millis(1));
            assert_eq!(most.as_micros() % apart.as_micros(), 0);
        }
    }
}
