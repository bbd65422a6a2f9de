//! I6: each final state is one that the table of rules gives for the upstreams' final states.
//!
//! Only where it can be told from the end: of tasks that neither were cleared nor have a cleared
//! upstream, that no cancel or branch ended, and whose DAG has no setups. Tests that know more hold the
//! whole run against the model.

use std::collections::BTreeSet;

use super::Findings;
use super::graph::Node;
use super::rows::{Ended, RunView};
use crate::model::{End, Judgement, acceptable};

pub(super) fn check(run: &RunView<'_>, found: &mut Findings) {
    for (task, node) in run.tasks() {
        let overruled = |row: &Ended| row.cause.as_deref() == Some("overruled");
        let untouched =
            |task: &i32| run.reset(*task).is_none() && !run.current(*task).any(overruled);
        // A task that was not expanded may have nothing to be mapped over.
        if node.is_guarded || node.map().is_some() && !node.is_instance() {
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
    let ran = own.session.is_some() || (node.is_empty() && own.state == "success");
    if ran {
        return allowed.contains(&Judgement::Runs);
    }
    End::parse(&own.state).is_some_and(|end| allowed.contains(&Judgement::Becomes(end)))
}
