//! Records a batch of ended tries and what follows from them, in one transaction.

use std::collections::BTreeMap;
use std::time::Instant;

use subak_core::decide::{TryEnd, after_failure};
use subak_core::state::{FinalState, TaskEvent, TaskState};
use subak_store::engine::{
    EngineSession, EngineTx, Fence, HeldTry, HistoryRow, LiveRetry, LiveRow,
};
use subak_store::{NewDataset, NewLogChunk, NewScanCount, NewXCom, StoreError};
use tracing::{debug, warn};

use super::Core;
use super::lanes::{Pending, Reply};
use super::report::{Answer, Outcome, TryReport};
use super::work::{After, Work};

/// A log of one chunk up to this size lies in the history row.
const INLINE_LOG_BYTES: usize = 2_048;

/// How often a batch is tried before its reports are answered *later*.
const ROUNDS: u32 = 5;

/// Records a batch and answers its reports. A batch that fails for good is answered *later*.
pub(super) async fn complete(core: &Core, session: &mut EngineSession, batch: Vec<Pending>) {
    let reports: Vec<&TryReport> = batch.iter().map(|pending| &pending.report).collect();
    // Their slots are free at the workers already: this transaction may fill them.
    for report in &reports {
        core.sessions.finish(report.fence.session, report.fence.token);
    }
    let began = Instant::now();
    let mut answers = vec![Answer::Later; batch.len()];
    let mut after = None;
    if record_chunks(core, &reports).await {
        for round in 1..=ROUNDS {
            match record(core, session, &reports).await {
                Ok((recorded, follows)) => {
                    (answers, after) = (recorded, Some(follows));
                    break;
                }
                Err(error) => {
                    session.reset();
                    let transient =
                        error.downcast_ref::<StoreError>().is_some_and(StoreError::is_transient);
                    warn!(
                        error = format!("{error:#}"),
                        reports = reports.len(),
                        round,
                        "ends of tries could not be recorded"
                    );
                    if !transient || round == ROUNDS {
                        break;
                    }
                    let pause = rand::random_range(5..20) << round;
                    tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
                }
            }
        }
    }
    debug!(reports = batch.len(), micros = began.elapsed().as_micros(), "a batch was recorded");
    // Answers before hand-overs: the worker then counts its slots as this server does.
    answer(core, batch, &answers);
    if let Some(after) = after {
        core.committed(after).await;
    } else {
        core.claims_wake();
    }
}

fn answer(core: &Core, batch: Vec<Pending>, answers: &[Answer]) {
    use subak_proto as proto;
    let mut by_session: BTreeMap<i64, Vec<proto::ReportAnswer>> = BTreeMap::new();
    for (pending, answer) in batch.into_iter().zip(answers) {
        match pending.reply {
            Reply::Caller(reply) => {
                let _ = reply.send(*answer);
            }
            Reply::Session(stream) => {
                let code = match answer {
                    Answer::Accepted => proto::Answer::Accepted,
                    Answer::Superseded => proto::Answer::Superseded,
                    Answer::Later => proto::Answer::Later,
                };
                by_session.entry(stream).or_default().push(proto::ReportAnswer {
                    r#try: Some(super::assign::try_ref(&pending.report.fence)),
                    answer: code.into(),
                });
            }
        }
    }
    for (stream, answers) in by_session {
        let message =
            proto::server_message::Message::ReportAnswers(proto::ReportAnswers { answers });
        core.sessions.send(stream, message);
    }
}

/// Keeps last chunks of logs that do not fit into the history row; false if that failed.
async fn record_chunks(core: &Core, reports: &[&TryReport]) -> bool {
    let chunks: Vec<NewLogChunk> = reports
        .iter()
        .filter_map(|report| {
            let log = report.log.as_ref().filter(|_| inline_log(report).is_none())?;
            Some(NewLogChunk {
                fence: report.fence,
                sequence: log.sequence,
                first_line: log.first_line,
                lines: log.lines,
                lz4: log.lz4.clone(),
            })
        })
        .collect();
    if chunks.is_empty() {
        return true;
    }
    let kept = core.store.log_keep(&chunks).await;
    if let Err(error) = &kept {
        warn!(error = format!("{error:#}"), "logs of ended tries could not be kept");
    }
    kept.is_ok()
}

