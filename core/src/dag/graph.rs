//! The order of a DAG's tasks, and the cycles that make it no DAG.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// More cycles than this are not told at once.
const MOST_CYCLES: usize = 20;

/// Task `i` waits for the tasks `upstream[i]`.
pub(super) struct Graph {
    pub upstream: Vec<Vec<usize>>,
}

impl Graph {
    /// All tasks, each after its upstreams and otherwise in the file's order; or cycles, as the
    /// tasks along each.
    pub(super) fn order(&self) -> Result<Vec<usize>, Vec<Vec<usize>>> {
        let mut cycles = Vec::new();
        let mut broken = vec![false; self.upstream.len()];
        loop {
            let (order, waiting) = self.sorted(&broken);
            let Some(cycle) = self.cycle(&waiting) else {
                return if cycles.is_empty() { Ok(order) } else { Err(cycles) };
            };
            cycle.iter().for_each(|&task| broken[task] = true);
            cycles.push(cycle);
            if cycles.len() == MOST_CYCLES {
                return Err(cycles);
            }
        }
    }

    /// Kahn's algorithm, where the tasks of a known cycle wait for nothing; the second list counts
    /// for each task the upstreams it still waits for.
    fn sorted(&self, broken: &[bool]) -> (Vec<usize>, Vec<usize>) {
        let mut downstream = vec![Vec::new(); self.upstream.len()];
        for (task, upstream) in self.upstream.iter().enumerate().filter(|(task, _)| !broken[*task])
        {
            upstream.iter().for_each(|&up| downstream[up].push(task));
        }
        let count = |(task, up): (usize, &Vec<usize>)| if broken[task] { 0 } else { up.len() };
        let mut waiting: Vec<usize> = self.upstream.iter().enumerate().map(count).collect();
        let mut ready: BinaryHeap<_> =
            (0..waiting.len()).filter(|&task| waiting[task] == 0).map(Reverse).collect();
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

    /// A cycle among the tasks that wait, told downstream from its first task in the file.
    ///
    /// Every one of them has an upstream that waits: walking up from any comes back around.
    fn cycle(&self, waiting: &[usize]) -> Option<Vec<usize>> {
        let mut at = waiting.iter().position(|&count| count > 0)?;
        let mut place = vec![None; waiting.len()];
        let mut path = Vec::new();
        while place[at].is_none() {
            place[at] = Some(path.len());
            path.push(at);
            at = *self.upstream[at].iter().find(|&&up| waiting[up] > 0)?;
        }
        let mut cycle = path.split_off(place[at]?);
        cycle.reverse();
        let first = (0..cycle.len()).min_by_key(|&index| cycle[index])?;
        cycle.rotate_left(first);
        Some(cycle)
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
        let found = graph(&[&[2], &[0], &[1], &[2], &[0, 5], &[4]]).order();
        assert_eq!(found, Err(vec![vec![0, 1, 2], vec![4, 5]]));
    }
}
