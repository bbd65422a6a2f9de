//! Cancels a run: nothing of it starts any more, and it ends failed when its last try has ended.

use std::collections::BTreeSet;

use subak_core::ids::RunKey;
use subak_core::state::{RunState, TaskState};
use subak_proto as proto;
use subak_store::StoreError;
use subak_store::engine::{Fence, HistoryRow};

use super::work::{After, Work, instance};
use super::{Core, Engine};

/// Why a run was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    #[error("the run does not exist")]
    NotFound,
    #[error("the run has ended already: it is {0}")]
    Ended(RunState),
    #[error("the run could not be cancelled")]
    Internal(#[from] anyhow::Error),
}

impl Engine {
    /// Cancels a run. Tries that run are stopped; everything else of it is skipped. `cause` is shown:
    /// `cancelled`, `dagrun_timeout`, ….
    pub async fn run_cancel(&self, run: RunKey, cause: &str) -> Result<(), CancelError> {
        cancel(&self.core, run, cause).await
    }
}

pub(super) async fn cancel(core: &Core, run: RunKey, cause: &str) -> Result<(), CancelError> {
    let done = core.within(async { Ok(cancel_in_time(core, run, cause).await) }).await?;
    if let Some((after, stops)) = done? {
        core.committed(after).await;
        core.stop_everywhere(run, &stops, cause).await;
    }
    Ok(())
}

/// Returns nothing if the run is cancelled already.
async fn cancel_in_time(
    core: &Core,
    run: RunKey,
    cause: &str,
) -> Result<Option<(After, Vec<Fence>)>, CancelError> {
    let internal = |error: StoreError| CancelError::Internal(error.into());
    let mut tx = core.store.engine_begin().await.map_err(internal)?;
    let locked = tx.runs_lock(&[run]).await.map_err(internal)?;
    let Some(state) = locked.first().map(|run| run.state) else {
        return Err(CancelError::NotFound);
    };
    if state.is_final() {
        return Err(CancelError::Ended(state));
    }
    if locked[0].cancelled {
        return Ok(None);
    }
    let mut work = Work::new(core, locked).await?;
    let stops = skip_rest(&mut work, &mut tx, run, cause).await?;
    work.settle(&mut tx).await?;
    tx.commit().await.map_err(internal)?;
    Ok(Some((work.into_after(), stops)))
}

/// Skips everything that does not run; returns the tries to stop.
async fn skip_rest(
    work: &mut Work<'_>,
    tx: &mut subak_store::engine::EngineTx<'_>,
    run: RunKey,
    cause: &str,
) -> anyhow::Result<Vec<Fence>> {
    // Claims take no run lock: this waits for them, and then sees what they took.
    let live = tx.live_lock(run).await?;
    let current = tx.tasks_current(run, None).await?;
    let (mut stops, mut known) = (Vec::new(), BTreeSet::new());
    let skip = |task, tries, resets| {
        let mut row =
            HistoryRow::without_try(instance(run, task), TaskState::Skipped, tries, resets);
        row.cause = Some(cause.to_owned());
        row
    };
    for row in live {
        known.insert(row.key.task);
        match (row.session, row.token) {
            (Some(session), Some(token)) => {
                stops.push(Fence { instance: row.key, session, token });
            }
            _ => {
                work.apply.history.push(skip(row.key.task, row.try_number, row.resets));
                work.apply.live_gone.push(row.ctid);
            }
        }
    }
    for task in current {
        if task.ended.is_some() {
            known.insert(task.key.task);
        } else if known.insert(task.key.task) {
            work.apply.history.push(skip(task.key.task, task.tries, task.resets));
        }
    }
    let plan = work.plan(run).cloned();
    for task in plan.iter().flat_map(|plan| plan.tasks()).filter(|t| !known.contains(&t.no)) {
        work.apply.history.push(skip(task.no, 0, 0));
    }
    tx.joins_replace(run, &[]).await?;
    tx.cascade_drop(run).await?;
    tx.run_cancel_mark(run, cause).await?;
    let running = i32::try_from(stops.len()).unwrap_or(i32::MAX);
    work.cancelled(run, running, running);
    Ok(stops)
}

impl Core {
    /// Tells workers of this server to end tries.
    pub(crate) fn stop_tries(&self, fences: &[Fence], reason: &str) {
        for fence in fences {
            let stop = proto::Stop {
                r#try: Some(super::assign::try_ref(fence)),
                reason: reason.to_owned(),
            };
            self.sessions.send(fence.session, proto::server_message::Message::Stop(stop));
        }
    }
}
