//! Says why a task instance does not run, or why it ran: from the same rules and counts by which the
//! engine decides ([`crate::decide`]), and from what else it may wait for.

mod facts;
mod reason;
mod unfinished;

pub use facts::{
    COUNT_MOST, DagFacts, EndFacts, Facts, Holder, LiveFacts, OtherFacts, PastFacts, PoolFacts,
    QueueFacts, RunFacts, WorkerFacts,
};
pub use reason::{Neighbour, Reason};
use serde::Serialize;

use crate::decide::{Deltas, Ended, Plan, PlanTask, TriggerRule, UpstreamCounts};
use crate::ids::{Instance, MapIndex, TaskNo};
use crate::state::{FinalState, TaskState};

/// Why a task instance stands where it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    pub task_id: String,
    pub map_index: MapIndex,
    pub state: Option<TaskState>,
    pub outlook: Outlook,
    /// The reasons that hold it back, or the first one.
    pub summary: String,
    /// What matters most first.
    pub reasons: Vec<Told>,
}

/// What is to be expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outlook {
    Waits,
    Runs,
    Ended,
    /// Its run has ended, or is cancelled, without it.
    WillNotRun,
}

/// A reason, in words too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    pub text: String,
    /// As long as it holds, the task does not go on.
    pub holds: bool,
    #[serde(flatten)]
    pub reason: Reason,
}

/// Neighbours that a reason names; of more it says how many.
const NAMED_MOST: usize = 20;

/// Explains one task instance; `None`: the version of its run has no such task.
#[must_use]
pub fn explain(plan: &Plan, facts: &Facts) -> Option<Explanation> {
    let task = plan.task(facts.at.task)?;
    let look = Look { plan, task, facts };
    let (state, outlook, reasons) = match (&facts.live, &facts.ended) {
        (Some(live), _) => {
            let runs = live.state.is_held();
            let outlook = if runs { Outlook::Runs } else { Outlook::Waits };
            (Some(live.state), outlook, look.of_live(live))
        }
        (None, Some(end)) => (Some(end.state), Outlook::Ended, look.of_end(end)),
        (None, None) => {
            let over = facts.run.state.is_final();
            let outlook = if over { Outlook::WillNotRun } else { Outlook::Waits };
            (None, outlook, look.of_none())
        }
    };
    let told = |(holds, reason): (bool, Reason)| Told { text: reason.text(), holds, reason };
    let reasons: Vec<Told> = reasons.into_iter().map(told).collect();
    let holding: Vec<&str> =
        reasons.iter().filter(|told| told.holds).map(|told| told.text.as_str()).collect();
    let summary = match holding.is_empty() {
        true => reasons.first().map(|told| told.text.clone()).unwrap_or_default(),
        false => holding.join("; "),
    };
    let task_id = plan.spec(task).task_id.to_string();
    Some(Explanation { task_id, map_index: facts.at.map_index, state, outlook, summary, reasons })
}

/// The task, and what is known of it.
struct Look<'a> {
    plan: &'a Plan,
    task: &'a PlanTask,
    facts: &'a Facts,
}

