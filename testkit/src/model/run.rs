//! One run of the model: statuses, and what reports, clears and cancels do to them.

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

    /// Takes note of tries that ended together; then looks.
    pub fn ended(&mut self, tries: &[(usize, TryEnd)]) {
        for &(task, end) in tries {
            match self.status[task] {
                Status::Started => self.try_ended(task, end),
                // What a cleared try reports is discarded.
                Status::Restarting if self.cancelled => self.end(task, End::Skipped),
                Status::Restarting => self.status[task] = Status::None,
                status => panic!("{} reports while {status:?}", self.dag.tasks[task].id),
            }
        }
        self.look_until_still();
    }

    /// The delay before the task's next try is over.
    pub fn retry_due(&mut self, task: usize) {
        assert_eq!(self.status[task], Status::Retry, "{}", self.dag.tasks[task].id);
        self.try_starts(task);
    }

    /// The tasks that a clear of these takes along: those below that only an upstream failed.
    #[must_use]
    pub fn cleared_with(&self, tasks: &[usize]) -> Vec<usize> {
        let mut all = tasks.to_vec();
        all.sort_unstable();
        all.dedup();
        loop {
            let before = all.len();
            for (place, task) in self.dag.tasks.iter().enumerate() {
                let fell = self.status[place] == Status::Ended(End::UpstreamFailed);
                let below = task.upstream.iter().any(|up| all.contains(up));
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

    /// A user cancels the run: whatever no worker holds is skipped.
    pub fn cancel(&mut self, is_held: impl Fn(usize) -> bool) {
        self.cancelled = true;
        for task in 0..self.status.len() {
            match self.status[task] {
                Status::Restarting | Status::Ended(_) => continue,
                Status::Started if is_held(task) => continue,
                Status::Started => self.not_taken(task),
                Status::None | Status::Retry => {}
            }
            self.end(task, End::Skipped);
        }
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
        let has_downstream =
            |task: usize| self.dag.tasks.iter().any(|other| other.upstream.contains(&task));
        let broken = |task: &usize| matches!(ends[*task], End::Failed | End::UpstreamFailed);
        let leaf_broken = (0..ends.len()).filter(|&t| !has_downstream(t)).any(|t| broken(&t));
        Some(!leaf_broken && !self.cancelled)
    }

    fn try_ended(&mut self, task: usize, end: TryEnd) {
        match end {
            TryEnd::Success => self.end(task, End::Success),
            TryEnd::Skipped => self.end(task, End::Skipped),
            TryEnd::FailedForGood => self.end(task, End::Failed),
            TryEnd::Failed => {
                self.failed[task] += 1;
                self.retry(task);
            }
            TryEnd::WorkerLost => {
                self.lost[task] += 1;
                if self.lost[task] <= FREE_LOSSES && !self.cancelled {
                    self.try_starts(task);
                } else {
                    self.retry(task);
                }
            }
        }
    }

    /// Each failure costs a retry, and so does each loss beyond the free ones.
    fn retry(&mut self, task: usize) {
        let spent = self.failed[task] + self.lost[task].saturating_sub(FREE_LOSSES);
        if spent <= self.dag.tasks[task].retries && !self.cancelled {
            self.status[task] = Status::Retry;
        } else {
            self.end(task, End::Failed);
        }
    }

    fn try_starts(&mut self, task: usize) {
        self.tries[task] += 1;
        self.status[task] = Status::Started;
    }

    fn end(&mut self, task: usize, end: End) {
        self.status[task] = Status::Ended(end);
    }

    fn look_until_still(&mut self) {
        while !self.cancelled && self.look() {}
    }

    /// Judges every task without a status by the statuses before this look; says whether any
    /// changed.
    fn look(&mut self) -> bool {
        let before: Vec<Option<End>> = self.status.iter().map(|status| status.end()).collect();
        let mut changed = false;
        for (place, task) in self.dag.tasks.iter().enumerate() {
            if self.status[place] != Status::None {
                continue;
            }
            let upstream: Vec<_> = task.upstream.iter().map(|&up| before[up]).collect();
            match judge(&task.rule, &upstream) {
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
