//! A fresh, migrated database for each test, on one private PostgreSQL a test process.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use sqlx::{Connection, PgConnection};
use subak_postgres::PrivatePostgres;
use subak_store::Store;
use tokio::sync::OnceCell;

use crate::network::Network;

/// Where the schema is migrated once, to be copied.
const TEMPLATE: &str = "subak_template";

/// What the product does not ask for, because that takes time.
const CHECKS: &str = include_str!("postgres/checks.sql");

static SERVER: OnceCell<PrivatePostgres> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A database of a test's own.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    pub url: String,
    pub store: Store,
}

/// Makes a database with the schema in it.
///
/// The server writes without waiting for the disk: what a crash leaves is tested with servers of
/// those tests' own.
pub async fn database() -> anyhow::Result<TestDatabase> {
    copy(TEMPLATE).await
}

/// Makes a database without anything in it.
pub async fn empty() -> anyhow::Result<TestDatabase> {
    copy("template1").await
}

async fn copy(template: &str) -> anyhow::Result<TestDatabase> {
    let server = SERVER.get_or_try_init(start).await?;
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let mut connection = server.connect("postgres").await?;
    let copy = format!("CREATE DATABASE {name} TEMPLATE {template}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(copy)).execute(&mut connection).await?;
    connection.close().await?;
    let url = server.url(&name);
    Ok(TestDatabase { store: Store::connect(&url).await?, url })
}

/// The log of the server, once a database was asked for.
#[must_use]
pub fn log() -> Option<PathBuf> {
    SERVER.get().map(PrivatePostgres::log)
}

async fn start() -> anyhow::Result<PrivatePostgres> {
    let server = PrivatePostgres::temporary_with(|options| {
        options.set("fsync", "off").set("full_page_writes", "off").set("max_connections", "200")
    })
    .await
    .context("starting PostgreSQL for tests")?;
    server.create_database(TEMPLATE).await?;
    let store = Store::connect(&server.url(TEMPLATE)).await?;
    store.migrate().await.context("migrating the databases of tests")?;
    sqlx::raw_sql(CHECKS).execute(store.pool()).await.context("adding checks")?;
    store.close().await;
    Ok(server)
}

impl TestDatabase {
    /// A network before the database, and the store behind it.
    pub async fn behind_network(&self) -> anyhow::Result<(Network, Store)> {
        let server = SERVER.get().context("the database was made")?;
        let socket = server.socket_dir().join(format!(".s.PGSQL.{}", server.port()));
        let network = Network::before(socket).await?;
        let user = server.connect_options("").get_username().to_owned();
        let database = self.url.rsplit('/').next().unwrap_or_default();
        let url = format!("postgres://{user}@127.0.0.1:{}/{database}", network.port());
        let store = Store::connect(&format!("{url}?sslmode=disable")).await?;
        Ok((network, store))
    }

    /// Opens a connection outside the product's pools.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&self.url).await?)
    }
}
