//! I6: each final state is one that the table of rules gives for the upstreams' final states.
//!
//! Only where it can be told from the end: of tasks that neither were cleared nor have a cleared
//! upstream, and that no cancel or branch ended. Of a DAG with setups: a teardown has run if, and only if,
//! one of its setups succeeded, those of its own index in a mapped group. Tests that know more hold the
//! whole run against the model.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use super::graph::Node;
use super::rows::{Ended, RunView};
use crate::model::{End, Judgement, acceptable};

pub(super) fn check(run: &RunView<'_>, found: &mut Findings) {
    for (task, node) in run.tasks() {
        let overruled = |row: &Ended| row.cause.as_deref() == Some("overruled");
        let untouched = |task: &i32| !run.was_cleared(*task) && !run.current(*task).any(overruled);
        // A task that was not expanded may have nothing to be mapped over.
        if node.map().is_some() && !node.is_instance() {
            continue;
        }
        if node.is_guarded {
            check_teardown(run, task, node, found);
            continue;
        }
        if !untouched(&task) || !node.upstream.iter().all(untouched) {
            continue;
        }
        let Some(own) = run.current(task).next() else { continue };
        let Some(ends) = ends_above(run, node) else { continue };
        // Skipped by a cancel or a branch, not by a rule.
        if own.session.is_none() && own.cause.is_some() {
            continue;
        }
        let allowed = acceptable(&node.rule, &ends);
        found.add_if(!fits(node, own, &allowed), "I6", || {
            format!("{run}, {}: {} by {} over {ends:?}", node.id, own.state, node.rule)
        });
    }
}

/// A teardown of setups, in a run that nobody cleared.
fn check_teardown(run: &RunView<'_>, task: i32, node: &Node, found: &mut Findings) {
    let Some(own) = run.current(task).next().filter(|_| node.cleans_up) else { return };
    let is_settled = own.session.is_none();
    if run.is_cleared()
        || node.rule != "all_done_setup_success"
        || is_settled && own.cause.is_some()
    {
        return;
    }
    let nodes: BTreeMap<i32, &Node> = run.tasks().collect();
    let mut setups = node.upstream.iter().filter(|up| nodes.get(*up).is_some_and(|up| up.is_setup));
    let is_made = setups.any(|up| run.current(*up).any(|row| row.state == "success"));
    found.add_if(has_run(node, own) != is_made, "I6", || {
        format!("{run}, {}: {}, though a setup succeeded: {is_made}", node.id, own.state)
    });
}

/// How the upstreams ended, if all have; each way once, for the table asks only for any and all.
fn ends_above(run: &RunView<'_>, node: &Node) -> Option<Vec<End>> {
    let ends: Option<BTreeSet<End>> = node
        .upstream
        .iter()
        .map(|up| run.current(*up).next().and_then(|row| End::parse(&row.state)))
        .collect();
    Some(ends?.into_iter().collect())
}

fn fits(node: &Node, own: &Ended, allowed: &BTreeSet<Judgement>) -> bool {
    if has_run(node, own) {
        return allowed.contains(&Judgement::Runs);
    }
    End::parse(&own.state).is_some_and(|end| allowed.contains(&Judgement::Becomes(end)))
}

fn has_run(node: &Node, own: &Ended) -> bool {
    own.session.is_some() || (node.is_empty() && own.state == "success")
}
