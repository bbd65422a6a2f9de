//! The private PostgreSQL of standalone: metadata and `warehouse`, both in the data folder.

use std::path::Path;

use anyhow::Context;
use subak_postgres::{Options, PrivatePostgres, TcpPort};
use subak_store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Database of the metadata.
const METADATA: &str = "subak";
/// Database for the users' own tables. Its role enters no other and is no superuser: whoever may
/// write SQL in a DAG must not reach the metadata by it.
pub(crate) const WAREHOUSE: &str = "warehouse";

/// A running PostgreSQL that is started again when it ends by itself.
pub(crate) struct Database {
    pub(crate) store: Store,
    pub(crate) metadata_url: String,
    /// Opens `warehouse` in a terminal.
    pub(crate) psql_line: String,
    /// `warehouse` over the loopback port, with the generated password.
    pub(crate) warehouse_url: String,
    stop: CancellationToken,
    supervised: JoinHandle<()>,
}

impl Database {
    /// Starts PostgreSQL in the data folder and brings its databases up to date.
    pub(crate) async fn start(data: &Path) -> anyhow::Result<Self> {
        let options = Options::new(data.join("postgres")).tcp(TcpPort::Free);
        let mut postgres =
            PrivatePostgres::start(options).await.context("starting a private PostgreSQL")?;
        postgres.create_database(METADATA).await?;
        let warehouse = postgres.create_tenant(WAREHOUSE).await?;
        let metadata_url = postgres.url(METADATA);
        let store = Store::connect(&metadata_url).await.context("connecting to the metadata")?;
        store.migrate().await?;
        let psql_line = postgres.tenant_psql_line(&warehouse);
        let warehouse_url =
            postgres.tenant_url(&warehouse).context("PostgreSQL has no loopback port")?;

        let stop = CancellationToken::new();
        let until = stop.clone();
        let supervised = tokio::spawn(async move {
            postgres.supervise(&until).await;
            postgres.stop().await;
        });
        Ok(Self { store, metadata_url, psql_line, warehouse_url, stop, supervised })
    }

    /// Closes the connections and shuts PostgreSQL down.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.store.close().await;
        self.stop.cancel();
        self.supervised.await.context("shutting PostgreSQL down")
    }
}
