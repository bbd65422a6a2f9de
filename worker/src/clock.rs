//! The worker's clock for people: the wall clock at its start, carried by the monotonic clock, so
//! that differences between instants of one worker are right whatever happens to the wall clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    origin_micros: i64,
}

impl Clock {
    /// Reads both clocks.
    pub(crate) fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let origin_micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        Self { origin: Instant::now(), origin_micros }
    }

    /// Microseconds since the Unix epoch.
    pub(crate) fn now_micros(&self) -> i64 {
        let elapsed = i64::try_from(self.origin.elapsed().as_micros()).unwrap_or(i64::MAX);
        self.origin_micros.saturating_add(elapsed)
    }
}
