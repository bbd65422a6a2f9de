//! The checker finds a deliberately broken engine out, for the fault that was built in.

#[cfg(test)]
#[path = "../it/engine/fleet.rs"]
#[expect(dead_code, reason = "the other tests use more of it")]
mod fleet;
#[cfg(test)]
#[path = "../it/engine/scenarios.rs"]
mod scenarios;

/// One test: what is broken is broken for the whole process.
#[cfg(test)]
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_engine_turns_the_checker_red() {
    use std::collections::BTreeSet;

    use subak_store::mutation::{Mutation, set};

    let kinds = |found: Vec<subak_testkit::checker::Violation>| -> BTreeSet<&'static str> {
        found.iter().map(|violation| violation.invariant).collect()
    };

    set(Some(Mutation::NoFence));
    let found = kinds(scenarios::late_report().await);
    assert!(found.contains("I2"), "no fence: {found:?}");

    set(Some(Mutation::NoRunLock));
    let found = kinds(scenarios::all_at_once().await);
    assert!(found.contains("I4"), "no run lock: {found:?}");

    set(Some(Mutation::AnswerBeforeCommit));
    let found = kinds(scenarios::killed_after_the_answer().await);
    assert!(found.contains("I1"), "answer before commit: {found:?}");

    set(Some(Mutation::NoPause));
    let found = kinds(scenarios::paused().await);
    assert!(found.contains("I17"), "no pause: {found:?}");

    set(None);
    assert_eq!(kinds(scenarios::late_report().await), BTreeSet::new());
}
