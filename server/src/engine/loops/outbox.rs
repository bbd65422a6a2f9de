//! Works off the outbox: the rest of what is more than one transaction settles, what an end means for
//! other runs, and what a pause means for those that have begun.

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use subak_core::ids::RunKey;
use subak_store::OutboxRow;
use subak_store::engine::EngineTx;

use crate::engine::work::Work;
use crate::engine::{Core, backfill, cancel};

/// The rest of a cancel.
#[derive(Deserialize)]
struct Skips {
    cause: String,
}

/// What waits for the run before is looked at: of one run, or of every run of the DAG.
#[derive(Deserialize)]
struct PastLook {
    run: Option<i64>,
    /// The run before is of a version that tells of nothing: it is marked first.
    #[serde(default)]
    awaits: Option<i64>,
}

/// Its DAG was paused, or goes on: runs behind this one are looked at.
#[derive(Deserialize)]
struct PauseLook {
    #[serde(default)]
    after: i64,
}

/// Runs that one transaction looks at because of a pause.
const PAUSE_MOST: usize = 100;

/// A run failed, in a DAG that is paused after so many failed ones in a row.
#[derive(Deserialize)]
struct FailedRuns {
    most: u32,
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
    let runs = runs_of(&mut tx, &row).await?;
    core.caches.warm(&runs).await?;
    // The order of locks: the runs first, then the row, which may be gone or changed by then.
    let locked = tx.runs_lock(&runs).await?;
    let Some(payload) = tx.outbox_remove(row.id).await? else { return Ok(None) };
    if row.kind == backfill::AGAIN {
        let work = backfill::run_again(core, &mut tx, locked, payload).await?;
        return Ok(Some((tx, work)));
    }
    let keys: Vec<RunKey> = locked.iter().map(|run| run.key).collect();
    let mut work = Work::new(core, &mut tx, locked).await?;
    match row.kind.as_str() {
        "cascade" | "rebuild" | "effects" | "skips" | "expand" => {
            if let Some(run) = keys.first() {
                go_on(&mut work, &mut tx, *run, &row.kind, payload).await?;
            }
        }
        "past" => match serde_json::from_value::<PastLook>(payload)? {
            PastLook { run, awaits: Some(_) } => {
                for before in keys {
                    tx.run_awaited(before).await?;
                }
                // What ended before the mark is seen, and what ends after it is told.
                tx.outbox_put("past", None, row.dag, &json!({ "run": run })).await?;
                work.after.timer = true;
            }
            PastLook { .. } => {
                for run in keys {
                    work.look_at_past(&mut tx, run).await?;
                }
            }
        },
        "pause" => {
            for run in keys {
                work.hold_back(&mut tx, run).await?;
            }
            if let Some(last) = runs.last().filter(|_| runs.len() == PAUSE_MOST) {
                tx.outbox_put("pause", None, row.dag, &json!({ "after": last.0 })).await?;
            }
        }
        "failed_runs" => failed_runs(&mut tx, row.dag, payload).await?,
        kind => anyhow::bail!("the outbox has a row of unknown kind `{kind}`"),
    }
    Ok(Some((tx, work)))
}

/// Goes on with what was more than one transaction settles.
async fn go_on(
    work: &mut Work<'_>,
    tx: &mut EngineTx<'_>,
    run: RunKey,
    kind: &str,
    payload: Value,
) -> anyhow::Result<()> {
    match kind {
        "skips" if work.locked(run).is_some_and(|run| run.cancelled) => {
            let Skips { cause } = serde_json::from_value(payload)?;
            cancel::skip_more(work, tx, run, &cause).await?;
        }
        "cascade" if work.goes_on(run) => work.resume(run, serde_json::from_value(payload)?),
        "rebuild" if work.goes_on(run) => work.rebuild(run),
        "effects" if work.goes_on(run) => {
            work.resume_effects(run, serde_json::from_value(payload)?);
        }
        // Whatever of mapped tasks is left is found by every transaction of the run.
        // Or it was cancelled since, or cleared.
        _ => {}
    }
    Ok(())
}

/// The runs that a row is about.
async fn runs_of(tx: &mut EngineTx<'_>, row: &OutboxRow) -> anyhow::Result<Vec<RunKey>> {
    if row.kind == backfill::AGAIN {
        return backfill::run_of(&row.payload).map(|run| vec![run]);
    }
    if row.kind == "pause" {
        let PauseLook { after } = serde_json::from_value(row.payload.clone())?;
        let dag = row.dag.context("a look at a pause names no DAG")?;
        return Ok(tx.runs_begun(dag, RunKey(after), PAUSE_MOST).await?);
    }
    if row.kind != "past" {
        return Ok(row.run_key.map(RunKey).into_iter().collect());
    }
    let PastLook { run, awaits } = serde_json::from_value(row.payload.clone())?;
    let dag = row.dag.context("a look at the run before names no DAG")?;
    match awaits.or(run) {
        Some(run) => Ok(vec![RunKey(run)]),
        None => Ok(tx.past_runs(dag).await?),
    }
}

async fn failed_runs(
    tx: &mut EngineTx<'_>,
    dag: Option<i32>,
    payload: Value,
) -> anyhow::Result<()> {
    let FailedRuns { most } = serde_json::from_value(payload)?;
    let dag = dag.context("a failed run names no DAG")?;
    let cause = match most {
        1 => "its last run failed (max_consecutive_failed_dag_runs)".to_owned(),
        _ => format!("its last {most} runs failed (max_consecutive_failed_dag_runs)"),
    };
    if let Some(dag_id) = tx.dag_pause_failed(dag, most, &cause).await? {
        tx.outbox_put("pause", None, Some(dag), &json!({})).await?;
        tracing::warn!(dag.id = dag_id, "the DAG is paused: {cause}");
    }
    Ok(())
}
