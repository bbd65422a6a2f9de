//! What the engine counts of itself since its server began, for whoever watches. Atomics alone: a hop
//! adds to two of them, and waits for nobody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use subak_core::state::TaskState;
use subak_store::engine::{HandedOver, HistoryRow};

use crate::histogram::{Bounds, Durations, Histogram};

/// How tries end.
const ENDS: [TaskState; 5] = [
    TaskState::Success,
    TaskState::Failed,
    TaskState::Skipped,
    TaskState::UpForRetry,
    TaskState::Restarting,
];

/// Bounds of how long ready tasks wait for a slot, milliseconds.
const WAITS_MS: Bounds = [1, 5, 10, 50, 100, 500, 1_000, 5_000, 30_000, 120_000, 600_000];

/// See the module.
#[derive(Debug)]
pub(crate) struct Tally {
    ends: [AtomicU64; ENDS.len()],
    hand_overs: Histogram,
    leases_lost: AtomicU64,
}

/// Ends of tries in one transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ends([u64; ENDS.len()]);

impl Ends {
    /// Adds those of a transaction's rows that end a try.
    pub(super) fn add(&mut self, history: &[HistoryRow]) {
        for row in history.iter().filter(|row| row.session.is_some()) {
            if let Some(at) = ENDS.iter().position(|state| *state == row.state) {
                self.0[at] += 1;
            }
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            ends: Default::default(),
            hand_overs: Histogram::new(&WAITS_MS),
            leases_lost: AtomicU64::new(0),
        }
    }
}

impl Tally {
    /// Counts what a transaction ended, once it is committed.
    pub(super) fn ended(&self, ends: Ends) {
        for (count, more) in self.ends.iter().zip(ends.0).filter(|(_, more)| *more > 0) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Counts hand-overs that were committed. Those of the transaction that readied their task have
    /// waited for nothing.
    pub(super) fn handed_over(&self, handed: &[HandedOver]) {
        let mut at_once = 0;
        for try_ in handed {
            match try_.queued_at {
                // A clock that was set back makes nobody wait less than nothing.
                Some(since) => {
                    let waited = (try_.started_at - since).to_std().unwrap_or_default();
                    self.hand_overs.add(waited);
                }
                None => at_once += 1,
            }
        }
        if at_once > 0 {
            self.hand_overs.add_times(Duration::ZERO, at_once);
        }
    }

    /// Counts sessions that this server found dead.
    pub(super) fn lost(&self, sessions: usize) {
        self.leases_lost.fetch_add(u64::try_from(sessions).unwrap_or(0), Ordering::Relaxed);
    }

    /// Tries that have ended, by how.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.ends.iter().map(|count| count.load(Ordering::Relaxed));
        ENDS.into_iter().map(TaskState::as_str).zip(counts)
    }

    pub(crate) fn hand_overs(&self) -> Durations {
        self.hand_overs.read()
    }

    pub(crate) fn leases_lost(&self) -> u64 {
        self.leases_lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};

    use super::*;

    const KEY: InstanceKey =
        InstanceKey { run: RunKey(1), task: TaskNo(2), map_index: MapIndex(-1) };

    #[test]
    fn what_ran_is_counted_when_it_ends_and_what_a_rule_settles_is_not() {
        let settled = |state| HistoryRow::without_try(KEY, state, 1, 0);
        let ran = |state| HistoryRow { session: Some(7), ..settled(state) };
        let mut ends = Ends::default();
        ends.add(&[
            ran(TaskState::Success),
            ran(TaskState::UpForRetry),
            settled(TaskState::Skipped),
        ]);
        ends.add(&[ran(TaskState::Success)]);
        let tally = Tally::default();
        tally.ended(ends);
        let counts: Vec<_> = tally.ends().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [("success", 2), ("up_for_retry", 1)]);
    }

    #[test]
    fn a_hand_over_has_waited_since_its_task_was_ready() {
        let started_at = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let handed = |waited: Option<i64>| HandedOver {
            key: KEY,
            session: 7,
            token: 1,
            try_number: 1,
            resets: 0,
            queue: "default".to_owned(),
            queued_at: waited.map(|millis| started_at - TimeDelta::milliseconds(millis)),
            started_at,
        };
        let tally = Tally::default();
        tally.handed_over(&[handed(None), handed(Some(40)), handed(Some(-3)), handed(None)]);
        let Durations { within, seconds, count } = tally.hand_overs();
        assert_eq!((within[0], within[3], count), ((0.001, 3), (0.05, 4), 4));
        assert!((seconds - 0.04).abs() < 1e-9, "{seconds}");
    }
}
