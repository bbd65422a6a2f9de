//! The engine's sessions and transactions.

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, Postgres, Transaction};

use crate::{Store, StoreError};

/// One database session of the engine; reconnects when it was lost.
pub struct EngineSession {
    store: Store,
    connection: Option<PgConnection>,
}

/// A transaction of the engine. Dropped without [`EngineTx::commit`] it changes nothing.
pub struct EngineTx<'c> {
    pub(crate) tx: Transaction<'c, Postgres>,
}

impl EngineSession {
    /// A session that connects at its first use.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, connection: None }
    }

    /// Begins a transaction, connecting first where needed.
    pub async fn begin(&mut self) -> Result<EngineTx<'_>, StoreError> {
        if self.connection.is_none() {
            self.connection = Some(self.store.engine_session().await?);
        }
        let connection = self.connection.as_mut().expect("connected above");
        Ok(EngineTx { tx: connection.begin().await? })
    }

    /// Drops the connection after an error that may have broken it.
    pub fn reset(&mut self) {
        self.connection = None;
    }
}

impl Store {
    /// Begins a transaction of the engine on a session of the pool.
    pub async fn engine_begin(&self) -> Result<EngineTx<'static>, StoreError> {
        Ok(EngineTx { tx: self.engine().begin().await? })
    }
}

impl EngineTx<'_> {
    /// The database's time, at which this transaction began.
    pub async fn now(&mut self) -> Result<DateTime<Utc>, StoreError> {
        let (now,): (DateTime<Utc>,) =
            sqlx::query_as("SELECT now()").fetch_one(&mut *self.tx).await?;
        Ok(now)
    }

    /// Makes everything durable.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}
