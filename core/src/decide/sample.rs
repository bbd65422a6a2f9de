//! Small DAGs for the tests of this module.

use std::sync::Arc;

use proptest::prelude::*;

use super::Plan;
use crate::dag::model::{Dag, Task};
use crate::ids::TaskNo;

/// A task of the operator `noop` with these upstreams.
pub(super) fn task(id: &str, upstream: &[&str]) -> Task {
    let upstream = upstream.iter().map(|&id| id.into()).collect();
    Task { upstream, ..Task::new(id, "noop") }
}

/// A DAG of these tasks.
pub(crate) fn dag(tasks: Vec<Task>) -> Dag {
    Dag::new("sample", tasks)
}

/// The compiled form; tasks are numbered from 0 in order.
pub(super) fn plan(tasks: Vec<Task>) -> Arc<Plan> {
    Arc::new(Plan::numbered_in_order(Arc::new(dag(tasks))).unwrap())
}

/// The number of the task at this place.
pub(super) fn no(place: usize) -> TaskNo {
    TaskNo(i32::try_from(place).unwrap())
}

/// For each of up to 20 tasks, which earlier ones are upstream of it.
pub(super) fn edges() -> impl Strategy<Value = Vec<Vec<usize>>> {
    prop::collection::vec(prop::collection::btree_set(0..20usize, 0..4), 1..20).prop_map(|tasks| {
        let earlier = |(place, upstream): (usize, std::collections::BTreeSet<usize>)| {
            upstream.into_iter().filter(|&up| up < place).collect()
        };
        tasks.into_iter().enumerate().map(earlier).collect()
    })
}

/// Tasks `t0`, `t1`, … with these edges.
pub(super) fn tasks(edges: &[Vec<usize>]) -> Vec<Task> {
    let names: Vec<_> = (0..edges.len()).map(|place| format!("t{place}")).collect();
    let upstream = |ups: &Vec<usize>| ups.iter().map(|&up| names[up].as_str()).collect::<Vec<_>>();
    names.iter().zip(edges).map(|(name, ups)| task(name, &upstream(ups))).collect()
}