impl Look<'_> {
    fn name(&self, task: TaskNo) -> String {
        self.plan
            .task(task)
            .map_or_else(|| format!("#{}", task.0), |task| self.plan.spec(task).task_id.to_string())
    }

    /// Its counters: the stored ones, or, where none are kept, from what its upstreams are.
    fn counts(&self) -> UpstreamCounts {
        if let Some((counts, _)) = self.facts.join {
            return counts;
        }
        let ended = self
            .facts
            .others
            .iter()
            .filter_map(|other| Some(Ended::new(other.at, other.state.to_final()?)));
        let deltas = Deltas::of(self.plan, &self.facts.shape, ended);
        let at = self.facts.shape.judged_for(self.task, self.facts.at);
        let own = deltas.joins.into_iter().chain(deltas.singles).find(|d| d.at == at);
        own.map_or_else(
            || {
                let none = UpstreamCounts::default();
                self.facts.shape.complete(self.plan, self.task, at.map_index, none)
            },
            |delta| delta.counts,
        )
    }

    /// Whether it is judged by itself, not with the other instances of its task.
    fn is_judged_alone(&self) -> bool {
        self.facts.shape.judges_each(self.task)
    }

    /// Whether another instance is one that this one waits for: of a task that it follows index by
    /// index only its own.
    fn follows(&self, other: Instance) -> bool {
        let by_index = self.is_judged_alone() && self.task.by_index.contains(&other.task);
        !by_index || other.map_index.is_none() || other.map_index == self.facts.at.map_index
    }

    /// What its rule says, with the upstreams that matter.
    fn rule(&self) -> Reason {
        let upstreams = self.counts();
        let verdict = self.task.judge(&upstreams);
        let open: Vec<Neighbour> = self.neighbours(&self.task.upstream);
        Reason::rule(self.task.rule, verdict, upstreams, open)
    }

    /// Tasks that have not ended, or have not succeeded; those first that are still open.
    fn neighbours(&self, tasks: &[TaskNo]) -> Vec<Neighbour> {
        let mut open = Vec::new();
        for no in tasks {
            let own = |other: &&OtherFacts| other.at.task == *no && self.follows(other.at);
            let mut known = self.facts.others.iter().filter(own).peekable();
            if known.peek().is_none() {
                let by_index = self.is_judged_alone() && self.task.by_index.contains(no);
                let index = if by_index { self.facts.at.map_index } else { MapIndex::NONE };
                open.push(Neighbour::new(self.name(*no), index, None));
            }
            for other in known.filter(|other| other.state != TaskState::Success) {
                open.push(Neighbour::new(self.name(*no), other.at.map_index, Some(other.state)));
            }
        }
        open.sort_by_key(|it| it.state.is_some_and(TaskState::is_final));
        open
    }

    /// Tasks that are no upstreams and are waited for all the same.
    fn guards(&self) -> Vec<TaskNo> {
        let watched = |task: &&PlanTask| task.watchers.contains(&self.task.no);
        self.plan.tasks().filter(watched).map(|task| task.no).collect()
    }

    /// Why it was, or is, let run: its rule, or that nothing is above it.
    fn let_run(&self) -> Reason {
        if self.task.upstream.is_empty() || self.task.rule == TriggerRule::Always {
            let run = &self.facts.run;
            return Reason::StartsWithRun {
                run_id: run.run_id.clone(),
                run_type: run.run_type.clone(),
                triggered_by: run.triggered_by.clone(),
                triggered_user: run.triggered_user.clone(),
                run_after: run.run_after,
            };
        }
        self.rule()
    }

    /// Why it ended as it did.
    fn of_end(&self, end: &EndFacts) -> Vec<(bool, Reason)> {
        let mut reasons = Vec::new();
        let ran = end.started_at.is_some();
        if ran || end.cause.is_some() {
            reasons.push(Reason::Ended {
                state: end.state,
                cause: end.cause.clone(),
                against: self.facts.against.iter().map(|no| self.name(*no)).collect(),
                try_number: end.try_number,
                started_at: end.started_at,
                ended_at: end.ended_at,
                worker: end.worker.clone(),
                error: end.error.clone(),
                exit_code: end.exit_code,
            });
        } else if self.task.is_empty && end.state == TaskState::Success {
            reasons.push(Reason::Settled { state: FinalState::Success, by_server: true });
        } else if let Some(state) = end.state.to_final() {
            reasons.push(Reason::Settled { state, by_server: false });
        }
        if ran || end.cause.is_none() {
            reasons.push(self.let_run());
        }
        reasons.into_iter().map(|reason| (false, reason)).collect()
    }
}

#[cfg(test)]
mod tests;
