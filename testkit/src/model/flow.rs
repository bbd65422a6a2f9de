//! Branches, setups and teardowns, found by walking the graph.

use std::collections::BTreeSet;

use super::{End, Judgement, ModelDag, ModelSays};

impl ModelDag {
    /// Everything below a task.
    fn below(&self, task: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([task]);
        loop {
            let before = found.len();
            for (place, other) in self.tasks.iter().enumerate() {
                if other.upstream.iter().any(|up| found.contains(up)) {
                    found.insert(place);
                }
            }
            if found.len() == before {
                found.remove(&task);
                return found;
            }
        }
    }

    fn right_below(&self, task: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.tasks.len()).filter(move |&other| self.tasks[other].upstream.contains(&task))
    }

    /// The tasks that a task's success skips, unless they run or have run.
    pub(super) fn skipped_by(&self, task: usize) -> BTreeSet<usize> {
        let no_teardown = |other: &usize| self.tasks[*other].teardown.is_none();
        match &self.tasks[task].says {
            ModelSays::Nothing => BTreeSet::new(),
            ModelSays::Follow(followed) => {
                let goes_on = |other: &usize| {
                    followed.iter().any(|&to| to == *other || self.below(to).contains(other))
                };
                self.right_below(task).filter(|other| !goes_on(other)).collect()
            }
            ModelSays::Stop { everything: true } => {
                self.below(task).into_iter().filter(no_teardown).collect()
            }
            ModelSays::Stop { everything: false } => {
                self.right_below(task).filter(no_teardown).collect()
            }
        }
    }

    /// Those of them right below: a failed try of theirs is not tried again.
    pub(super) fn decided_against(&self, task: usize) -> Vec<usize> {
        let skipped = self.skipped_by(task);
        self.right_below(task).filter(|other| skipped.contains(other)).collect()
    }

    /// For each task, what it waits for besides its upstreams.
    pub(crate) fn guards(&self) -> Vec<Vec<usize>> {
        if self.tasks.iter().all(|task| !task.setup && task.teardown.is_none()) {
            return vec![Vec::new(); self.tasks.len()];
        }
        let below: Vec<BTreeSet<usize>> =
            (0..self.tasks.len()).map(|task| self.below(task)).collect();
        (0..self.tasks.len()).map(|task| self.guards_of(task, &below)).collect()
    }

    fn guards_of(&self, task: usize, below: &[BTreeSet<usize>]) -> Vec<usize> {
        let own = &self.tasks[task];
        let is_guard = |other: usize| {
            if other == task || own.upstream.contains(&other) || !below[other].contains(&task) {
                return false;
            }
            if own.teardown.is_some() {
                let mut setups = own.upstream.iter().filter(|up| self.tasks[**up].setup);
                return setups.any(|setup| below[*setup].contains(&other));
            }
            let teardowns: Vec<usize> = self
                .right_below(other)
                .filter(|down| self.tasks[*down].teardown.is_some())
                .collect();
            let meant = teardowns.is_empty()
                || teardowns.iter().any(|teardown| below[task].contains(teardown));
            self.tasks[other].setup && meant
        };
        (0..self.tasks.len()).filter(|&other| is_guard(other)).collect()
    }

    /// What a rule says once guards, and setups right above, have their say.
    pub(super) fn with_guards(
        &self,
        task: usize,
        judgement: Judgement,
        ends: &[Option<End>],
        guards: &[usize],
    ) -> Judgement {
        use Judgement::{Becomes, Runs, Waits};
        let own = &self.tasks[task];
        if own.upstream.is_empty() || own.rule == "always" {
            return judgement;
        }
        let waits = guards.iter().any(|guard| ends[*guard].is_none());
        if own.teardown.is_none() {
            let any = |end| guards.iter().any(|guard| ends[*guard] == Some(end));
            if any(End::Failed) || any(End::UpstreamFailed) {
                return Becomes(End::UpstreamFailed);
            }
            if any(End::Skipped) {
                return Becomes(End::Skipped);
            }
        }
        let judgement = match judgement {
            Runs if own.rule == "all_done_setup_success" => self.by_setups(task, ends),
            other => other,
        };
        if judgement == Runs && waits { Waits } else { judgement }
    }

    /// All upstreams have ended: setups among them decide.
    fn by_setups(&self, task: usize, ends: &[Option<End>]) -> Judgement {
        let setups: Vec<Option<End>> = self.tasks[task]
            .upstream
            .iter()
            .filter(|up| self.tasks[**up].setup)
            .map(|up| ends[*up])
            .collect();
        if setups.is_empty() || setups.contains(&Some(End::Success)) {
            return Judgement::Runs;
        }
        match setups.iter().all(|end| *end == Some(End::Skipped)) {
            true => Judgement::Becomes(End::Skipped),
            false => Judgement::Becomes(End::UpstreamFailed),
        }
    }

    /// Tasks whose ends are the run's.
    pub(super) fn leaves(&self) -> Vec<usize> {
        let counts = |task: usize| self.tasks[task].teardown != Some(false);
        let all = 0..self.tasks.len();
        let leaves: Vec<usize> = all
            .clone()
            .filter(|&task| counts(task) && !self.right_below(task).any(counts))
            .collect();
        match leaves.is_empty() {
            true => all.filter(|&task| self.right_below(task).next().is_none()).collect(),
            false => leaves,
        }
    }
}