fn inline_log(report: &TryReport) -> Option<&[u8]> {
    let log = report.log.as_ref()?;
    (log.sequence == 0 && log.lz4.len() <= INLINE_LOG_BYTES).then_some(&log.lz4)
}

async fn record(
    core: &Core,
    session: &mut EngineSession,
    reports: &[&TryReport],
) -> anyhow::Result<(Vec<Answer>, After)> {
    let mut tx = session.begin().await?;
    let runs: Vec<_> = reports.iter().map(|report| report.fence.instance.run).collect();
    let mut work = Work::new(core, tx.runs_lock(&runs).await?).await?;
    match record_in_tx(&mut work, &mut tx, reports).await {
        Ok(answers) => match tx.commit().await {
            Ok(()) => Ok((answers, work.into_after())),
            Err(error) => {
                work.abandon();
                Err(error.into())
            }
        },
        Err(error) => {
            work.abandon();
            Err(error)
        }
    }
}

async fn record_in_tx(
    work: &mut Work<'_>,
    tx: &mut EngineTx<'_>,
    reports: &[&TryReport],
) -> anyhow::Result<Vec<Answer>> {
    // The same end may be reported twice in one batch: the first one counts.
    let mut first: BTreeMap<(i64, i64), usize> = BTreeMap::new();
    for (index, report) in reports.iter().enumerate() {
        first.entry((report.fence.session, report.fence.token)).or_insert(index);
    }
    let mut unique: Vec<usize> = first.values().copied().collect();
    unique.sort_unstable();
    let fences: Vec<Fence> = unique.iter().map(|index| reports[*index].fence).collect();
    let held = tx.tries_fence(&fences).await?;

    let mut verdicts = vec![Answer::Superseded; unique.len()];
    let mut accepted = Vec::new();
    for HeldTry { index, live } in held {
        verdicts[index] = Answer::Accepted;
        let report = reports[unique[index]];
        if end_try(work, live, report)? {
            accepted.push(report);
        }
    }
    recorded_before(tx, &fences, &mut verdicts).await?;
    keep_results(tx, &accepted).await?;
    work.settle(tx).await?;

    let by_fence: BTreeMap<(i64, i64), Answer> =
        fences.iter().map(|fence| (fence.session, fence.token)).zip(verdicts).collect();
    Ok(reports.iter().map(|r| by_fence[&(r.fence.session, r.fence.token)]).collect())
}

/// A fence without a row is accepted if its end is in the history already.
async fn recorded_before(
    tx: &mut EngineTx<'_>,
    fences: &[Fence],
    verdicts: &mut [Answer],
) -> Result<(), StoreError> {
    let missing: Vec<usize> =
        (0..fences.len()).filter(|index| verdicts[*index] == Answer::Superseded).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let asked: Vec<Fence> = missing.iter().map(|index| fences[*index]).collect();
    for found in tx.history_has(&asked).await? {
        verdicts[missing[found]] = Answer::Accepted;
    }
    Ok(())
}

async fn keep_results(tx: &mut EngineTx<'_>, accepted: &[&TryReport]) -> Result<(), StoreError> {
    let (mut xcoms, mut datasets) = (Vec::new(), Vec::new());
    let (mut scans, mut letters) = (Vec::new(), Vec::new());
    for report in accepted {
        let key = report.fence.instance;
        xcoms.extend(report.xcoms.iter().map(|(name, value)| NewXCom {
            key,
            name: name.clone(),
            value: value.clone(),
        }));
        datasets.extend(report.datasets.iter().map(|dataset| NewDataset {
            key,
            name: dataset.name.clone(),
            reference: dataset.reference.clone(),
            stats: dataset.stats.clone(),
            preview: dataset.preview.clone(),
        }));
        scans.extend(report.scans.iter().map(|(task_id, rows)| NewScanCount {
            run: key.run,
            task_id: task_id.clone(),
            rows: i64::try_from(*rows).unwrap_or(i64::MAX),
        }));
        if report.dead_letters {
            letters.push(report.fence.token);
        }
    }
    tx.xcoms_put(&xcoms).await?;
    tx.datasets_put(&datasets).await?;
    tx.scans_count(&scans).await?;
    if !letters.is_empty() {
        tx.dead_letters_show(&letters).await?;
    }
    Ok(())
}

