//! Answers that are kept for a while, and asked for once at a time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Answers that are kept at most; beyond it all are forgotten.
const MOST: usize = 256;

/// A place for one answer; whoever asks holds it.
type Place<V> = Arc<tokio::sync::Mutex<Option<(Instant, V)>>>;

/// See the module.
pub(crate) struct Fresh<K, V> {
    fresh: Duration,
    places: Mutex<HashMap<K, Place<V>>>,
}

impl<K: Eq + Hash, V: Clone> Fresh<K, V> {
    pub(crate) fn new(fresh: Duration) -> Self {
        Self { fresh, places: Mutex::default() }
    }

    /// The answer that is kept, or a new one. Those who want it meanwhile wait for the same.
    pub(crate) async fn get<F: Future<Output = V>>(&self, key: K, ask: impl FnOnce() -> F) -> V {
        self.get_at(Instant::now(), key, ask).await
    }

    /// The same, but what was asked for before `since` does not count.
    pub(crate) async fn get_since<F: Future<Output = V>>(
        &self,
        since: Instant,
        key: K,
        ask: impl FnOnce() -> F,
    ) -> V {
        self.find(key, |at| at >= since, Instant::now, ask).await
    }

    async fn get_at<F: Future<Output = V>>(
        &self,
        now: Instant,
        key: K,
        ask: impl FnOnce() -> F,
    ) -> V {
        let is_fresh = |at| now.saturating_duration_since(at) < self.fresh;
        self.find(key, is_fresh, || now, ask).await
    }

    async fn find<F: Future<Output = V>>(
        &self,
        key: K,
        counts: impl FnOnce(Instant) -> bool,
        now: impl FnOnce() -> Instant,
        ask: impl FnOnce() -> F,
    ) -> V {
        let place = self.place(key);
        let mut place = place.lock().await;
        if let Some((at, answer)) = &*place
            && counts(*at)
        {
            return answer.clone();
        }
        let now = now();
        let answer = ask().await;
        *place = Some((now, answer.clone()));
        answer
    }

    fn place(&self, key: K) -> Place<V> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= MOST && !places.contains_key(&key) {
            places.clear();
        }
        Arc::clone(places.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn an_answer_is_asked_for_once_and_again_when_it_is_old() {
        let (kept, asked) = (Fresh::new(Duration::from_secs(10)), AtomicU32::new(0));
        let now = Instant::now();
        let get = |secs: u64, key: u32| {
            let ask = || async {
                tokio::task::yield_now().await;
                asked.fetch_add(1, Ordering::Relaxed)
            };
            kept.get_at(now + Duration::from_secs(secs), key, ask)
        };
        let (one, same, other) = tokio::join!(get(0, 1), get(0, 1), get(0, 2));
        assert!(one == same && one != other, "{one}, {same}, {other}");
        assert_eq!(get(9, 1).await, one);
        assert_eq!(get(10, 1).await, 2);
    }

    #[tokio::test]
    async fn who_looks_after_a_change_does_not_get_what_was_before_it() {
        let (fresh, asked) = (Fresh::new(Duration::from_secs(1000)), AtomicU32::new(0));
        let ask = || async { asked.fetch_add(1, Ordering::Relaxed) };
        let before = Instant::now();
        assert_eq!(fresh.get_since(before, (), ask).await, 0);
        assert_eq!(fresh.get_since(before, (), ask).await, 0);
        assert_eq!(fresh.get_since(Instant::now(), (), ask).await, 1);
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let kept = Fresh::new(Duration::from_secs(1000));
        for key in 0..2 * MOST {
            kept.get(key, || async { key }).await;
        }
        assert!(kept.places.lock().unwrap().len() <= MOST);
    }
}
