//! Airflow's table of trigger rules, as the documentation words it.

use std::collections::BTreeSet;

use super::End;

/// What the table says of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Judgement {
    Waits,
    Runs,
    Becomes(End),
}

/// Judges a task from how each of its direct upstreams ended; `None`: it has not.
///
/// # Panics
/// If the rule is none of the thirteen.
#[must_use]
pub fn judge(rule: &str, upstream: &[Option<End>]) -> Judgement {
    use End::{Failed, Skipped, Success, UpstreamFailed};
    use Judgement::{Becomes, Runs, Waits};

    let any = |ends: &[End]| upstream.iter().flatten().any(|end| ends.contains(end));
    let all = |ends: &[End]| upstream.iter().all(|end| end.is_some_and(|end| ends.contains(&end)));
    let finished = upstream.iter().all(Option::is_some);
    let any_failed = any(&[Failed, UpstreamFailed]);
    let when_finished = |judgement| if finished { judgement } else { Waits };

    if upstream.is_empty() {
        return Runs;
    }
    match rule {
        "always" => Runs,
        "all_success" if any_failed => Becomes(UpstreamFailed),
        "all_success" if any(&[Skipped]) => Becomes(Skipped),
        "all_success" | "all_done" | "all_done_setup_success" => when_finished(Runs),
        "all_failed" if any(&[Success, Skipped]) => Becomes(Skipped),
        "all_failed" => when_finished(Runs),
        "all_done_min_one_success" if any(&[Skipped]) => Becomes(Skipped),
        "all_done_min_one_success" if any(&[Success]) => when_finished(Runs),
        "all_done_min_one_success" => when_finished(Becomes(UpstreamFailed)),
        "one_success" if any(&[Success]) => Runs,
        "one_success" if all(&[Skipped]) => Becomes(Skipped),
        "one_success" => when_finished(Becomes(UpstreamFailed)),
        "one_failed" if any_failed => Runs,
        "one_failed" => when_finished(Becomes(Skipped)),
        "one_done" if any(&[Success, Failed]) => Runs,
        "one_done" => when_finished(Becomes(Skipped)),
        "none_failed" | "none_failed_min_one_success" if any_failed => Becomes(UpstreamFailed),
        "none_failed" => when_finished(Runs),
        "none_failed_min_one_success" if all(&[Skipped]) => Becomes(Skipped),
        "none_failed_min_one_success" if any(&[Success]) => when_finished(Runs),
        "none_failed_min_one_success" => when_finished(Becomes(UpstreamFailed)),
        "none_skipped" if any(&[Skipped]) => Becomes(Skipped),
        "none_skipped" => when_finished(Runs),
        "all_skipped" if any(&[Success, Failed, UpstreamFailed]) => Becomes(Skipped),
        "all_skipped" => when_finished(Runs),
        rule => panic!("`{rule}` is not a trigger rule"),
    }
}

/// Everything that the table may say of a task whose upstreams ended so, in whatever order they
/// ended: the first judgement that is not "waits", over all orders.
#[must_use]
pub fn acceptable(rule: &str, ends: &[End]) -> BTreeSet<Judgement> {
    let mut found = BTreeSet::new();
    let mut sorted: Vec<End> = ends.to_vec();
    sorted.sort_unstable();
    explore(rule, &sorted, &mut vec![None; ends.len()], &mut BTreeSet::new(), &mut found);
    found
}

fn explore(
    rule: &str,
    ends: &[End],
    seen: &mut Vec<Option<End>>,
    visited: &mut BTreeSet<Vec<Option<End>>>,
    found: &mut BTreeSet<Judgement>,
) {
    let mut key = seen.clone();
    key.sort_unstable();
    if !visited.insert(key) {
        return;
    }
    match judge(rule, seen) {
        Judgement::Waits => {}
        decided => {
            found.insert(decided);
            return;
        }
    }
    let mut tried = BTreeSet::new();
    for place in 0..ends.len() {
        if seen[place].is_none() && tried.insert(ends[place]) {
            seen[place] = Some(ends[place]);
            explore(rule, ends, seen, visited, found);
            seen[place] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_matters_only_to_a_skip_beside_a_failure() {
        let both = acceptable("all_success", &[End::Skipped, End::Failed, End::Success]);
        let expected = [Judgement::Becomes(End::Skipped), Judgement::Becomes(End::UpstreamFailed)];
        assert_eq!(both, expected.into());
        for rule in ["none_failed", "one_success", "all_done", "none_skipped", "one_done"] {
            let ends = [End::Skipped, End::Failed, End::Success, End::UpstreamFailed];
            assert_eq!(acceptable(rule, &ends).len(), 1, "{rule}");
        }
    }
}