/// Notes the end of one held try; returns whether its results count.
fn end_try(work: &mut Work<'_>, live: LiveRow, report: &TryReport) -> anyhow::Result<bool> {
    let run = live.key.run;
    if live.state == TaskState::Restarting {
        restarted(work, live, report);
        return Ok(false);
    }
    let failed = |end| (FinalState::Failed, Some(end));
    let (state, failure) = match report.outcome {
        Outcome::Success => (FinalState::Success, None),
        Outcome::Skipped => (FinalState::Skipped, None),
        Outcome::Failed(end) => failed(end),
        // A stop that nobody asked for here: the worker went away in an orderly fashion.
        Outcome::Stopped => failed(TryEnd::WorkerLost),
    };
    if let Some(end) = failure {
        let cancelled = work.locked(run).is_some_and(|run| run.cancelled);
        if cancelled {
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
            after_failure(&policy, end, count(failures), count(lost), chance)
        });
        let cause = (end == TryEnd::WorkerLost).then_some("worker_lost");
        let Some(delay) = delay else { return fail(work, live, report, cause) };
        TaskState::on(Some(TaskState::Running), TaskEvent::RetryLater)?;
        work.deactivate(run);
        let (ctid, try_number, queue) = (live.ctid.clone(), live.try_number, live.queue.clone());
        work.record_retry(live, report, cause);
        // A lost worker is no reason to wait.
        let state = if delay.is_zero() { work.reactivate(run) } else { TaskState::UpForRetry };
        if state == TaskState::Queued {
            work.left_ready(&queue);
        }
        let waits = state == TaskState::UpForRetry;
        work.after.timer |= waits;
        work.apply.live_retry.push(LiveRetry {
            ctid,
            state,
            try_number,
            failed: failures,
            lost,
            delay: waits.then_some(delay),
        });
        return Ok(false);
    }
    let task = live.key.task;
    let to = TaskState::on(Some(TaskState::Running), TaskEvent::Settled(state))?;
    debug_assert!(to.is_some_and(TaskState::is_final));
    work.record(live, report, state.into(), None);
    work.deactivate(run);
    work.ended(run, task, state);
    Ok(true)
}

/// Discards what a cleared try did. Its task is judged again, or skipped if the run was cancelled
/// since.
fn restarted(work: &mut Work<'_>, live: LiveRow, report: &TryReport) {
    let (key, tries, resets) = (live.key, live.try_number, live.resets + 1);
    work.record(live, report, TaskState::Restarting, Some("cleared"));
    work.deactivate(key.run);
    if work.locked(key.run).is_some_and(|run| run.cancelled) {
        // The try's own row is from before the clear: the skip is one of its own.
        let mut skip = HistoryRow::without_try(key, TaskState::Skipped, tries, resets);
        skip.cause = Some("cancelled".to_owned());
        work.apply.history.push(skip);
        work.ended(key.run, key.task, FinalState::Skipped);
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
    let (run, task) = (live.key.run, live.key.task);
    TaskState::on(Some(live.state), TaskEvent::Settled(FinalState::Failed))?;
    work.record(live, report, TaskState::Failed, cause);
    work.deactivate(run);
    work.ended(run, task, FinalState::Failed);
    Ok(true)
}

impl Work<'_> {
    /// The row goes, and its try is history.
    fn record(
        &mut self,
        live: LiveRow,
        report: &TryReport,
        state: TaskState,
        cause: Option<&'static str>,
    ) {
        self.apply.live_gone.push(live.ctid.clone());
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
        cause: cause.map(str::to_owned),
        error: report.error.clone(),
        log: inline_log(report).map(<[u8]>::to_vec),
    }
}
