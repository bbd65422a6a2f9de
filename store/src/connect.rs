//! Connections to the metadata database: a pool for people, and sessions for the engine.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction};

use crate::{MIGRATOR, Storage, StoreError};

/// The metadata database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    /// For API, pages and commands: every statement has a timeout.
    pub(crate) pool: PgPool,
    /// For loops and the engine's transactions.
    pub(crate) engine: PgPool,
    pub(crate) options: PgConnectOptions,
    /// `None`: everything stays in the database.
    pub(crate) storage: Option<Arc<Storage>>,
    pub(crate) waits: Arc<Waits>,
}

/// How often all connections of a pool were in use when one was asked for.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    pages: AtomicU64,
    engine: AtomicU64,
}

/// How much of a pool of connections is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Whose it is.
    pub name: &'static str,
    pub used: u32,
    /// Open, and in nobody's use.
    pub idle: u32,
    /// As many as there may be.
    pub most: u32,
    /// How often all of them were in use when one was asked for, since this process began.
    pub waits: u64,
}

impl PoolUse {
    fn of(name: &'static str, pool: &PgPool, waits: &AtomicU64) -> Self {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        let most = pool.options().get_max_connections();
        let used = pool.size().saturating_sub(idle);
        Self { name, used, idle, most, waits: waits.load(Ordering::Relaxed) }
    }
}

/// The pool, of which a connection is about to be asked for.
fn asked<'p>(pool: &'p PgPool, waits: &AtomicU64) -> &'p PgPool {
    if pool.num_idle() == 0 && pool.size() >= pool.options().get_max_connections() {
        waits.fetch_add(1, Ordering::Relaxed);
    }
    pool
}

/// How long the engine waits for a connection; whoever gets none tries again.
///
/// While PostgreSQL starts, the pool looks every fifth of this at least: with a longer one, leases
/// that might be renewed already would run out.
const ENGINE_PATIENCE: Duration = Duration::from_secs(3);

/// The first connection is made within this time, or the database is out of reach.
const FIRST_WITHIN: Duration = Duration::from_secs(10);

/// A page's query may take this long.
const PAGE_STATEMENT_TIMEOUT: &str = "10s";

/// Upkeep waits for a lock this long.
const UPKEEP_PATIENCE: &str = "1s";

/// The engine waits for a lock this long: whoever holds one for longer is stuck, or cut off, and the
/// transaction comes again.
const ENGINE_LOCK_PATIENCE: &str = "20s";

/// A connection that comes back to the pool answers within this time, or is dropped.
const RELEASE_WITHIN: Duration = Duration::from_secs(3);

/// By these the server notices that a client is gone, and frees what that one had locked. Clients have
/// deadlines of their own.
const KEEPALIVES: [(&str, &str); 3] = [
    ("tcp_keepalives_idle", "15"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

impl Store {
    /// Connects; pools open their connections as they are needed.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)?
            .application_name("subak")
            .log_statements(tracing::log::LevelFilter::Trace)
            .log_slow_statements(tracing::log::LevelFilter::Debug, Duration::from_secs(1));
        let pages = options
            .clone()
            .options(KEEPALIVES)
            .options([("statement_timeout", PAGE_STATEMENT_TIMEOUT), IDLE_LIMIT]);
        // The pool itself tries for as long as it is patient, and does not tell why it could not.
        first_answer(&pages).await?;
        let pool = pool_options(8).connect_with(pages).await?;
        let engine = pool_options(6)
            .acquire_timeout(ENGINE_PATIENCE)
            .connect_lazy_with(engine_options(&options));
        Ok(Self { pool, engine, options, storage: None, waits: Arc::default() })
    }

    /// Refuses a schema that is older than this version's, or that is not there. A newer one is no error:
    /// it is brought up to date while servers of the version before still run.
    pub async fn schema_check(&self) -> Result<(), StoreError> {
        let pool = self.pool();
        let is_there: bool =
            sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
                .fetch_one(pool)
                .await?;
        let applied: Vec<i64> = match is_there {
            true => {
                sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
                    .fetch_all(pool)
                    .await?
            }
            false => Vec::new(),
        };
        let missing = MIGRATOR.iter().filter(|it| !applied.contains(&it.version)).count();
        match missing {
            0 => Ok(()),
            _ => Err(StoreError::OldSchema { missing, needed: MIGRATOR.iter().count() }),
        }
    }

    /// Brings the schema up to date. Safe to run on several servers at once.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        // On a session of its own: it may take longer than a page.
        let mut session = self.options.clone().options(KEEPALIVES).connect().await?;
        MIGRATOR.run(&mut session).await?;
        Ok(session.close().await?)
    }

    /// Opens one session for the engine, outside the pools.
    pub async fn engine_session(&self) -> Result<PgConnection, StoreError> {
        Ok(engine_options(&self.options).connect().await?)
    }

    /// Opens a session for upkeep: a statement takes as long as it takes, but waits for a lock only for
    /// a moment, because others wait behind it.
    pub(crate) async fn upkeep_session(&self) -> Result<PgConnection, StoreError> {
        let options = self.options.clone().options(KEEPALIVES);
        Ok(options.options([IDLE_LIMIT, ("lock_timeout", UPKEEP_PATIENCE)]).connect().await?)
    }

    /// Begins a transaction that may read a whole table, from its first page to its last: without
    /// this a statement that has no index for its question would walk one from end to end.
    pub(crate) async fn begin_whole(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let mut tx = self.engine().begin().await?;
        sqlx::raw_sql("SET LOCAL enable_seqscan = on").execute(&mut *tx).await?;
        Ok(tx)
    }

    /// The pool for pages, API and commands, for one who asks for a connection now.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        asked(&self.pool, &self.waits.pages)
    }

    /// The same for the engine.
    pub(crate) fn engine(&self) -> &PgPool {
        asked(&self.engine, &self.waits.engine)
    }

    /// How much of the connections is in use.
    #[must_use]
    pub fn pool_uses(&self) -> [PoolUse; 2] {
        [
            PoolUse::of("pages", &self.pool, &self.waits.pages),
            PoolUse::of("engine", &self.engine, &self.waits.engine),
        ]
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
        self.engine.close().await;
    }
}

/// Connects once, to hear why nobody can. A database that starts, or has no connection to spare for the
/// moment, is none that cannot be reached: the pool waits for it.
async fn first_answer(options: &PgConnectOptions) -> Result<(), StoreError> {
    match tokio::time::timeout(FIRST_WITHIN, options.connect()).await {
        Ok(Ok(session)) => Ok(session.close().await?),
        Ok(Err(sqlx::Error::Database(error))) if error.is_transient_in_connect_phase() => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(StoreError::Silent(FIRST_WITHIN)),
    }
}

/// A session that forgets its transaction does not hold up vacuum for ever.
const IDLE_LIMIT: (&str, &str) = ("idle_in_transaction_session_timeout", "30s");

/// Generic plans driven by index look-ups: a plan made while a table was tiny must not scan it once
/// it is large.
fn engine_options(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().options(KEEPALIVES).options([
        IDLE_LIMIT,
        ("lock_timeout", ENGINE_LOCK_PATIENCE),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
    ])
}

fn pool_options(most: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(Duration::from_secs(10))
        .idle_timeout(Duration::from_secs(60))
        // The pool itself would wait for as long as the operating system does, and the place with it.
        .after_release(|session, _| {
            Box::pin(async move {
                let silent = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
                tokio::time::timeout(RELEASE_WITHIN, session.ping()).await.map_err(silent)??;
                Ok(true)
            })
        })
}
