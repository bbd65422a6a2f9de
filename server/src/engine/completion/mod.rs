//! Records a batch of ended tries and what follows from them, in one transaction.

mod ends;
mod results;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use subak_store::StoreError;
use subak_store::engine::{EngineSession, EngineTx, Fence, HeldTry};
use tracing::{debug, warn};

use super::Core;
use super::lanes::{Pending, Reply};
use super::report::{Answer, TryReport};
use super::work::{After, Work};
use ends::end_try;
use results::{keep_results, record_chunks};

/// How often the database may fail for a moment before reports are answered *later*.
const ROUNDS: u32 = 5;

/// Records a batch and answers its reports. A batch that cannot be recorded is halved: what fails for
/// a moment then contends with less, and a report that the database refuses for good stands alone in
/// the end. That one is recorded as failed, with the reason.
pub(super) async fn complete(core: &Core, session: &mut EngineSession, batch: Vec<Pending>) {
    // Their slots are free at the workers already: this transaction may fill them.
    for Pending { report, .. } in &batch {
        core.sessions.finish(report.fence.session, report.fence.token);
    }
    let mut parts = vec![batch];
    let mut rounds = 0;
    while let Some(mut part) = parts.pop() {
        let began = Instant::now();
        let reports: Vec<&TryReport> = part.iter().map(|pending| &pending.report).collect();
        let error = match core.within(record(core, session, &reports)).await {
            Ok((answers, after)) => {
                let micros = began.elapsed().as_micros();
                debug!(reports = part.len(), micros, "a batch was recorded");
                // Answers before hand-overs: the worker then counts its slots as this server does.
                answer(core, part, &answers);
                core.committed(after).await;
                continue;
            }
            Err(error) => error,
        };
        session.reset();
        let cause = error.downcast_ref::<StoreError>();
        let (transient, refused) = (
            cause.is_some_and(StoreError::is_transient),
            cause.is_some_and(StoreError::is_refused_value),
        );
        let text = format!("{error:#}");
        let there = cause.and_then(StoreError::duplicate);
        warn!(error = text, there, reports = part.len(), "ends of tries could not be recorded");
        rounds += u32::from(transient);
        if rounds < ROUNDS && (transient || part.len() > 1) {
            let half = part.split_off(part.len() / 2);
            parts.extend([half, part].into_iter().filter(|part| !part.is_empty()));
            if transient {
                let pause = rand::random_range(5..20) << rounds;
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        } else if let [lone] = &mut part[..]
            && refused
            && !lone.report.is_refused
        {
            lone.report.refuse(&text);
            parts.push(part);
        } else {
            let answers = vec![Answer::Later; part.len()];
            answer(core, part, &answers);
            core.claims_wake();
        }
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

async fn record(
    core: &Core,
    session: &mut EngineSession,
    reports: &[&TryReport],
) -> anyhow::Result<(Vec<Answer>, After)> {
    record_chunks(core, reports).await?;
    let runs: Vec<_> = reports.iter().map(|report| report.fence.instance.run).collect();
    core.caches.warm(&runs).await?;
    let mut tx = session.begin().await?;
    let locked = tx.runs_lock(&runs).await?;
    let mut work = Work::new(core, &mut tx, locked).await?;
    let answers = record_in_tx(&mut work, &mut tx, reports).await?;
    tx.commit().await?;
    Ok((answers, work.into_after()))
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
    keep_results(tx, work.installation(), &accepted).await?;
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
