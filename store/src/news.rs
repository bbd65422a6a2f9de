//! What servers tell each other, outside of any transaction: a NOTIFY inside one would serialise
//! commits. News only wake: what is lost, a look finds.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification};
use subak_core::ids::RunKey;

use crate::{Store, StoreError};

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A queue has ready work, and there is no slot for it where it became ready.
    Ready(String),
    /// A DAG may have queued runs that can start, a schedule that is due, or tasks that were held back.
    Starts(i32),
    /// Tries of a run are to end: it was cancelled, or they were cleared.
    Stops(RunKey),
    /// The worker behind a session is to take no more tries.
    Drains(i64),
    /// A DAG has a newer version, or was paused: tries of it without an end may have to end well, and what
    /// is ready is held back.
    Yields(i32),
    /// A process that has no loops left something for the timers: a deadline, a run that waits for its time,
    /// a row of the outbox.
    Timers,
    /// The same, of an end that people are told of.
    Notices,
}

const READY: &str = "subak_ready";
const STARTS: &str = "subak_starts";
const STOPS: &str = "subak_stops";
const DRAINS: &str = "subak_drains";
const YIELDS: &str = "subak_yields";
const TIMERS: &str = "subak_timers";
const NOTICES: &str = "subak_notices";

/// News of other servers, and of this one. Reconnects by itself.
pub struct NewsListener {
    store: Store,
    listener: Option<PgListener>,
}

impl NewsListener {
    /// Connects at the first use.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, listener: None }
    }

    /// Waits for the next piece of news. Safe to cancel.
    pub async fn next(&mut self) -> News {
        loop {
            if let Some(listener) = &mut self.listener {
                match listener.recv().await {
                    Ok(told) => match News::read(&told) {
                        Some(news) => return news,
                        // Of a later version of this program.
                        None => continue,
                    },
                    Err(_) => self.listener = None,
                }
            }
            match self.connect().await {
                Ok(listener) => self.listener = Some(listener),
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    async fn connect(&self) -> Result<PgListener, StoreError> {
        let mut listener = PgListener::connect_with(&self.store.engine).await?;
        let all = [READY, STARTS, STOPS, DRAINS, YIELDS, TIMERS, NOTICES];
        listener.listen_all(all).await?;
        Ok(listener)
    }
}

impl News {
    fn read(told: &PgNotification) -> Option<Self> {
        let payload = told.payload();
        match told.channel() {
            READY => Some(Self::Ready(payload.to_owned())),
            STARTS => payload.parse().ok().map(Self::Starts),
            STOPS => payload.parse().ok().map(|run| Self::Stops(RunKey(run))),
            DRAINS => payload.parse().ok().map(Self::Drains),
            YIELDS => payload.parse().ok().map(Self::Yields),
            TIMERS => Some(Self::Timers),
            NOTICES => Some(Self::Notices),
            _ => None,
        }
    }

    fn channel(&self) -> &'static str {
        match self {
            Self::Ready(_) => READY,
            Self::Starts(_) => STARTS,
            Self::Stops(_) => STOPS,
            Self::Drains(_) => DRAINS,
            Self::Yields(_) => YIELDS,
            Self::Timers => TIMERS,
            Self::Notices => NOTICES,
        }
    }

    fn payload(&self) -> String {
        match self {
            Self::Ready(queue) => queue.clone(),
            Self::Starts(dag) => dag.to_string(),
            Self::Stops(run) => run.0.to_string(),
            Self::Drains(session) => session.to_string(),
            Self::Yields(dag) => dag.to_string(),
            Self::Timers | Self::Notices => String::new(),
        }
    }
}

impl Store {
    /// Tells every server.
    pub async fn tell(&self, news: &[News]) -> Result<(), StoreError> {
        let channels: Vec<&str> = news.iter().map(News::channel).collect();
        let payloads: Vec<String> = news.iter().map(News::payload).collect();
        sqlx::query(
            "SELECT pg_notify(channel, payload)
             FROM unnest($1::text[], $2::text[]) AS news (channel, payload)",
        )
        .bind(channels)
        .bind(payloads)
        .execute(self.engine())
        .await?;
        Ok(())
    }
}
