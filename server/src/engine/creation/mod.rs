//! Makes runs: triggers and ticks, in batches that form by themselves, and starts those that waited.

mod batch;
mod queued;
mod request;
mod row;

use std::sync::Arc;

use subak_store::engine::EngineSession;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Core, Engine};
use batch::Pending;
pub(super) use batch::check_conf;
pub(super) use queued::{come_due, start_queued};
pub use request::{Trigger, TriggerError, Triggered};
pub(super) use row::new_run;

/// Runs that one transaction makes at most.
const BATCH_MOST: usize = 200;

/// Requests that may wait; callers wait beyond it.
const WAITING_MOST: usize = 10_000;

/// Where runs are asked for.
#[derive(Clone)]
pub(super) struct Creations {
    sender: mpsc::Sender<Pending>,
}

impl Engine {
    /// Makes a run; it starts at once unless it is asked for later, its DAG is paused or has
    /// `max_active_runs` already.
    pub async fn run_trigger(&self, trigger: Trigger) -> Result<Triggered, TriggerError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || TriggerError::Internal(anyhow::anyhow!("the server is stopping"));
        self.creations
            .sender
            .send(Pending { trigger, uuid: Uuid::now_v7(), version: None, reply })
            .await
            .map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

pub(super) fn start(
    core: Arc<Core>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
) -> Creations {
    let (sender, waiting) = mpsc::channel(WAITING_MOST);
    tasks.spawn(collect(core, waiting, stop));
    Creations { sender }
}

/// One connection: while a batch commits, the next one collects.
async fn collect(
    core: Arc<Core>,
    mut waiting: mpsc::Receiver<Pending>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut session = EngineSession::new(core.store.clone());
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            got = waiting.recv_many(&mut batch, BATCH_MOST) => if got == 0 { return Ok(()) },
            () = stop.cancelled() => return Ok(()),
        }
        batch::create(&core, &mut session, batch).await;
    }
}
