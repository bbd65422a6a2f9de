//! What is counted for whoever watches: requests in memory, and what the database tells, kept for some
//! seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use subak_store::{Pool, Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long the database's counts are told again.
const FRESH: Duration = Duration::from_secs(10);

/// Classes of status codes.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Bounds of the histogram of durations, milliseconds.
const BOUNDS_MS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/// Requests that were answered, and how soon.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answered(Arc<Answers>);

#[derive(Debug, Default)]
struct Answers {
    classes: [AtomicU64; CLASSES.len()],
    /// Those that took no longer than each bound, and longer than the one before.
    within: [AtomicU64; BOUNDS_MS.len()],
    micros: AtomicU64,
}

/// How soon requests were answered: `(bound, how many within it)`, seconds in all, how many in all.
pub(crate) struct Durations {
    pub(crate) within: Vec<(f64, u64)>,
    pub(crate) seconds: f64,
    pub(crate) count: u64,
}

/// What the database tells.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    /// Running and queued.
    pub(crate) runs: (i64, i64),
    /// State, queue and number of live task instances.
    pub(crate) live: Vec<(String, String, i64)>,
    pub(crate) pools: Vec<Pool>,
}

/// What was counted, and when.
type Last = Option<(Instant, Arc<Counted>)>;

/// The last counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(Arc<Mutex<Last>>);

impl Answered {
    pub(crate) fn add(&self, status: u16, took: Duration) {
        let Some(class) = self.0.classes.get(usize::from(status / 100).wrapping_sub(1)) else {
            return;
        };
        class.fetch_add(1, Ordering::Relaxed);
        if let Some(at) = BOUNDS_MS.iter().position(|bound| took <= Duration::from_millis(*bound)) {
            self.0.within[at].fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn durations(&self) -> Durations {
        let mut sum = 0;
        let within = BOUNDS_MS.iter().zip(&self.0.within).map(|(bound, count)| {
            sum += count.load(Ordering::Relaxed);
            (Duration::from_millis(*bound).as_secs_f64(), sum)
        });
        let within = within.collect();
        let micros = Duration::from_micros(self.0.micros.load(Ordering::Relaxed));
        let count = self.counts().map(|(_, count)| count).sum();
        Durations { within, seconds: micros.as_secs_f64(), count }
    }

    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASSES.into_iter().zip(self.0.classes.iter().map(|class| class.load(Ordering::Relaxed)))
    }
}

impl Counts {
    pub(crate) async fn get(&self, store: &Store) -> Result<Arc<Counted>, StoreError> {
        let mut last = self.0.lock().await;
        if let Some((at, counted)) = &*last
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(counted));
        }
        let (runs, live, pools) =
            tokio::try_join!(store.runs_count(), store.live_count(), store.pools())?;
        let counted = Arc::new(Counted { runs, live, pools });
        *last = Some((Instant::now(), Arc::clone(&counted)));
        Ok(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_class() {
        let answered = Answered::default();
        let took = [3, 30, 30, 20_000, 1, 1].map(Duration::from_millis);
        let all = [200, 204, 404, 503, 999, 0].into_iter().zip(took);
        all.for_each(|(status, took)| answered.add(status, took));
        let counts: Vec<u64> = answered.counts().map(|(_, count)| count).collect();
        assert_eq!(counts, [0, 2, 0, 1, 1]);
        let Durations { within, seconds, count } = answered.durations();
        assert_eq!((within[0], within[3], within[10]), ((0.005, 1), (0.05, 3), (10.0, 3)));
        assert_eq!((count, (seconds * 1000.0).round()), (4, 20_063.0));
    }
}
