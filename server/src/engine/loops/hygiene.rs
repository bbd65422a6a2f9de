//! Keeps the database in shape: partitions made ahead, what was kept long enough dropped, sessions of
//! long ago forgotten, indexes made anew; and says what slows it down.

use std::sync::atomic::Ordering;
use std::time::Duration;

use subak_store::Strain;
use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::engine::within::within;
use crate::engine::{Core, Engine};

/// Between two looks at what strains the database.
const LOOK: Duration = Duration::from_secs(5 * 60);

/// Looks between two rounds of work: an hour.
const LOOKS_A_ROUND: u32 = 12;

/// Partitions are there this many days before they are needed.
const DAYS_AHEAD: i32 = 7;

/// Those without which nothing may be written: a run's day may change while the others are made.
const DAYS_FIRST: i32 = 1;

/// Successful runs of `@continuous` DAGs are kept so long.
const BRIEF_HOURS: i32 = 24;

/// Indexes of hot tables are made anew this often.
const REINDEX_DAYS: i32 = 7;

/// A step of a round that takes longer is given up, and comes again.
const STEP_WITHIN: Duration = Duration::from_secs(30 * 60);

/// A transaction this old is an alarm: every row that died since is still there.
const SNAPSHOT_SECS: f64 = 600.0;

/// Dead rows of `live` that are an alarm: twenty times what starts a vacuum.
const DEAD_ROWS: i64 = 100_000;

/// Makes the partitions of today before anything is written: a row that finds none has to be moved.
pub(in crate::engine) async fn before_all(core: &Core) {
    done("partitions", core.within(partitions(core, DAYS_FIRST)).await);
}

pub(super) async fn run(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    let work = async {
        let mut looks = 0_u32;
        loop {
            look(&engine.core).await;
            if looks.is_multiple_of(LOOKS_A_ROUND) {
                round(&engine.core).await;
            }
            looks = looks.wrapping_add(1);
            tokio::time::sleep(LOOK).await;
        }
    };
    // Whatever it is at is undone, or found half done by the next round.
    select! {
        biased;
        () = stop.cancelled() => Ok(()),
        never = work => never,
    }
}

/// Each step by itself: one that fails holds up no other.
async fn round(core: &Core) {
    done("partitions", within(STEP_WITHIN, partitions(core, DAYS_AHEAD)).await);
    done("retention", within(STEP_WITHIN, days_drop(core)).await);
    done("brief runs", within(STEP_WITHIN, brief_drop(core)).await);
    done("ranges", within(STEP_WITHIN, ranges_drop(core)).await);
    done("dead letters", within(STEP_WITHIN, letters_drop(core)).await);
    done("storage", within(STEP_WITHIN, storage_sweep(core)).await);
    let forgotten = async { Ok(core.store.sessions_forget().await?) };
    done("sessions", within(STEP_WITHIN, forgotten).await);
    let aged = async { Ok(core.store.audit_drop_old().await.map(drop)?) };
    done("audit log", within(STEP_WITHIN, aged).await);
    let aged = async { Ok(core.store.asset_events_drop(core.config.keep_days).await.map(drop)?) };
    done("asset events", within(STEP_WITHIN, aged).await);
    done("indexes", within(STEP_WITHIN, reindex(core)).await);
}

async fn partitions(core: &Core, days: i32) -> anyhow::Result<()> {
    Ok(core.store.partitions_make(days).await?)
}

async fn days_drop(core: &Core) -> anyhow::Result<()> {
    for day in core.store.days_expired(core.config.keep_days).await? {
        if core.store.day_drop(day).await? {
            info!(%day, "the runs of a day were dropped: they were kept long enough");
        }
    }
    Ok(())
}

/// A `@continuous` DAG may make several runs a second.
async fn brief_drop(core: &Core) -> anyhow::Result<()> {
    let dropped = core.store.brief_runs_drop(BRIEF_HOURS).await?;
    if dropped > 0 {
        info!(runs = dropped, "runs of @continuous DAGs were dropped: they were kept for a day");
    }
    Ok(())
}

async fn ranges_drop(core: &Core) -> anyhow::Result<()> {
    let dropped = core.store.ranges_drop().await?;
    if dropped > 0 {
        info!(ranges = dropped, "ranges of topics were dropped, as their runs were");
    }
    Ok(())
}

async fn letters_drop(core: &Core) -> anyhow::Result<()> {
    let dropped = core.store.letters_drop().await?;
    if dropped > 0 {
        info!(dead_letters = dropped, "settled dead letters were dropped, as their runs were");
    }
    Ok(())
}

async fn storage_sweep(core: &Core) -> anyhow::Result<()> {
    for day in core.store.storage_sweep(core.config.keep_days).await? {
        info!(%day, "datasets and large logs of a day were dropped from the storage");
    }
    Ok(())
}

async fn reindex(core: &Core) -> anyhow::Result<()> {
    if core.store.reindex(REINDEX_DAYS).await? {
        info!("the indexes of hot tables were made anew");
    }
    Ok(())
}

/// Sounds the alarm while something strains the database.
async fn look(core: &Core) {
    match core.asked(core.store.strain()).await {
        Ok(strain) => core.is_strained.store(alarm(&strain), Ordering::Relaxed),
        Err(error) => done("strain", Err(error)),
    }
}

fn alarm(strain: &Strain) -> bool {
    let (old, many) = (strain.snapshot_secs > SNAPSHOT_SECS, strain.dead_rows > DEAD_ROWS);
    if old {
        warn!(
            secs = strain.snapshot_secs.round(),
            of = strain.snapshot_of,
            "a transaction of the metadata database is open for long: vacuum cannot take what died \
             since, and everything slows down: end it"
        );
    }
    if many {
        warn!(
            rows = strain.dead_rows,
            "the table live has many dead rows: vacuum does not keep up, or something holds it up"
        );
    }
    old || many
}

fn done(step: &'static str, result: anyhow::Result<()>) {
    if let Err(error) = result {
        error!(error = format!("{error:#}"), step, "hygiene: will try again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_snapshots_and_many_dead_rows_are_an_alarm() {
        let calm = Strain { snapshot_secs: 599.0, snapshot_of: None, dead_rows: 99_999 };
        assert!(!alarm(&calm));
        assert!(alarm(&Strain { snapshot_secs: 601.0, ..calm.clone() }));
        assert!(alarm(&Strain { dead_rows: 100_001, ..calm }));
    }
}
