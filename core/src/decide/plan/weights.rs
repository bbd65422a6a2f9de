//! What tasks weigh: their own weight and, by their rule, those of all tasks below or above.

use super::{Plan, PlanTask};
use crate::dag::model::WeightRule;
use crate::ids::TaskNo;

/// Tasks that are added up at once: the bits of a word.
const AT_ONCE: usize = 64;

impl Plan {
    /// Adds the weights of all tasks below, or above, each counted once; in a DAG that says nothing of
    /// weights each task keeps its own, 1.
    pub(super) fn weigh(&mut self) {
        if !self.dag.weighs() {
            return;
        }
        let dag = self.dag.clone();
        let own: Vec<i32> = dag.tasks.iter().map(|task| task.priority_weight).collect();
        let has = |wanted| dag.tasks.iter().any(|task| task.weight_rule == wanted);
        // Tasks are in topological order.
        let below = has(WeightRule::Downstream)
            .then(|| totals(&own, &self.places(|task| &task.downstream), (0..own.len()).rev()));
        let above = has(WeightRule::Upstream)
            .then(|| totals(&own, &self.places(|task| &task.upstream), 0..own.len()));
        for task in self.tasks.values_mut() {
            let totals = match dag.tasks[task.index].weight_rule {
                WeightRule::Downstream => below.as_ref(),
                WeightRule::Upstream => above.as_ref(),
                WeightRule::Absolute => None,
            };
            if let Some(totals) = totals {
                let most = totals[task.index].clamp(i32::MIN.into(), i32::MAX.into());
                task.priority = i32::try_from(most).unwrap_or(i32::MAX);
            }
        }
    }

    /// For each task of the DAG the places of those that `step` leads to.
    fn places(&self, step: impl Fn(&PlanTask) -> &Vec<TaskNo>) -> Vec<Vec<usize>> {
        let mut places = vec![Vec::new(); self.dag.tasks.len()];
        for task in self.tasks() {
            let next = step(task).iter().filter_map(|no| self.task(*no));
            places[task.index] = next.map(|next| next.index).collect();
        }
        places
    }
}

/// For each task its weight and those of all that `next` leads to; `order` has these before it. What each
/// reaches is looked at for a few tasks at a time: of all at once it would be quadratic.
fn totals(
    own: &[i32],
    next: &[Vec<usize>],
    order: impl Iterator<Item = usize> + Clone,
) -> Vec<i64> {
    let mut totals = vec![0; own.len()];
    let mut reached = vec![0_u64; own.len()];
    for first in (0..own.len()).step_by(AT_ONCE) {
        let some = Sums::new(&own[first..own.len().min(first + AT_ONCE)]);
        for task in order.clone() {
            let itself = match task.checked_sub(first) {
                Some(bit) if bit < AT_ONCE => 1_u64 << bit,
                _ => 0,
            };
            reached[task] = next[task].iter().fold(itself, |all, to| all | reached[*to]);
            totals[task] += some.of(reached[task]);
        }
    }
    totals
}

/// What each set of up to 64 tasks weighs, by bytes of its word.
struct Sums(Vec<[i64; 256]>);

impl Sums {
    fn new(weights: &[i32]) -> Self {
        let of_eight = |eight: &[i32]| {
            let mut sums = [0; 256];
            for set in 1..256_usize {
                let lowest = eight.get(set.trailing_zeros() as usize);
                sums[set] = sums[set & (set - 1)] + lowest.map_or(0, |weight| i64::from(*weight));
            }
            sums
        };
        Self(weights.chunks(8).map(of_eight).collect())
    }

    fn of(&self, set: u64) -> i64 {
        let bytes = set.to_le_bytes();
        self.0.iter().zip(bytes).map(|(sums, byte)| sums[usize::from(byte)]).sum()
    }
}
