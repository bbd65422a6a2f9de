//! Records a batch of ended tries and what follows from them, in one transaction.

mod ends;
mod results;

use std::collections::BTreeMap;
use std::time::Instant;

use subak_store::StoreError;
use subak_store::engine::{EngineSession, EngineTx, Fence, HeldTry};
use tracing::{debug, warn};

use super::Core;
use super::lanes::{Pending, Reply};
use super::report::{Answer, TryReport};
use super::work::{After, Work};
use ends::end_try;
use results::{keep_results, record_chunks};

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
