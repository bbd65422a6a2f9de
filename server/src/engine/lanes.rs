//! Group commit without a timer: reports are flushed at once while one of two lanes is idle, and
//! collect while both are busy.

use std::sync::Arc;

use subak_store::engine::EngineSession;
use subak_store::mutation::{self, Mutation};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Core;
use super::completion::complete;
use super::report::{Answer, TryReport};

/// Two connections: one commits while the other collects locks. More only contend.
const LANES: usize = 2;

/// Larger batches only add latency.
const BATCH_MOST: usize = 100;

/// Reports that may wait; senders wait beyond it.
const WAITING_MOST: usize = 10_000;

/// Where ends of tries are handed in.
#[derive(Clone)]
pub struct Reports {
    sender: mpsc::Sender<Pending>,
}

/// A report, and whom to answer.
pub(super) struct Pending {
    pub(super) report: TryReport,
    pub(super) reply: Reply,
}

/// Whom to answer once the report's transaction is committed.
pub(super) enum Reply {
    /// The worker behind this session's stream.
    Session(i64),
    Caller(oneshot::Sender<Answer>),
}

impl Reports {
    /// Hands in a report of the worker behind `stream`, which is answered there after the commit.
    pub async fn report_from(&self, stream: i64, report: TryReport) {
        // An error means that the engine stops: the worker reports again elsewhere.
        let _ = self.sender.send(Pending { report, reply: Reply::Session(stream) }).await;
    }

    /// Hands in a report and waits for its answer.
    pub async fn report(&self, report: TryReport) -> Answer {
        let (reply, answer) = oneshot::channel();
        let pending = Pending { report, reply: Reply::Caller(reply) };
        if self.sender.send(pending).await.is_err() {
            return Answer::Later;
        }
        if mutation::broken(Mutation::AnswerBeforeCommit) {
            return Answer::Accepted;
        }
        answer.await.unwrap_or(Answer::Later)
    }
}

/// Starts the lanes.
pub(super) fn start(
    core: Arc<Core>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
) -> Reports {
    let (sender, waiting) = mpsc::channel(WAITING_MOST);
    tasks.spawn(collect(core, waiting, stop));
    Reports { sender }
}

/// Hands batches to lanes as these become idle.
async fn collect(
    core: Arc<Core>,
    mut waiting: mpsc::Receiver<Pending>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (idle_sender, mut idle) = mpsc::channel(LANES);
    for _ in 0..LANES {
        idle_sender.send(EngineSession::new(core.store.clone())).await?;
    }
    let mut batches = JoinSet::new();
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            // What was handed in before the stop is still recorded.
            got = waiting.recv_many(&mut batch, 1) => if got == 0 { break },
            () = stop.cancelled() => break,
        }
        let lane = idle.recv().await.expect("lanes come back");
        while batch.len() < BATCH_MOST
            && let Ok(more) = waiting.try_recv()
        {
            batch.push(more);
        }
        let (core, idle_sender) = (core.clone(), idle_sender.clone());
        batches.spawn(async move {
            let mut lane = lane;
            complete(&core, &mut lane, batch).await;
            let _ = idle_sender.send(lane).await;
        });
        while batches.try_join_next().is_some() {}
    }
    while batches.join_next().await.is_some() {}
    Ok(())
}
