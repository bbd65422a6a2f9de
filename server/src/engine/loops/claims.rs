//! Fills free slots from the backlog: when this server left ready work, slots became free, or another
//! server says that it has ready work and no slot. Looks by itself only for a while after ready work
//! was seen, then rarely.

use std::time::{Duration, Instant};

use subak_store::engine::HandedOver;
use subak_store::{News, NewsListener};
use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::engine::slots::Slots;
use crate::engine::{Core, Engine, work};

/// While ready work was seen lately.
const BUSY: Duration = Duration::from_millis(250);
const BUSY_FOR: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(5);

/// Other servers are told of ready work at most this often.
const TELL_EVERY: Duration = Duration::from_millis(20);

/// Rows that one transaction claims.
const MOST: usize = 100;

/// Why the loop goes round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Because {
    /// This server left ready work, or slots became free here.
    Own,
    /// Another server has ready work and no slot.
    News,
    /// Other servers were to be told, but had been told just before.
    Owed,
    /// Time has passed.
    Look,
}

pub(super) async fn run(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    let core = &engine.core;
    let mut news = NewsListener::new(core.store.clone());
    let mut seen = Instant::now();
    let mut told: Option<Instant> = None;
    let mut owed = false;
    loop {
        let look = if seen.elapsed() < BUSY_FOR { BUSY } else { IDLE };
        let because = select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = core.claims.notified() => Because::Own,
            news = news.next() => match news {
                News::Ready(queue) => {
                    core.backlog.raise(&queue);
                    Because::News
                }
                news => {
                    core.heard(news);
                    continue;
                }
            },
            () = tokio::time::sleep(TELL_EVERY), if owed => Because::Owed,
            () = tokio::time::sleep(look) => Because::Look,
        };
        if because == Because::Look {
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
        // News are not passed on: two servers without slots would tell each other for ever.
        owed |= because == Because::Own;
        if owed && told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            owed = false;
            told = Some(Instant::now());
            tell(&engine).await;
        }
    }
}

/// Tells other servers of queues that have ready work and no free slot here.
async fn tell(engine: &Engine) {
    let core = &engine.core;
    let raised = core.backlog.raised().into_iter().map(|(queue, _)| queue);
    let homeless = raised.filter(|queue| !core.sessions.has_free(queue));
    core.tell(homeless.map(News::Ready).collect()).await;
}

/// Claims until no slot is free or nothing is ready; returns how many tries were handed over.
async fn fill(engine: &Engine) -> anyhow::Result<usize> {
    let core = &engine.core;
    let mut claimed = 0;
    for (queue, generation) in core.backlog.raised() {
        while core.sessions.has_free(&queue) {
            let handed = match core.within(claim(core, &queue, generation)).await {
                Ok(handed) if handed.is_empty() => break,
                Ok(handed) => handed,
                Err(error) => {
                    core.backlog.raise(&queue);
                    return Err(error);
                }
            };
            claimed += handed.len();
            let changed = handed.iter().map(|try_| try_.key.run).collect();
            core.committed(work::After { handed, changed, ..work::After::default() }).await;
        }
    }
    Ok(claimed)
}

async fn claim(core: &Core, queue: &str, generation: u64) -> anyhow::Result<Vec<HandedOver>> {
    let mut slots = Slots::new(&core.sessions);
    let mut tx = core.store.engine_begin().await?;
    let handed = core.claim(&mut tx, queue, Some(generation), MOST, &mut slots).await?;
    tx.commit().await?;
    slots.keep();
    Ok(handed)
}
