//! Fills free slots from the backlog: when this server left ready work, slots became free, or another
//! server says that it has ready work and no slot. Looks by itself only for a while after ready work
//! was seen, then rarely.

use std::time::{Duration, Instant};

use subak_store::ReadyNews;
use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::engine::{Engine, work};

/// While ready work was seen lately.
const BUSY: Duration = Duration::from_millis(250);
const BUSY_FOR: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(5);

/// Other servers are told of ready work at most this often.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Rows that one transaction claims.
const MOST: usize = 100;

pub(super) async fn run(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    let core = &engine.core;
    let mut news = ReadyNews::new(core.store.clone());
    let mut seen = Instant::now();
    let mut told = None;
    loop {
        let wait = if seen.elapsed() < BUSY_FOR { BUSY } else { IDLE };
        let looks = select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = core.claims.notified() => false,
            queue = news.next() => {
                core.backlog.raise(&queue);
                false
            }
            () = tokio::time::sleep(wait) => true,
        };
        if looks {
            // A wake-up may have been lost: whatever queue has a free slot is looked at.
            for queue in core.sessions.free_queues() {
                core.backlog.raise(&queue);
            }
        }
        match fill(&engine).await {
            Ok(claimed) if claimed > 0 => seen = Instant::now(),
            Ok(_) => {}
            Err(error) => warn!(error = format!("{error:#}"), "ready work could not be claimed"),
        }
        let homeless: Vec<String> = core
            .backlog
            .raised()
            .into_iter()
            .map(|(queue, _)| queue)
            .filter(|queue| !core.sessions.has_free(queue))
            .collect();
        if !looks
            && !homeless.is_empty()
            && told.is_none_or(|at: Instant| at.elapsed() > TELL_EVERY)
        {
            told = Some(Instant::now());
            if let Err(error) = core.store.ready_tell(&homeless).await {
                warn!(
                    error = format!("{error:#}"),
                    "other servers could not be told of ready work"
                );
            }
        }
    }
}

/// Claims until no slot is free or nothing is ready; returns how many tries were handed over.
async fn fill(engine: &Engine) -> anyhow::Result<usize> {
    let core = &engine.core;
    let mut claimed = 0;
    for (queue, generation) in core.backlog.raised() {
        while core.sessions.has_free(&queue) {
            let mut tx = core.store.engine_begin().await?;
            let handed = core.claim(&mut tx, &queue, Some(generation), MOST).await?;
            if handed.is_empty() {
                break;
            }
            let slots: Vec<_> = handed.iter().map(|try_| try_.session).collect();
            if let Err(error) = tx.commit().await {
                for session in slots {
                    core.sessions.release(session, &queue);
                }
                core.backlog.raise(&queue);
                return Err(error.into());
            }
            claimed += handed.len();
            let changed = handed.iter().map(|try_| try_.key.run).collect();
            core.committed(work::After { handed, changed, ..work::After::default() }).await;
        }
    }
    Ok(claimed)
}
