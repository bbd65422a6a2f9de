//! One look of a run: what its ends mean for the tasks below them, taken in slices.
//!
//! A look may be wider than a transaction. What is left of it then is a row of the outbox, and the
//! transaction that takes that goes on where this one stopped: no task is looked at twice, and the
//! next look begins when this one is through, as if it had not been divided.

use serde::{Deserialize, Serialize};
use subak_core::decide::{Deltas, Ended, JoinDelta, Plan, Shape};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Look {
    ended: Vec<Ended>,
    /// Tasks below the ends, in an order that the plan and the ends alone give.
    below: Vec<Below>,
    /// How many of these were taken.
    taken: usize,
}

/// What a task below gains by a look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Below {
    pub(super) delta: JoinDelta,
    /// It waits for several: stored counters decide.
    pub(super) joins: bool,
}

/// What is left of a run's looks, for another transaction.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::engine) struct Rest {
    ended: Vec<Ended>,
    /// How many of the tasks below were looked at.
    #[serde(default)]
    taken: usize,
    /// Ends for the next look.
    #[serde(default)]
    next: Vec<Ended>,
}

impl Look {
    /// Goes on with what another transaction left; returns the ends for the look after it.
    pub(super) fn resume(&mut self, plan: &Plan, shape: &Shape, rest: Rest) -> Vec<Ended> {
        self.begin(plan, shape, rest.ended);
        self.taken = rest.taken.min(self.below.len());
        rest.next
    }

    /// The next tasks to look at, about `most`; `next` is looked at once this look is through.
    pub(super) fn take(
        &mut self,
        plan: &Plan,
        shape: &Shape,
        next: &mut Vec<Ended>,
        most: usize,
    ) -> Vec<Below> {
        while self.is_through() && !next.is_empty() {
            self.begin(plan, shape, std::mem::take(next));
        }
        let rest = &self.below[self.taken..];
        let mut count = rest.len().min(most);
        // What gains in two ways is judged by both.
        while count > 0 && count < rest.len() && rest[count].delta.at == rest[count - 1].delta.at {
            count += 1;
        }
        self.taken += count;
        rest[..count].to_vec()
    }

    /// What is left, if anything is.
    pub(super) fn rest(&mut self, next: &mut Vec<Ended>) -> Option<Rest> {
        let (ended, taken) = (std::mem::take(&mut self.ended), self.taken);
        let next = std::mem::take(next);
        if self.is_through() {
            let is_left = !next.is_empty();
            return is_left.then_some(Rest { ended: next, taken: 0, next: Vec::new() });
        }
        self.below.clear();
        self.taken = 0;
        Some(Rest { ended, taken, next })
    }

    /// Whether nothing of it is left.
    pub(super) fn is_through(&self) -> bool {
        self.taken == self.below.len()
    }

    fn begin(&mut self, plan: &Plan, shape: &Shape, ended: Vec<Ended>) {
        let deltas = Deltas::of(plan, shape, ended.iter().copied());
        let of = |joins| move |delta| Below { delta, joins };
        let joins = deltas.joins.into_iter().map(of(true));
        self.below = joins.chain(deltas.singles.into_iter().map(of(false))).collect();
        self.ended = ended;
        self.taken = 0;
    }
}
