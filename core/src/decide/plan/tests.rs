//! The compiled graph: edges both ways, leaves, weights.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::dag::model::WeightRule;
use crate::decide::sample::{dag, edges, no, plan, task, tasks};

/// The plan of a DAG that says that its tasks weigh.
fn weighed(tasks: Vec<Task>) -> Plan {
    let dag = Dag { says_weights: true, ..dag(tasks) };
    Plan::numbered_in_order(Arc::new(dag)).unwrap()
}

#[test]
fn without_a_word_about_weights_all_tasks_are_equal() {
    let mut chain = vec![task("a", &[]), task("b", &["a"]), task("c", &["b"])];
    let weights = |plan: &Plan| -> Vec<i32> { plan.tasks().map(|task| task.priority).collect() };
    assert_eq!(weights(&plan(chain.clone())), [1, 1, 1]);
    assert_eq!(weights(&weighed(chain.clone())), [3, 2, 1]);
    // One word of one task is enough.
    chain[2].weight_rule = WeightRule::Absolute;
    assert_eq!(weights(&plan(chain)), [3, 2, 1]);
}

#[test]
fn weighs_each_downstream_task_once() {
    let mut diamond = vec![
        task("start", &[]),
        task("left", &["start"]),
        task("right", &["start"]),
        task("end", &["left", "right"]),
    ];
    diamond[3].priority_weight = 10;
    let plan = plan(diamond);
    let weights: Vec<_> = plan.tasks().map(|task| task.priority).collect();
    assert_eq!(weights, [13, 11, 11, 10]);
}

#[test]
fn weighs_each_upstream_task_once_and_each_task_by_its_own_rule() {
    let mut diamond = vec![
        task("start", &[]),
        task("left", &["start"]),
        task("right", &["start"]),
        task("end", &["left", "right"]),
    ];
    diamond[0].priority_weight = 10;
    diamond.iter_mut().for_each(|task| task.weight_rule = WeightRule::Upstream);
    let weights =
        |tasks: Vec<Task>| -> Vec<i32> { plan(tasks).tasks().map(|task| task.priority).collect() };
    assert_eq!(weights(diamond.clone()), [10, 11, 11, 13]);
    diamond[1].weight_rule = WeightRule::Downstream;
    diamond[2].weight_rule = WeightRule::Absolute;
    assert_eq!(weights(diamond), [10, 2, 1, 13]);
}

#[test]
fn weights_do_not_overflow() {
    let mut chain = vec![task("a", &[]), task("b", &["a"])];
    chain.iter_mut().for_each(|task| task.priority_weight = i32::MAX);
    assert_eq!(plan(chain).task(no(0)).unwrap().priority, i32::MAX);
}

#[test]
fn a_large_dag_is_weighed_like_a_small_one() {
    let mut edges: Vec<Vec<usize>> = vec![Vec::new()];
    edges.extend((1..2_999).map(|_| vec![0]));
    edges.push((1..2_999).collect());
    let plan = weighed(tasks(&edges));
    let weights = [0, 1, 2_998, 2_999].map(|place| plan.task(no(place)).unwrap().priority);
    assert_eq!(weights, [3_000, 2, 2, 1]);
}

#[test]
fn an_edge_to_nowhere_is_refused() {
    let dag = Arc::new(dag(vec![task("a", &["ghost"])]));
    let error = Plan::numbered_in_order(dag).unwrap_err();
    assert_eq!(error.to_string(), "DAG `sample` has no task `ghost`");
}

#[test]
fn numbers_outlive_a_version() {
    let dag = Arc::new(dag(vec![task("b", &[])]));
    let numbers = HashMap::from([("a".into(), no(0)), ("b".into(), no(1))]);
    let plan = Plan::new(dag, numbers).unwrap();
    assert_eq!(plan.number(&"b".into()), Some(no(1)));
    assert_eq!(plan.number(&"a".into()), None, "the task left the DAG");
    assert_eq!(plan.spec(plan.task(no(1)).unwrap()).task_id, "b".into());
}

proptest! {
    #[test]
    fn edges_lead_both_ways_and_leaves_have_none_below(edges in edges()) {
        let plan = plan(tasks(&edges));
        for task in plan.tasks() {
            prop_assert_eq!(task.needed as usize, task.upstream.len());
            prop_assert_eq!(task.is_leaf, task.downstream.is_empty());
            for up in &task.upstream {
                prop_assert!(plan.task(*up).unwrap().downstream.contains(&task.no));
            }
            for down in &task.downstream {
                prop_assert!(plan.task(*down).unwrap().upstream.contains(&task.no));
            }
        }
    }

    #[test]
    fn nothing_is_downstream_of_itself(edges in edges()) {
        let plan = plan(tasks(&edges));
        for task in plan.tasks() {
            for down in &task.downstream {
                prop_assert!(!plan.reachable(*down).contains(&task.no));
            }
        }
    }

    #[test]
    fn a_task_weighs_as_much_as_it_and_all_below(edges in edges()) {
        let plan = weighed(tasks(&edges));
        for task in plan.tasks() {
            let below: BTreeSet<_> = plan.reachable(task.no);
            prop_assert_eq!(task.priority as usize, below.len());
        }
    }
}
