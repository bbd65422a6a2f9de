//! What ended tasks add to the counters below them.

use proptest::prelude::*;

use super::*;
use crate::decide::TriggerRule;
use crate::decide::sample::{edges, no, plan, task, tasks};

fn of(plan: &Plan, ended: &[(TaskNo, FinalState)]) -> Deltas {
    let ended = ended.iter().map(|&(task, end)| Ended::new(task, end));
    Deltas::of(plan, &Shape::default(), ended)
}

fn delta(place: usize, counts: UpstreamCounts) -> JoinDelta {
    JoinDelta { at: no(place).into(), counts, overruled: false }
}

#[test]
fn one_upstream_is_complete_and_several_are_to_be_added() {
    let plan = plan(vec![
        task("a", &[]),
        task("b", &[]),
        task("single", &["a"]),
        task("join", &["a", "b"]),
    ]);
    let deltas = of(&plan, &[(no(0), FinalState::Failed)]);
    let failed = |needed| UpstreamCounts { needed, failed: 1, ..UpstreamCounts::default() };
    assert_eq!(deltas.singles, [delta(2, failed(1))]);
    assert_eq!(deltas.joins, [delta(3, failed(2))]);
}

#[test]
fn tasks_that_ended_together_are_added_together() {
    let plan = plan(vec![task("a", &[]), task("b", &[]), task("join", &["a", "b"])]);
    let ends = [(no(0), FinalState::Success), (no(1), FinalState::Skipped)];
    let deltas = of(&plan, &ends);
    let counts = UpstreamCounts { needed: 2, success: 1, skipped: 1, ..UpstreamCounts::default() };
    assert_eq!(deltas.joins, [delta(2, counts)]);
}

#[test]
fn what_started_with_the_run_gains_nothing() {
    let mut always = task("always", &["a"]);
    always.trigger_rule = TriggerRule::Always;
    let plan = plan(vec![task("a", &[]), always]);
    let deltas = of(&plan, &[(no(0), FinalState::Success)]);
    assert!(deltas.joins.is_empty() && deltas.singles.is_empty());
}

proptest! {
    #[test]
    fn all_ends_together_fill_every_counter_exactly(edges in edges(), cut in 0..20usize) {
        let plan = plan(tasks(&edges));
        let ends: Vec<_> = plan.tasks().map(|task| (task.no, FinalState::Success)).collect();
        let (early, late) = ends.split_at(cut.min(ends.len()));
        let mut counts: BTreeMap<Instance, UpstreamCounts> = BTreeMap::new();
        for part in [early, late] {
            let deltas = of(&plan, part);
            for gain in deltas.joins.iter().chain(&deltas.singles) {
                counts.entry(gain.at).or_default().merge(&gain.counts);
                prop_assert!(counts[&gain.at].seen() <= gain.counts.needed);
            }
        }
        for task in plan.tasks().filter(|task| task.needed > 0) {
            prop_assert_eq!(counts[&task.no.into()].seen(), task.needed);
            prop_assert_eq!(counts[&task.no.into()].success, task.needed);
        }
    }
}
