//! The rules against Airflow's own decisions, and the laws that the engine builds upon.

use std::io::Read;

use flate2::read::GzDecoder;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// What Airflow 3.3 decided for every count of up to four upstreams.
#[derive(Deserialize)]
struct Vectors {
    counts: Section<CountsRow>,
    mapped: Section<MappedRow>,
    setups: Section<SetupsRow>,
}

#[derive(Deserialize)]
struct Section<Row> {
    rows: Vec<Row>,
}

/// Success, failed, skipped, `upstream_failed`, removed, unfinished.
type ByState = [i32; 6];

/// Rule, counts, decision, the state that was set, whether the task passed.
type CountsRow = (TriggerRule, ByState, String, Option<String>, bool);
/// As [`CountsRow`], with the map index after the counts.
type MappedRow = (TriggerRule, ByState, i32, String, Option<String>, bool);
/// Counts of the setups among the upstreams, counts of the others, decision, and so on.
type SetupsRow = (ByState, ByState, String, Option<String>, bool);

fn vectors() -> Vectors {
    let packed = include_bytes!("../../../tests/data/airflow-trigger-vectors.json.gz");
    let mut text = String::new();
    GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn counts([success, failed, skipped, upstream_failed, removed, open]: ByState) -> UpstreamCounts {
    UpstreamCounts {
        needed: success + failed + skipped + upstream_failed + removed + open,
        success,
        failed,
        skipped,
        upstream_failed,
        removed,
        ..UpstreamCounts::default()
    }
}

fn spell(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Wait => "wait",
        Verdict::Run => "run",
        Verdict::Settle(state) => crate::state::TaskState::from(state).as_str(),
    }
}

/// Airflow never decides `all_skipped` once an upstream is removed: the run ends by its deadlock
/// check. Here no task may wait for nothing, so removed upstreams do not count, as in `all_success`.
fn differs_on_purpose(rule: TriggerRule, counts: &UpstreamCounts) -> bool {
    rule == TriggerRule::AllSkipped && counts.removed > 0
}

#[test]
fn decides_as_airflow_does_for_every_count_of_upstreams() {
    let mut different = 0;
    for (rule, by_state, decision, ..) in vectors().counts.rows {
        let counts = counts(by_state);
        let ours = spell(judge(rule, &counts));
        if differs_on_purpose(rule, &counts) && ours != decision {
            assert_eq!((ours, decision.as_str()), ("run", "wait"), "{counts:?}");
            different += 1;
        } else {
            assert_eq!(ours, decision, "{rule:?} {counts:?}");
        }
    }
    assert_eq!(different, 10);
}

/// Which instances a shrunken mapping removes is the mapping's to say, not the rule's.
#[test]
fn decides_as_airflow_does_for_mapped_instances_that_stay() {
    let mut removed = 0;
    for (rule, by_state, map_index, decision, ..) in vectors().mapped.rows {
        if decision == "removed" {
            assert!(map_index >= by_state[0], "{by_state:?}");
            removed += 1;
            continue;
        }
        assert_eq!(spell(judge(rule, &counts(by_state))), decision, "{rule:?} {by_state:?}");
    }
    assert_eq!(removed, 15);
}

#[test]
fn counts_setups_apart_as_airflow_does() {
    for (setups, others, decision, ..) in vectors().setups.rows {
        let both = std::array::from_fn(|state| setups[state] + others[state]);
        let counts = UpstreamCounts {
            setups: setups.iter().sum(),
            setup_success: setups[0],
            setup_skipped: setups[2],
            ..counts(both)
        };
        let ours = spell(judge(TriggerRule::AllDoneSetupSuccess, &counts));
        assert_eq!(ours, decision, "setups {setups:?}, others {others:?}");
    }
}

const ENDS: [FinalState; 5] = [
    FinalState::Success,
    FinalState::Failed,
    FinalState::Skipped,
    FinalState::UpstreamFailed,
    FinalState::Removed,
];

