//! One run of the model: statuses, and what reports, clears and cancels do to them.

use std::collections::BTreeSet;

use super::{End, Judgement, ModelDag, Status, TryEnd, judge};

/// One run.
#[derive(Debug, Clone)]
pub struct ModelRun<'a> {
    dag: &'a ModelDag,
    status: Vec<Status>,
    /// Tries that a worker was given, ever.
    tries: Vec<u32>,
    /// Tries that failed since the last clear.
    failed: Vec<u32>,
    /// Tries whose worker was lost, since the last clear.
    lost: Vec<u32>,
    /// What each task waits for besides its upstreams.
    guards: Vec<Vec<usize>>,
    /// The branches right above that decided against it.
    against: Vec<BTreeSet<usize>>,
    cancelled: bool,
}

/// Lost workers that cost a task nothing.
const FREE_LOSSES: u32 = 3;

impl<'a> ModelRun<'a> {
    /// Starts a run.
    #[must_use]
    pub fn start(dag: &'a ModelDag) -> Self {
        let size = dag.tasks.len();
        let mut run = Self {
            dag,
            status: vec![Status::None; size],
            tries: vec![0; size],
            failed: vec![0; size],
            lost: vec![0; size],
            guards: dag.guards(),
            against: vec![BTreeSet::new(); size],
            cancelled: false,
        };
        run.look_until_still();
        run
    }

    /// Where the task at this place stands.
    #[must_use]
    pub fn status(&self, task: usize) -> Status {
        self.status[task]
    }

    /// Tries of the task so far.
    #[must_use]
    pub fn tries(&self, task: usize) -> u32 {
        self.tries[task]
    }

    /// Tasks that are started (or restarting): those that a report may come for.
    #[must_use]
    pub fn held(&self) -> Vec<usize> {
        self.places(|status| matches!(status, Status::Started | Status::Restarting))
    }

    /// Tasks that wait for their next try.
    #[must_use]
    pub fn retrying(&self) -> Vec<usize> {
        self.places(|status| status == Status::Retry)
    }

    /// Takes note of tries that ended together; then looks. What is started, `is_held` by a worker or is
    /// still ready: that can be skipped.
    pub fn ended(&mut self, tries: &[(usize, TryEnd)], is_held: impl Fn(usize) -> bool) {
        let mut lost = Vec::new();
        for &(task, end) in tries {
            match self.status[task] {
                Status::Started => self.try_ended(task, end, &is_held),
                // What a cleared try reports is discarded.
                Status::Restarting if self.is_given_up(task) => self.end(task, End::Skipped),
                Status::Restarting => self.status[task] = Status::None,
                // Stopped by a failure earlier in the list.
                Status::Ended(_) if self.dag.fail_fast => {}
                status => panic!("{} reports while {status:?}", self.dag.tasks[task].id),
            }
            if end == TryEnd::WorkerLost && self.lost[task] <= FREE_LOSSES {
                lost.push(task);
            }
        }
        // A lost worker is no reason to wait.
        for task in lost {
            if self.status[task] == Status::Retry && self.against[task].is_empty() {
                self.try_starts(task);
            }
        }
        self.look_until_still();
    }

    /// The delay before the task's next try is over.
    pub fn retry_due(&mut self, task: usize) {
        assert_eq!(self.status[task], Status::Retry, "{}", self.dag.tasks[task].id);
        self.try_starts(task);
    }

    /// The tasks that a clear of these takes along: those below that only an upstream, or a guard, failed.
    #[must_use]
    pub fn cleared_with(&self, tasks: &[usize]) -> Vec<usize> {
        let mut all = tasks.to_vec();
        all.sort_unstable();
        all.dedup();
        loop {
            let before = all.len();
            for (place, task) in self.dag.tasks.iter().enumerate() {
                let fell = self.status[place] == Status::Ended(End::UpstreamFailed);
                let mut above = task.upstream.iter().chain(&self.guards[place]);
                let below = above.any(|up| all.contains(up));
                if fell && below && !all.contains(&place) {
                    all.push(place);
                }
            }
            if all.len() == before {
                all.sort_unstable();
                return all;
            }
        }
    }

    /// A user clears exactly these tasks: they have no status, or restart if a worker holds them.
    pub fn clear(&mut self, tasks: &[usize], is_held: impl Fn(usize) -> bool) {
        self.cancelled = false;
        for against in &mut self.against {
            against.retain(|branch| !tasks.contains(branch));
        }
        for &task in tasks {
            (self.failed[task], self.lost[task]) = (0, 0);
            match self.status[task] {
                Status::Restarting => {}
                Status::Started if is_held(task) => self.status[task] = Status::Restarting,
                Status::Started => {
                    self.not_taken(task);
                    self.status[task] = Status::None;
                }
                _ => self.status[task] = Status::None,
            }
        }
        self.look_until_still();
    }

    /// A user cancels the run: whatever no worker holds is skipped, but for teardowns.
    pub fn cancel(&mut self, is_held: impl Fn(usize) -> bool) {
        self.cancelled = true;
        for task in 0..self.status.len() {
            if !self.is_given_up(task) {
                continue;
            }
            match self.status[task] {
                Status::Restarting | Status::Ended(_) => continue,
                Status::Started if is_held(task) => continue,
                Status::Started => self.not_taken(task),
                Status::None | Status::Retry => {}
            }
            self.end(task, End::Skipped);
        }
        self.look_until_still();
    }

