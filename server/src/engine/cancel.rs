//! Cancels a run: nothing of it starts any more but teardowns of setups that ran, and it ends failed when
//! its last try has ended.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use subak_core::ids::{Instance, InstanceKey, RunKey, TaskNo};
use subak_core::state::{RunState, TaskState};
use subak_proto as proto;
use subak_store::StoreError;
use subak_store::engine::{CurrentTask, EngineTx, Fence, HistoryRow};

use super::work::{After, Work, instance};
use super::{Core, Engine};

/// Tasks that one transaction skips.
const SKIPS_MOST: usize = 1_000;

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
    /// Cancels a run. Tries that run are stopped; everything else of it is skipped. Teardowns are left to
    /// their rules. `cause` is shown:
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
    core.caches.warm(&[run]).await?;
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
    let mut work = Work::new(core, &mut tx, locked).await?;
    let stops = skip_rest(&mut work, &mut tx, run, cause).await?;
    work.settle(&mut tx).await?;
    tx.commit().await.map_err(internal)?;
    Ok(Some((work.into_after(), stops)))
}

/// Lets nothing start any more but teardowns, and skips what does not run, or the first of it; returns
/// the tries to stop.
async fn skip_rest(
    work: &mut Work<'_>,
    tx: &mut EngineTx<'_>,
    run: RunKey,
    cause: &str,
) -> anyhow::Result<Vec<Fence>> {
    let (mut stops, mut gone) = (Vec::new(), Vec::new());
    // Claims take no run lock: this waits for them, and then sees what they took.
    let cleaning = cleaning(work, run);
    let (mut active, mut held, mut kept) = (0, 0, 0);
    for row in tx.live_lock(run).await? {
        if cleaning.contains(&row.key.task) {
            let is_held = row.state == TaskState::Scheduled && !row.waits_pool;
            active += i32::from(!is_held && row.state != TaskState::UpForRetry);
            held += i32::from(is_held);
            kept += 1;
            continue;
        }
        match (row.session, row.token) {
            (Some(session), Some(token)) => {
                stops.push(Fence { instance: row.key, session, token });
            }
            _ => {
                work.give_up_slots(&row);
                gone.push(row.ctid);
            }
        }
    }
    tx.live_drop(&gone).await?;
    tx.joins_replace(run, &[]).await?;
    tx.slices_drop(run).await?;
    tx.run_cancel_mark(run, cause).await?;
    work.give_up_maps(run, &cleaning);
    let open = open(work, tx, run).await?;
    let count = |tasks: usize| i32::try_from(tasks).unwrap_or(i32::MAX);
    let running = count(stops.len());
    work.cancelled(run, running + kept + count(open.len()), running + active, held);
    skip(work, tx, open, run, cause).await?;
    Ok(stops)
}

/// Goes on with the skips of a cancelled run.
pub(super) async fn skip_more(
    work: &mut Work<'_>,
    tx: &mut EngineTx<'_>,
    run: RunKey,
    cause: &str,
) -> anyhow::Result<()> {
    let open = open(work, tx, run).await?;
    skip(work, tx, open, run, cause).await
}

/// Teardowns of setups that may have run: these are left to their rules.
fn cleaning(work: &Work<'_>, run: RunKey) -> BTreeSet<TaskNo> {
    let has_started = work.locked(run).is_some_and(|run| run.state == RunState::Running);
    let tasks = work.plan(run).into_iter().flat_map(|plan| plan.tasks());
    tasks.filter(|task| has_started && task.cleans_up()).map(|task| task.no).collect()
}

/// Skips the first of these tasks, but for teardowns; the rest is left to a transaction of its own.
async fn skip(
    work: &mut Work<'_>,
    tx: &mut EngineTx<'_>,
    mut open: Vec<CurrentTask>,
    run: RunKey,
    cause: &str,
) -> anyhow::Result<()> {
    let cleaning = cleaning(work, run);
    open.retain(|task| !cleaning.contains(&task.key.task));
    let now = &open[..open.len().min(SKIPS_MOST)];
    for task in now {
        let skipped = TaskState::Skipped;
        let mut row = HistoryRow::without_try(task.key, skipped, task.tries, task.resets);
        row.cause = Some(cause.to_owned());
        work.apply.history.push(row);
    }
    work.skipped(run, now.len());
    if now.len() < open.len() {
        tx.outbox_put("skips", Some(run), None, &json!({ "cause": cause })).await?;
        work.after.timer = true;
    } else if !cleaning.is_empty() {
        // What may run, and the counters of what goes on ending, are worked out from what is left.
        work.rebuild(run);
    }
    Ok(())
}

/// Tasks of a run that have neither ended nor run.
async fn open(
    work: &Work<'_>,
    tx: &mut EngineTx<'_>,
    run: RunKey,
) -> anyhow::Result<Vec<CurrentTask>> {
    let current: BTreeMap<Instance, CurrentTask> = tx
        .tasks_current(run, None)
        .await?
        .into_iter()
        .map(|task| (task.key.instance(), task))
        .collect();
    let shape = work.shape(run);
    let tasks = work.plan(run).into_iter().flat_map(|plan| plan.tasks());
    let all = tasks.flat_map(|task| shape.all(task.no)).map(|at| {
        let key = InstanceKey { map_index: at.map_index, ..instance(run, at.task) };
        let none = CurrentTask { key, ended: None, live: None, tries: 0, resets: 0 };
        current.get(&at).copied().unwrap_or(none)
    });
    Ok(all.filter(|task| task.ended.is_none() && task.live.is_none()).collect())
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
