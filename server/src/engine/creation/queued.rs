//! Starts runs that waited for `max_active_runs`: their DAG's, or their backfill's. A run that was asked
//! for later comes to its time first, and waits for its turn from then on.

use std::collections::BTreeMap;

use subak_core::ids::RunKey;
use subak_core::state::RunState;
use subak_store::engine::EngineTx;

use super::batch::{finish, settle_started};
use super::row::timeout_micros;
use crate::engine::Core;
use crate::engine::work::{After, Work};

/// Runs that one transaction starts.
const STARTS_MOST: i32 = 100;

/// What started runs count against.
enum Load {
    Dag(i32),
    Backfill(i64),
}

/// Starts the oldest queued runs of a DAG, as many as `max_active_runs` allows, and those of its
/// backfills.
pub(in crate::engine) async fn start_queued(core: &Core, dag: i32) -> anyhow::Result<()> {
    if let Some(after) = core.within(start_of_dag(core, dag)).await? {
        core.committed(after).await;
    }
    for backfill in core.asked(core.store.backfills_waiting(dag)).await? {
        if let Some(after) = core.within(start_of_backfill(core, backfill)).await? {
            core.committed(after).await;
        }
    }
    Ok(())
}

/// Lets runs whose time has come wait for their turn; those that somebody else holds come at the next
/// look. Returns whether there was one.
pub(in crate::engine) async fn come_due(core: &Core, runs: Vec<RunKey>) -> anyhow::Result<bool> {
    let Some(after) = core.within(count_due(core, &runs)).await? else { return Ok(false) };
    core.committed(after).await;
    Ok(true)
}

async fn count_due(core: &Core, runs: &[RunKey]) -> anyhow::Result<Option<After>> {
    let mut tx = core.store.engine_begin().await?;
    let mut due = tx.runs_lock_free(runs).await?;
    due.retain(|run| run.waits);
    if due.is_empty() {
        return Ok(None);
    }
    tx.runs_due(&due.iter().map(|run| run.key).collect::<Vec<_>>()).await?;
    let mut loads: BTreeMap<i32, i32> = BTreeMap::new();
    for run in &due {
        *loads.entry(run.dag).or_default() += 1;
    }
    let loads: Vec<_> = loads.into_iter().map(|(dag, queued)| (dag, 0, queued)).collect();
    let dags_waiting = tx.dag_loads_add(&loads).await?;
    tx.commit().await?;
    Ok(Some(After { dags_waiting, ..After::default() }))
}

async fn start_of_dag(core: &Core, dag: i32) -> anyhow::Result<Option<After>> {
    let mut tx = core.store.engine_begin().await?;
    let Some(load) = tx.dag_loads_lock(&[dag]).await?.pop() else { return Ok(None) };
    let room = (load.max_active_runs - load.runs_active).min(load.runs_queued).min(STARTS_MOST);
    if load.is_paused || room <= 0 {
        return Ok(None);
    }
    let queued = tx.runs_queued_lock(dag, room).await?;
    start(core, tx, queued.iter().map(|run| run.key).collect(), Load::Dag(dag)).await.map(Some)
}

async fn start_of_backfill(core: &Core, backfill: i64) -> anyhow::Result<Option<After>> {
    let mut tx = core.store.engine_begin().await?;
    let Some(load) = tx.backfill_lock(backfill).await? else { return Ok(None) };
    let room = (load.max_active_runs - load.runs_active).min(load.runs_queued).min(STARTS_MOST);
    if load.is_paused || room <= 0 {
        return Ok(None);
    }
    let queued = tx.backfill_runs_lock(backfill, room).await?;
    start(core, tx, queued, Load::Backfill(backfill)).await.map(Some)
}

/// Starts runs that are locked, as their load is.
async fn start(
    core: &Core,
    mut tx: EngineTx<'_>,
    queued: Vec<RunKey>,
    load: Load,
) -> anyhow::Result<After> {
    let locked = tx.runs_lock(&queued).await?;
    let mut starting = Vec::new();
    let mut deadlines = Vec::new();
    for mut run in locked {
        let plan = core.caches.plan(run.dag, run.version).await?;
        deadlines.push((run.key, timeout_micros(&plan)));
        run.state = RunState::Running;
        // It was not, under the lock of its load. Whoever pauses it since, and lets it go on, may not see
        // that this run has begun: what were held back now nobody would find.
        run.is_paused = false;
        starting.push(run);
    }
    tx.runs_start(&deadlines).await?;
    let count = i32::try_from(starting.len()).unwrap_or(i32::MAX);
    match load {
        Load::Dag(dag) => drop(tx.dag_loads_add(&[(dag, count, -count)]).await?),
        Load::Backfill(id) => drop(tx.backfills_add(&[(id, count, -count)]).await?),
    }
    let fresh: Vec<RunKey> = starting.iter().filter(|r| !r.has_resets).map(|r| r.key).collect();
    let cleared: Vec<RunKey> = starting.iter().filter(|r| r.has_resets).map(|r| r.key).collect();
    let mut work = Work::new(core, &mut tx, starting).await?;
    for run in cleared {
        work.rebuild(run);
    }
    settle_started(&mut work, &mut tx, &fresh).await?;
    // Its deadline may be the earliest timer.
    work.after.timer = true;
    finish(tx, work).await
}