/// Any rule, and up to eight upstreams, of which the first `setups` are setups, in order of end.
fn upstreams() -> impl Strategy<Value = (TriggerRule, Vec<FinalState>, usize)> {
    let rule = prop::sample::select(TriggerRule::ALL.to_vec());
    let ends = prop::collection::vec(prop::sample::select(ENDS.to_vec()), 0..8);
    (rule, ends, 0..9usize)
}

/// The verdict before any upstream ended, and after each end.
fn verdicts(rule: TriggerRule, ends: &[FinalState], setups: usize) -> Vec<Verdict> {
    let size = |n: usize| i32::try_from(n).unwrap();
    let mut counts = UpstreamCounts {
        needed: size(ends.len()),
        setups: size(setups.min(ends.len())),
        ..UpstreamCounts::default()
    };
    let mut verdicts = vec![judge(rule, &counts)];
    for (place, &end) in ends.iter().enumerate() {
        counts.add(end, place < setups);
        assert!(counts.seen() <= counts.needed);
        verdicts.push(judge(rule, &counts));
    }
    assert_eq!(counts.seen(), counts.needed);
    verdicts
}

/// Whether a later upstream may overturn a verdict that was final when it was made: a failure after
/// a skip does so for `all_success`. The decision itself is kept in the database, not made again.
fn may_be_overturned(rule: TriggerRule, first: Verdict, last: Verdict) -> bool {
    rule == TriggerRule::AllSuccess
        && first == Verdict::Settle(FinalState::Skipped)
        && last == Verdict::Settle(FinalState::UpstreamFailed)
}

proptest! {
    #[test]
    fn every_rule_is_decided_when_all_upstreams_have_ended((rule, ends, setups) in upstreams()) {
        prop_assert_ne!(verdicts(rule, &ends, setups).pop(), Some(Verdict::Wait));
    }

    #[test]
    fn once_decided_later_upstreams_do_not_matter((rule, ends, setups) in upstreams()) {
        let decided: Vec<_> = verdicts(rule, &ends, setups)
            .into_iter()
            .skip_while(|verdict| *verdict == Verdict::Wait)
            .collect();
        for pair in decided.windows(2) {
            prop_assert!(
                pair[0] == pair[1] || may_be_overturned(rule, pair[0], pair[1]),
                "{rule:?} {ends:?}: {pair:?}"
            );
        }
    }

    #[test]
    fn the_order_of_ends_matters_only_to_skips_and_failures_under_all_success(
        (rule, ends, setups) in upstreams(),
        seed in any::<u64>(),
    ) {
        let first = |verdicts: Vec<Verdict>| verdicts.into_iter().find(|v| *v != Verdict::Wait);
        let rotated: Vec<_> = {
            let by = usize::try_from(seed % 8).unwrap() % ends.len().max(1);
            ends[by..].iter().chain(&ends[..by]).copied().collect()
        };
        let setups = if ends == rotated { setups } else { 0 };
        let here = first(verdicts(rule, &ends, setups)).unwrap();
        let there = first(verdicts(rule, &rotated, setups)).unwrap();
        prop_assert!(
            here == there
                || may_be_overturned(rule, here, there)
                || may_be_overturned(rule, there, here),
            "{rule:?} {ends:?}: {here:?} {there:?}"
        );
    }

    #[test]
    fn the_reason_names_the_rule_and_every_count((rule, ends, _) in upstreams()) {
        let mut counts = UpstreamCounts { needed: 8, ..UpstreamCounts::default() };
        ends.iter().for_each(|&end| counts.add(end, false));
        let reason = Reason::of(rule, counts);
        prop_assert!(reason.text.starts_with(rule.as_str()), "{}", reason.text);
        let failed = format!("{} failed", counts.failed);
        prop_assert!(reason.text.contains(&failed), "{}", reason.text);
    }
}
