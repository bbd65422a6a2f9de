//! Works off the outbox: the rest of what is more than one transaction settles.

use serde::Deserialize;
use subak_core::ids::RunKey;
use subak_store::OutboxRow;
use subak_store::engine::EngineTx;

use crate::engine::work::Work;
use crate::engine::{Core, cancel};

/// The rest of a cancel.
#[derive(Deserialize)]
struct Skips {
    cause: String,
}

/// Takes one row after another until none is due; returns whether there was one. A row that fails
/// comes again later, and later each time: the others go on.
pub(super) async fn work_off(core: &Core) -> anyhow::Result<bool> {
    let mut took = false;
    loop {
        let peeked = async {
            let mut tx = core.store.engine_begin().await?;
            let row = tx.outbox_peek().await?;
            Ok(row.map(|row| (tx, row)))
        };
        let Some((tx, row)) = core.within(peeked).await? else { return Ok(took) };
        let (id, kind) = (row.id, row.kind.clone());
        took = true;
        if let Err(error) = step(core, tx, row).await {
            tracing::error!(error = format!("{error:#}"), outbox.id = id, outbox.kind = kind);
            core.asked(core.store.outbox_postpone(id)).await?;
        }
    }
}

async fn step(core: &Core, tx: EngineTx<'static>, row: OutboxRow) -> anyhow::Result<()> {
    match core.within(begun(core, tx, row)).await? {
        Some((tx, work)) => core.commit(tx, work).await,
        // Somebody else worked it off.
        None => Ok(()),
    }
}

async fn begun<'c>(
    core: &'c Core,
    mut tx: EngineTx<'static>,
    row: OutboxRow,
) -> anyhow::Result<Option<(EngineTx<'static>, Work<'c>)>> {
    // The order of locks: the run first, then the row, which may be gone by then.
    let Some(run) = row.run_key.map(RunKey) else {
        anyhow::bail!("the outbox has a row of kind `{}` without a run", row.kind);
    };
    let locked = tx.runs_lock(&[run]).await?;
    if !tx.outbox_remove(row.id).await? {
        return Ok(None);
    }
    let mut work = Work::new(core, locked).await?;
    let Some(is_cancelled) = work.locked(run).map(|run| run.cancelled) else {
        return Ok(Some((tx, work)));
    };
    match row.kind.as_str() {
        "cascade" if !is_cancelled => work.resume(run, serde_json::from_value(row.payload)?),
        "rebuild" if !is_cancelled => work.rebuild(run),
        "skips" if is_cancelled => {
            let Skips { cause } = serde_json::from_value(row.payload)?;
            cancel::skip_more(&mut work, &mut tx, run, &cause).await?;
        }
        // It was cancelled since, or cleared.
        "cascade" | "rebuild" | "skips" => {}
        kind => anyhow::bail!("the outbox has a row of unknown kind `{kind}`"),
    }
    Ok(Some((tx, work)))
}
