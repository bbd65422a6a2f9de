//! Starts runs that waited for `max_active_runs`.

use std::collections::BTreeMap;

use subak_core::ids::RunKey;
use subak_core::state::RunState;

use super::batch::{finish, loads_add, settle_started};
use super::row::timeout_micros;
use crate::engine::Core;
use crate::engine::work::{After, Work};

/// Starts the oldest queued runs of a DAG, as many as `max_active_runs` allows.
pub(in crate::engine) async fn start_queued(core: &Core, dag: i32) -> anyhow::Result<()> {
    if let Some(after) = core.within(start(core, dag)).await? {
        core.committed(after).await;
    }
    Ok(())
}

async fn start(core: &Core, dag: i32) -> anyhow::Result<Option<After>> {
    let mut tx = core.store.engine_begin().await?;
    let Some(load) = tx.dag_loads_lock(&[dag]).await?.pop() else { return Ok(None) };
    let room = (load.max_active_runs - load.runs_active).min(load.runs_queued).min(100);
    if load.is_paused || room <= 0 {
        return Ok(None);
    }
    let queued = tx.runs_queued_lock(dag, room).await?;
    let keys: Vec<RunKey> = queued.iter().map(|run| run.key).collect();
    let locked = tx.runs_lock(&keys).await?;
    let mut starting = Vec::new();
    let mut deadlines = Vec::new();
    for mut run in locked {
        let plan = core.caches.plan(run.dag, run.version).await?;
        deadlines.push((run.key, timeout_micros(&plan)));
        run.state = RunState::Running;
        starting.push(run);
    }
    tx.runs_start(&deadlines).await?;
    let count = i32::try_from(starting.len()).unwrap_or(i32::MAX);
    loads_add(&mut tx, BTreeMap::from([(dag, (count, -count))])).await?;
    let fresh: Vec<RunKey> = starting.iter().filter(|r| !r.has_resets).map(|r| r.key).collect();
    let cleared: Vec<RunKey> = starting.iter().filter(|r| r.has_resets).map(|r| r.key).collect();
    let mut work = Work::new(core, &mut tx, starting).await?;
    for run in cleared {
        work.rebuild(run);
    }
    settle_started(&mut work, &mut tx, &fresh).await?;
    // Its deadline may be the earliest timer.
    work.after.timer = true;
    finish(tx, work).await.map(Some)
}
