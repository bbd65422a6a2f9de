//! Why a task instance has not ended: what it waits for, in the order in which the engine asks.

use super::{LiveFacts, Look, Reason};
use crate::decide::{Past, TryEnd, Verdict};
use crate::ids::TaskNo;
use crate::state::{RunState, TaskState};

impl Look<'_> {
    /// It is ready, runs, or waits on a timer.
    pub(super) fn of_live(&self, live: &LiveFacts) -> Vec<(bool, Reason)> {
        let mut reasons = Vec::new();
        match live.state {
            TaskState::Running | TaskState::Restarting => reasons.push((
                false,
                Reason::Runs {
                    worker: live.worker.clone(),
                    started_at: live.started_at,
                    try_number: live.try_number,
                    cleared: live.state == TaskState::Restarting,
                },
            )),
            TaskState::Queued => reasons.push((true, self.queue(live))),
            TaskState::Scheduled if live.waits_pool => reasons.push((true, self.pool())),
            // Whatever room there is, it has none.
            TaskState::Scheduled if self.facts.dag.is_paused => {}
            TaskState::Scheduled => {
                reasons.extend(self.held_back(live).into_iter().map(|it| (true, it)));
            }
            state => reasons.push((true, self.timer(state, live))),
        }
        if !live.state.is_held() {
            reasons.extend(self.paused().map(|reason| (true, reason)));
        }
        if live.failed + live.lost > 0 && live.state != TaskState::UpForRetry {
            reasons.push((false, self.timer(TaskState::UpForRetry, live)));
        }
        reasons.push((false, self.let_run()));
        reasons.extend(self.cancelled().map(|reason| (false, reason)));
        reasons.extend(self.deadline().map(|reason| (false, reason)));
        reasons.extend(self.file_gone().map(|reason| (false, reason)));
        reasons
    }

    /// Nothing has happened to it yet.
    pub(super) fn of_none(&self) -> Vec<(bool, Reason)> {
        let run = &self.facts.run;
        let mut reasons = Vec::new();
        reasons.extend(self.cancelled().map(|reason| (true, reason)));
        match run.state {
            RunState::Queued => {
                reasons.extend(self.run_waits().into_iter().map(|reason| (true, reason)));
            }
            RunState::Running => {
                reasons.extend(self.open());
                reasons.extend(self.paused().map(|reason| (true, reason)));
            }
            ended => reasons.push((true, Reason::RunEnded { state: ended })),
        }
        reasons.extend(self.deadline().map(|reason| (false, reason)));
        reasons.extend(self.file_gone().map(|reason| (false, reason)));
        reasons
    }

    /// Its run goes on, and it has not begun.
    fn open(&self) -> Vec<(bool, Reason)> {
        let mut reasons = Vec::new();
        let waits = self.facts.past.as_ref().is_some_and(|past| past.waits);
        if let Some(reason) = self.of_map().filter(|_| !waits) {
            let mut reasons = vec![(true, reason)];
            // What is judged index by index has no upstreams as a whole.
            if !(self.is_judged_alone() && self.facts.at.map_index.is_none()) {
                reasons.push((false, self.let_run()));
            }
            return reasons;
        }
        let counts = self.counts();
        let verdict = match self.task.starts_with_run() {
            true => Verdict::Run,
            false => self.task.judge(&counts),
        };
        if verdict == Verdict::Wait {
            if counts.seen() < counts.needed {
                reasons.push((true, self.rule()));
            }
            if counts.guards_seen < counts.guards {
                let waits_for = self.neighbours(&self.guards());
                let seen = counts.guards_seen;
                reasons.push((true, Reason::guards(seen, counts.guards, waits_for)));
            }
            if reasons.is_empty() {
                reasons.push((true, self.rule()));
            }
            return reasons;
        }
        if let (Verdict::Run, Some(past)) = (verdict, &self.facts.past)
            && self.task.past != Past::Nothing
        {
            let named = |(no, state): &(TaskNo, Option<TaskState>)| (self.name(*no), *state);
            reasons.push((
                true,
                Reason::Past {
                    run_before: past.run_id.clone(),
                    with_downstream: self.task.past == Past::WithDownstream,
                    tasks: past.tasks.iter().map(named).collect(),
                },
            ));
        } else if !self.facts.dag.is_paused {
            reasons.push((true, Reason::Soon { rest: self.facts.rest }));
        }
        reasons.push((false, self.let_run()));
        reasons
    }

    /// Of a mapped task whose instances are being made.
    fn of_map(&self) -> Option<Reason> {
        let known = self.facts.shape.of(self.task.no);
        let (instances, made, ended) = (known.instances?, self.facts.made, known.ended);
        let each = self.is_judged_alone();
        if self.facts.at.map_index.is_none() && (each || made > 0 || ended > 0) {
            return Some(Reason::Instances { instances, made, ended, each });
        }
        // One that follows others index by index is made once these let it run.
        if each || (made == 0 && ended == 0) {
            return None;
        }
        Some(Reason::NotMade {
            instances,
            made,
            ended,
            own_limit: self.task.most_of_run.and_then(|most| u32::try_from(most).ok()),
            limit: self.plan.dag.max_active_tasks,
            active: self.facts.run.tasks_active,
        })
    }

    fn queue(&self, live: &LiveFacts) -> Reason {
        let queue = self.facts.queue.clone().unwrap_or_default();
        Reason::Queue {
            queue: self.task.queue.to_string(),
            ahead: queue.ahead,
            priority: live.priority,
            workers: queue.workers,
            other_workers: queue.others,
            since: live.queued_at,
        }
    }

    fn pool(&self) -> Reason {
        let pool = self.facts.pool.clone().unwrap_or_default();
        let spec = self.plan.spec(self.task);
        Reason::Pool {
            // In a pool besides, it is told of the one that has no room.
            own_limit: spec.max_active_tis_per_dag.filter(|_| pool.name != spec.pool),
            pool: pool.name,
            slots: pool.slots,
            used: pool.used,
            asks: self.task.pool_slots,
            ahead: pool.ahead,
            holders: pool.holders,
        }
    }

    /// Which limits have no room for it: its task's own, its run's, or both.
    fn held_back(&self, live: &LiveFacts) -> Vec<Reason> {
        let own = self.task.most_of_run.and_then(|most| u32::try_from(most).ok());
        let own = own
            .map(|limit| Reason::MaxActiveTisPerDagrun { limit, active: live.own_active })
            .filter(|_| own.is_some_and(|limit| live.own_active >= i64::from(limit)));
        let (limit, active) = (self.plan.dag.max_active_tasks, self.facts.run.tasks_active);
        let is_full = i64::from(active) >= i64::from(limit);
        let of_run = Reason::MaxActiveTasks { limit, active, ahead: live.held_ahead };
        let of_run = (is_full || own.is_none()).then_some(of_run);
        own.into_iter().chain(of_run).collect()
    }

    fn timer(&self, state: TaskState, live: &LiveFacts) -> Reason {
        if state != TaskState::UpForRetry {
            return Reason::Deferred { state, due_at: live.due_at };
        }
        // A try that follows is one that the first rule that fits has let be.
        let end = if live.was_lost { TryEnd::WorkerLost } else { TryEnd::Transient };
        let (policy, _) = self.task.retry.of_failure(end, live.exit_code);
        Reason::Retry {
            due_at: live.due_at,
            failed: live.failed,
            lost: live.lost,
            retries: policy.retries,
            error: live.error.clone(),
        }
    }

    /// Why its run does not start.
    fn run_waits(&self) -> Vec<Reason> {
        let (dag, run) = (&self.facts.dag, &self.facts.run);
        let mut reasons = Vec::new();
        reasons.extend(run.waits_until.map(|at| Reason::RunAfter { at }));
        reasons.extend(self.paused());
        let is_due = run.waits_until.is_none();
        if is_due && (dag.runs_active >= dag.max_active_runs || run.runs_ahead > 0) {
            let (limit, active) = (dag.max_active_runs, dag.runs_active);
            reasons.push(Reason::MaxActiveRuns { limit, active, ahead: run.runs_ahead });
        }
        if reasons.is_empty() {
            reasons.push(Reason::Soon { rest: self.facts.rest });
        }
        reasons
    }

    fn paused(&self) -> Option<Reason> {
        let dag = &self.facts.dag;
        dag.is_paused.then(|| Reason::Paused { cause: dag.pause_cause.clone() })
    }

    fn cancelled(&self) -> Option<Reason> {
        let cause = self.facts.run.cancelled.clone()?;
        Some(Reason::Cancelled { cause })
    }

    fn file_gone(&self) -> Option<Reason> {
        (self.facts.dag.is_stale && !self.facts.run.state.is_final()).then_some(Reason::FileGone)
    }

    fn deadline(&self) -> Option<Reason> {
        Some(Reason::RunTimeout { at: self.facts.run.deadline_at? })
    }
}