    /// Whether the task may not run any more.
    fn is_given_up(&self, task: usize) -> bool {
        let own = &self.dag.tasks[task];
        let cleans_up =
            own.teardown.is_some() && own.upstream.iter().any(|up| self.dag.tasks[*up].setup);
        self.cancelled && !cleans_up
    }

    /// A ready try that no worker took is no try.
    fn not_taken(&mut self, task: usize) {
        self.tries[task] -= 1;
    }

    /// Whether every task has ended, and if so whether the run succeeded.
    #[must_use]
    pub fn result(&self) -> Option<bool> {
        let ends: Option<Vec<End>> = self.status.iter().map(|status| status.end()).collect();
        let ends = ends?;
        let broken = |task: &usize| matches!(ends[*task], End::Failed | End::UpstreamFailed);
        let leaf_broken = self.dag.leaves().iter().any(broken);
        Some(!leaf_broken && !self.cancelled)
    }

    fn try_ended(&mut self, task: usize, end: TryEnd, is_held: &impl Fn(usize) -> bool) {
        match end {
            TryEnd::Success => self.succeeded(task, is_held),
            TryEnd::Skipped => self.end(task, End::Skipped),
            TryEnd::FailedForGood => self.has_failed(task, is_held),
            TryEnd::Failed => {
                self.failed[task] += 1;
                self.retry(task, is_held);
            }
            TryEnd::WorkerLost => {
                self.lost[task] += 1;
                if self.lost[task] <= FREE_LOSSES && !self.is_given_up(task) {
                    self.status[task] = Status::Retry;
                } else {
                    self.retry(task, is_held);
                }
            }
        }
    }

    /// Each failure costs a retry, and so does each loss beyond the free ones.
    fn retry(&mut self, task: usize, is_held: &impl Fn(usize) -> bool) {
        let spent = self.failed[task] + self.lost[task].saturating_sub(FREE_LOSSES);
        if spent <= self.dag.tasks[task].retries && !self.is_given_up(task) {
            self.status[task] = Status::Retry;
        } else {
            self.has_failed(task, is_held);
        }
    }

    /// A success may skip tasks below. Those that are started go on.
    fn succeeded(&mut self, task: usize, is_held: &impl Fn(usize) -> bool) {
        self.end(task, End::Success);
        if self.cancelled {
            return;
        }
        for against in self.dag.decided_against(task) {
            self.against[against].insert(task);
        }
        for skipped in self.dag.skipped_by(task) {
            self.skip(skipped, is_held);
        }
    }

    /// A failure may stop everything but teardowns.
    fn has_failed(&mut self, task: usize, is_held: &impl Fn(usize) -> bool) {
        self.end(task, End::Failed);
        if !self.dag.fail_fast || self.cancelled {
            return;
        }
        for other in 0..self.status.len() {
            if self.dag.tasks[other].teardown.is_some() {
                continue;
            }
            match self.status[other] {
                Status::Started if is_held(other) => self.end(other, End::Failed),
                _ => self.skip(other, is_held),
            }
        }
    }

    fn skip(&mut self, task: usize, is_held: &impl Fn(usize) -> bool) {
        match self.status[task] {
            Status::None | Status::Retry | Status::Ended(End::UpstreamFailed) => {}
            Status::Started if !is_held(task) => self.not_taken(task),
            _ => return,
        }
        self.end(task, End::Skipped);
    }

    fn try_starts(&mut self, task: usize) {
        self.tries[task] += 1;
        self.status[task] = Status::Started;
    }

    fn end(&mut self, task: usize, end: End) {
        self.status[task] = Status::Ended(end);
    }

    fn look_until_still(&mut self) {
        while self.look() {}
    }

    /// Judges every task without a status by the statuses before this look; says whether any
    /// changed.
    fn look(&mut self) -> bool {
        let before: Vec<Option<End>> = self.status.iter().map(|status| status.end()).collect();
        let mut changed = false;
        for (place, task) in self.dag.tasks.iter().enumerate() {
            if self.is_given_up(place) {
                continue;
            }
            let waits = matches!(self.status[place], Status::None | Status::Retry);
            if waits && !self.against[place].is_empty() {
                self.end(place, End::Skipped);
                changed = true;
            }
            if self.status[place] != Status::None {
                continue;
            }
            let upstream: Vec<_> = task.upstream.iter().map(|&up| before[up]).collect();
            let by_rule = judge(&task.rule, &upstream);
            match self.dag.with_guards(place, by_rule, &before, &self.guards[place]) {
                Judgement::Waits => continue,
                Judgement::Runs => self.try_starts(place),
                Judgement::Becomes(end) => self.end(place, end),
            }
            changed = true;
        }
        changed
    }

    fn places(&self, keep: impl Fn(Status) -> bool) -> Vec<usize> {
        (0..self.status.len()).filter(|&task| keep(self.status[task])).collect()
    }
}
