//! Tells other servers that a queue has ready work and no slot here, outside of any transaction: a
//! NOTIFY inside one would serialise commits.

use std::time::Duration;

use sqlx::postgres::PgListener;

use crate::{Store, StoreError};

const CHANNEL: &str = "subak_ready";

/// News of other servers. Reconnects by itself; what is lost meanwhile, polling finds.
pub struct ReadyNews {
    store: Store,
    listener: Option<PgListener>,
}

impl ReadyNews {
    /// Connects at the first use.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, listener: None }
    }

    /// Waits for the next queue with ready work. Safe to cancel.
    pub async fn next(&mut self) -> String {
        loop {
            if let Some(listener) = &mut self.listener {
                match listener.recv().await {
                    Ok(news) => return news.payload().to_owned(),
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
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }
}

impl Store {
    /// Tells other servers that these queues have ready work.
    pub async fn ready_tell(&self, queues: &[String]) -> Result<(), StoreError> {
        sqlx::query("SELECT pg_notify($1, queue) FROM unnest($2::text[]) AS q (queue)")
            .bind(CHANNEL)
            .bind(queues)
            .execute(&self.engine)
            .await?;
        Ok(())
    }
}
