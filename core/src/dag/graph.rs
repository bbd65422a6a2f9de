//! The order of a DAG's tasks, and the cycles that make it no DAG.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Task `i` waits for the tasks `upstream[i]`.
pub(super) struct Graph {
    pub upstream: Vec<Vec<usize>>,
}

impl Graph {
    /// All tasks, each after its upstreams and otherwise in the file's order; or every cycle found,
    /// as the tasks along it.
    pub(super) fn order(&self) -> Result<Vec<usize>, Vec<Vec<usize>>> {
        let (order, waiting) = self.sorted();
        if order.len() == self.upstream.len() {
            return Ok(order);
        }
        Err(self.cycles(&waiting))
    }

    /// Kahn's algorithm; the second list counts for each task the upstreams it still waits for.
    fn sorted(&self) -> (Vec<usize>, Vec<usize>) {
        let mut downstream = vec![Vec::new(); self.upstream.len()];
        for (task, upstream) in self.upstream.iter().enumerate() {
            upstream.iter().for_each(|&up| downstream[up].push(task));
        }
        let mut waiting: Vec<usize> = self.upstream.iter().map(Vec::len).collect();
        let is_ready = |task: &usize| waiting[*task] == 0;
        let mut ready: BinaryHeap<_> = (0..waiting.len()).filter(is_ready).map(Reverse).collect();
        let mut order = Vec::with_capacity(waiting.len());
        while let Some(Reverse(task)) = ready.pop() {
            order.push(task);
            for &down in &downstream[task] {
                waiting[down] -= 1;
                if waiting[down] == 0 {
                    ready.push(Reverse(down));
                }
            }
        }
        (order, waiting)
    }

    /// Every task that waits has an upstream that waits: walking up comes back around. Cycles that
    /// share no task are all found.
    fn cycles(&self, waiting: &[usize]) -> Vec<Vec<usize>> {
        let mut cycles = Vec::new();
        let mut walk_of = vec![0; waiting.len()];
        for start in (0..waiting.len()).filter(|&task| waiting[task] > 0) {
            let mut path = Vec::new();
            let mut at = start;
            while walk_of[at] == 0 {
                walk_of[at] = start + 1;
                path.push(at);
                let next = self.upstream[at].iter().find(|&&up| waiting[up] > 0);
                let Some(&next) = next else { break };
                at = next;
            }
            let from = path.iter().position(|&task| task == at);
            if let Some(from) = from.filter(|_| path.len() > 1 && walk_of[at] == start + 1) {
                let mut cycle = path.split_off(from);
                // Walked upstream; told downstream, beginning with the first task of the file.
                cycle.reverse();
                let first = (0..cycle.len()).min_by_key(|&i| cycle[i]).unwrap_or(0);
                cycle.rotate_left(first);
                cycles.push(cycle);
            }
        }
        cycles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(upstream: &[&[usize]]) -> Graph {
        Graph { upstream: upstream.iter().map(|up| up.to_vec()).collect() }
    }

    #[test]
    fn tasks_follow_their_upstreams_in_the_files_order() {
        assert_eq!(graph(&[&[2], &[], &[1], &[]]).order(), Ok(vec![1, 2, 0, 3]));
        assert_eq!(graph(&[]).order(), Ok(vec![]));
    }

    #[test]
    fn cycles_are_told_downstream() {
        // 0 → 1 → 2 → 0, and 3 below it; 4 ⇄ 5.
        let found = graph(&[&[2], &[0], &[1], &[2], &[5], &[4]]).order();
        assert_eq!(found, Err(vec![vec![0, 1, 2], vec![4, 5]]));
    }
}
