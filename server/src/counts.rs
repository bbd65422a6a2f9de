//! What is counted for whoever watches: requests in memory, and what the database tells, kept for some
//! seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use subak_store::{Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long the database's counts are told again.
const FRESH: Duration = Duration::from_secs(10);

/// Classes of status codes.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Requests that were answered, by class of status.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answered(Arc<[AtomicU64; 5]>);

/// What the database tells.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    /// Running and queued.
    pub(crate) runs: (i64, i64),
    /// State, queue and number of live task instances.
    pub(crate) live: Vec<(String, String, i64)>,
}

/// What was counted, and when.
type Last = Option<(Instant, Arc<Counted>)>;

/// The last counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(Arc<Mutex<Last>>);

impl Answered {
    pub(crate) fn add(&self, status: u16) {
        if let Some(class) = self.0.get(usize::from(status / 100).wrapping_sub(1)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASSES.into_iter().zip(self.0.iter().map(|class| class.load(Ordering::Relaxed)))
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
        let (runs, live) = tokio::try_join!(store.runs_count(), store.live_count())?;
        let counted = Arc::new(Counted { runs, live });
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
        [200, 204, 404, 503, 999, 0].iter().for_each(|status| answered.add(*status));
        let counts: Vec<u64> = answered.counts().map(|(_, count)| count).collect();
        assert_eq!(counts, [0, 2, 0, 1, 1]);
    }
}
