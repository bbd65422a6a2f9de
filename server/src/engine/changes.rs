//! Who is told that a run changed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use subak_core::ids::RunKey;
use tokio::sync::{broadcast, watch};

/// Changes that a receiver of all may be behind.
const BEHIND_MOST: usize = 4_096;

/// See the module.
pub(super) struct Changes {
    all: broadcast::Sender<RunKey>,
    /// Apart, because a change that woke everybody who watches some run would cost more than the hop it
    /// tells of.
    of_run: Mutex<HashMap<RunKey, watch::Sender<()>>>,
}

impl Default for Changes {
    fn default() -> Self {
        Self { all: broadcast::channel(BEHIND_MOST).0, of_run: Mutex::default() }
    }
}

impl Changes {
    /// Says that a run changed.
    pub(super) fn tell(&self, run: RunKey) {
        // An error means that nobody listens.
        let _ = self.all.send(run);
        let mut of_run = self.of_run.lock().unwrap_or_else(PoisonError::into_inner);
        if of_run.get(&run).is_some_and(|changed| changed.send(()).is_err()) {
            of_run.remove(&run);
        }
    }

    /// Hears of every run.
    pub(super) fn all(&self) -> broadcast::Receiver<RunKey> {
        self.all.subscribe()
    }

    /// Hears of one.
    pub(super) fn of(&self, run: RunKey) -> watch::Receiver<()> {
        let mut of_run = self.of_run.lock().unwrap_or_else(PoisonError::into_inner);
        of_run.retain(|_, changed| !changed.is_closed());
        of_run.entry(run).or_insert_with(|| watch::channel(()).0).subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_wakes_those_who_watch_the_run() {
        let changes = Changes::default();
        let (mut one, mut same, other) =
            (changes.of(RunKey(1)), changes.of(RunKey(1)), changes.of(RunKey(2)));
        changes.tell(RunKey(1));
        one.changed().await.unwrap();
        same.changed().await.unwrap();
        assert!(!other.has_changed().unwrap());
        drop((one, same, other));
        // Nobody is left, and nothing is kept.
        changes.tell(RunKey(1));
        let _three = changes.of(RunKey(3));
        assert_eq!(changes.of_run.lock().unwrap().len(), 1);
    }
}
