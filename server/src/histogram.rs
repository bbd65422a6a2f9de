//! How long something took, counted by bounds: in atomics, so that nobody waits for a count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds of a histogram.
const BOUNDS: usize = 11;

/// Bounds in milliseconds, the lowest first.
pub(crate) type Bounds = [u64; BOUNDS];

/// See the module.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds_ms: &'static Bounds,
    /// What took no longer than each bound, and longer than the one before.
    within: [AtomicU64; BOUNDS],
    beyond: AtomicU64,
    micros: AtomicU64,
}

/// What was counted: `(bound in seconds, how many within it)`, seconds in all, how many in all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Durations {
    pub(crate) within: Vec<(f64, u64)>,
    pub(crate) seconds: f64,
    pub(crate) count: u64,
}

impl Histogram {
    pub(crate) fn new(bounds_ms: &'static Bounds) -> Self {
        let (beyond, micros) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { bounds_ms, within: Default::default(), beyond, micros }
    }

    pub(crate) fn add(&self, took: Duration) {
        self.add_times(took, 1);
    }

    /// Counts as many that took the same.
    pub(crate) fn add_times(&self, took: Duration, times: u64) {
        let fits = |bound: &u64| took <= Duration::from_millis(*bound);
        let at = self.bounds_ms.iter().position(fits);
        at.map_or(&self.beyond, |at| &self.within[at]).fetch_add(times, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).saturating_mul(times);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Durations {
        let mut count = 0;
        let within = self.bounds_ms.iter().zip(&self.within).map(|(bound, counted)| {
            count += counted.load(Ordering::Relaxed);
            (Duration::from_millis(*bound).as_secs_f64(), count)
        });
        let within = within.collect();
        count += self.beyond.load(Ordering::Relaxed);
        let took = Duration::from_micros(self.micros.load(Ordering::Relaxed));
        Durations { within, seconds: took.as_secs_f64(), count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_is_beyond_every_bound_and_counted_all_the_same() {
        let histogram =
            Histogram::new(&[5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000]);
        for millis in [3, 30, 30, 20_000] {
            histogram.add(Duration::from_millis(millis));
        }
        histogram.add_times(Duration::ZERO, 2);
        let Durations { within, seconds, count } = histogram.read();
        assert_eq!((within[0], within[3], within[10]), ((0.005, 3), (0.05, 5), (10.0, 5)));
        assert_eq!((count, (seconds * 1000.0).round()), (6, 20_063.0));
    }
}
