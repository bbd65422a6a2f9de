//! The end of one try: final, to be tried again, or discarded because the try was cleared.

use subak_core::decide::{Kind, PlanTask, Says, TryEnd, after_failure};
use subak_core::state::{FinalState, TaskEvent, TaskState};
use subak_core::template::XComKey;
use subak_store::engine::{HistoryRow, LiveRetry, LiveRow};

use super::results::inline_log;
use crate::engine::report::{Outcome, TryReport, XComReport};
use crate::engine::work::Work;

/// Notes the end of one held try; returns whether its results count.
pub(super) fn end_try(
    work: &mut Work<'_>,
    live: LiveRow,
    report: &TryReport,
) -> anyhow::Result<bool> {
    let run = live.key.run;
    if live.state == TaskState::Restarting {
        restarted(work, live, report);
        return Ok(false);
    }
    let amended;
    let (report, says) = match said(work, &live, report) {
        Ok(says) => (report, says),
        // A result that means nothing is a failure like any other.
        Err(wrong) => {
            let outcome = Outcome::Failed(TryEnd::Transient);
            amended = TryReport { outcome, error: Some(wrong), ..report.clone() };
            (&amended, Says::default())
        }
    };
    let failed = |end| (FinalState::Failed, Some(end));
    let (state, failure) = match report.outcome {
        Outcome::Success => (FinalState::Success, None),
        Outcome::Skipped => (FinalState::Skipped, None),
        Outcome::Failed(end) => failed(end),
        // A stop that nobody asked for here: the worker went away in an orderly fashion.
        Outcome::Stopped => failed(TryEnd::WorkerLost),
    };
    if let Some(end) = failure {
        if work.is_given_up(&live) {
            return fail(work, live, report, Some("cancelled"));
        }
        let (failures, lost) = match end {
            TryEnd::WorkerLost => (live.failed, live.lost + 1),
            _ => (live.failed + 1, live.lost),
        };
        let policy =
            work.plan(run).and_then(|plan| plan.task(live.key.task)).map(|task| task.retry.clone());
        let chance = rand::random::<f64>();
        let delay = policy.and_then(|policy| {
            let count = |n: i16| u32::try_from(n).unwrap_or(0);
            let (policy, end) = policy.of_failure(end, report.exit_code);
            after_failure(&policy, end, count(failures), count(lost), chance)
        });
        let cause = (end == TryEnd::WorkerLost).then_some("worker_lost");
        let Some(delay) = delay else { return fail(work, live, report, cause) };
        TaskState::on(Some(TaskState::Running), TaskEvent::RetryLater)?;
        let task = live.key.task;
        work.deactivate(run, task);
        work.retries(&live);
        work.give_up_slots(&live);
        let (ctid, try_number, queue) = (live.ctid.clone(), live.try_number, live.queue.clone());
        let priority = live.priority;
        let pool = live.pool.clone();
        work.record_retry(live, report, cause);
        let ahead = work.ahead(run);
        // A lost worker is no reason to wait.
        let (state, waits_pool) = match delay.is_zero() {
            true => work.admit(run, task, pool.as_deref()),
            false => (TaskState::UpForRetry, false),
        };
        if state == TaskState::Queued {
            work.left_ready(&queue);
        }
        let waits = state == TaskState::UpForRetry;
        work.after.timer |= waits;
        work.apply.live_retry.push(LiveRetry {
            ctid,
            task,
            state,
            try_number,
            failed: failures,
            lost,
            delay: waits.then_some(delay),
            waits_pool,
            ahead,
            priority,
            queue,
            pool,
        });
        return Ok(false);
    }
    let key = live.key;
    let to = TaskState::on(Some(TaskState::Running), TaskEvent::Settled(state))?;
    debug_assert!(to.is_some_and(TaskState::is_final));
    work.record(live, report, state.into(), None);
    work.deactivate(run, key.task);
    work.ended(key, state);
    work.says(key, says);
    Ok(true)
}

/// What a successful try's result means for the tasks below it.
fn said(work: &Work<'_>, live: &LiveRow, report: &TryReport) -> Result<Says, String> {
    let plan = work.plan(live.key.run);
    let task = plan.and_then(|plan| plan.task(live.key.task));
    let (Some(plan), Some(task)) = (plan, task) else { return Ok(Says::default()) };
    let says_nothing = task.kind == Kind::Plain && task.feeds.is_empty();
    if says_nothing || report.outcome != Outcome::Success {
        return Ok(Says::default());
    }
    let result = report.xcoms.iter().find(|xcom| xcom.key == XComKey::RETURN_VALUE);
    Says::of(plan, task, result.map(XComReport::read).as_deref())
}

/// Discards what a cleared try did. Its task is judged again, or skipped if the run was cancelled
/// since.
fn restarted(work: &mut Work<'_>, live: LiveRow, report: &TryReport) {
    let (key, tries, resets) = (live.key, live.try_number, live.resets + 1);
    let is_given_up = work.is_given_up(&live);
    work.record(live, report, TaskState::Restarting, Some("cleared"));
    work.deactivate(key.run, key.task);
    if is_given_up {
        // The try's own row is from before the clear: the skip is one of its own.
        let mut skip = HistoryRow::without_try(key, TaskState::Skipped, tries, resets);
        skip.cause = Some("cancelled".to_owned());
        work.apply.history.push(skip);
        work.ended(key, FinalState::Skipped);
    } else {
        work.rebuild(key.run);
    }
}

fn fail(
    work: &mut Work<'_>,
    live: LiveRow,
    report: &TryReport,
    cause: Option<&'static str>,
) -> anyhow::Result<bool> {
    let key = live.key;
    TaskState::on(Some(live.state), TaskEvent::Settled(FinalState::Failed))?;
    work.record(live, report, TaskState::Failed, cause);
    work.deactivate(key.run, key.task);
    work.ended(key, FinalState::Failed);
    work.fails(key.run, key.task);
    Ok(true)
}

impl Work<'_> {
    /// Whether its run was cancelled, and no teardown of it may go on.
    fn is_given_up(&self, live: &LiveRow) -> bool {
        let cleans_up = self
            .plan(live.key.run)
            .and_then(|plan| plan.task(live.key.task))
            .is_some_and(PlanTask::cleans_up);
        self.locked(live.key.run).is_some_and(|run| run.cancelled) && !cleans_up
    }

    /// The row goes, and its try is history.
    fn record(
        &mut self,
        live: LiveRow,
        report: &TryReport,
        state: TaskState,
        cause: Option<&'static str>,
    ) {
        self.gone(&live);
        self.apply.history.push(history(live, report, state, cause));
    }

    /// The row stays for the next try.
    fn record_retry(&mut self, live: LiveRow, report: &TryReport, cause: Option<&'static str>) {
        self.after.changed.insert(live.key.run);
        self.apply.history.push(history(live, report, TaskState::UpForRetry, cause));
    }
}

fn history(
    live: LiveRow,
    report: &TryReport,
    state: TaskState,
    cause: Option<&'static str>,
) -> HistoryRow {
    HistoryRow {
        key: live.key,
        token: live.token,
        state,
        try_number: live.try_number,
        resets: live.resets,
        exit_code: report.exit_code,
        session: live.session,
        queued_at: Some(live.queued_at),
        started_at: live.started_at,
        rows_rejected: (report.rows_rejected > 0)
            .then(|| i64::try_from(report.rows_rejected).unwrap_or(i64::MAX)),
        rendered: report.rendered.clone(),
        cause: cause.map(str::to_owned),
        error: report.error.clone(),
        log: inline_log(report).map(<[u8]>::to_vec),
    }
}
