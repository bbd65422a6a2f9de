//! The parts of standalone, started in order and ended in the opposite one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use subak_server::engine::{Engine, Traces};
use subak_server::{Server, ServerConfig, WorkerListen};
use subak_store::{EncryptionKey, Storage, Store};
use subak_worker::{Config, Worker};
use tokio_util::sync::CancellationToken;

use super::Options;
use super::announcement::Announcement;
use super::database::{Database, WAREHOUSE};
use super::folder::DataFolder;
use crate::config::{STORAGE_FOLDER, Standalone, machine_name};
use crate::services::Services;
use crate::telemetry;

/// PostgreSQL, server and worker, all running.
pub(crate) struct Parts {
    folder: DataFolder,
    database: Database,
    services: Services,
    stop: CancellationToken,
    grace: Duration,
    traces: Traces,
    engine: Engine,
    /// Of the pages.
    url: String,
    dags: PathBuf,
    /// Removed after everything has ended.
    _socket: Option<tempfile::TempDir>,
}

impl Parts {
    /// Starts everything; returns once the pages answer.
    pub(crate) async fn start(options: &Options) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let mut services = Services::new(stop.clone())?;
        std::fs::create_dir_all(&options.dags)
            .with_context(|| format!("making the folder `{}`", options.dags.display()))?;
        let dags = std::fs::canonicalize(&options.dags)?;
        let folder = DataFolder::prepare(&options.data)?;
        let key = folder.secret_key()?;
        let database = Database::start(folder.path()).await?;
        keep_warehouse(&database, &key).await?;

        let (socket, temporary) = folder.socket()?;
        let traces = telemetry::traces("subak")?;
        let config = ServerConfig {
            engine: options.engine.config(machine_name(), traces.clone()),
            http: Some(options.listen),
            https: false,
            oidc: None,
            workers: vec![WorkerListen::Unix(socket.clone())],
            dags: Some(dags.clone()),
        };
        let storage = folder.path().join(STORAGE_FOLDER).display().to_string();
        let installation = database.store.installation().await?.to_string();
        let store = database.store.clone().with_storage(Storage::open(&storage, &installation)?);
        let server = Server::start(config, store, Some(Arc::new(key))).await?;
        let engine = server.engine().clone();
        let url = format!("http://{}", server.http().unwrap_or(options.listen));

        let servers = vec![format!("unix://{}", socket.display())];
        let mut worker = Config::new(&machine_name(), servers, folder.path().join("worker"));
        worker.storage_url = format!("file://{storage}/");
        worker.traces = traces.clone();
        options.work.apply(&mut worker);
        options.work.enter()?;
        limit_files(&mut worker, folder.path())?;

        let served = CancellationToken::new();
        services.spawn("the server", server.run(served.clone()));
        services.spawn("the worker", work(Worker::new(worker), stop.clone(), served));
        let database_url = database.metadata_url.clone();
        folder.announce(&Standalone { database_url, url: url.clone() })?;
        let grace = options.work.grace();
        let _socket = temporary;
        Ok(Self { folder, database, services, stop, grace, traces, engine, url, dags, _socket })
    }

    /// What to print: how to reach everything, with a link that signs in once.
    pub(crate) fn announcement(&self) -> Announcement {
        Announcement {
            store: self.database.store.clone(),
            url: self.url.clone(),
            data: self.folder.path().to_owned(),
            dags: self.dags.clone(),
            psql_line: self.database.psql_line.clone(),
        }
    }

    /// The metadata.
    pub(crate) fn store(&self) -> &Store {
        &self.database.store
    }

    /// The server's engine.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where everything is kept.
    pub(crate) fn data(&self) -> &Path {
        self.folder.path()
    }

    /// How to open the warehouse in a terminal.
    pub(crate) fn psql_line(&self) -> &str {
        &self.database.psql_line
    }

    /// The token that ends everything.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Starts a further part; the first part to end ends all.
    pub(crate) fn spawn(
        &mut self,
        name: &'static str,
        part: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.services.spawn(name, part);
    }

    /// Serves until a signal, or until a part ends; then stops everything, PostgreSQL last.
    pub(crate) async fn serve(self) -> anyhow::Result<()> {
        // The server waits for whoever still has its engine.
        drop(self.engine);
        let served = self.services.run(self.grace).await;
        self.folder.retract();
        telemetry::end(self.traces).await;
        self.database.stop().await?;
        served
    }
}

/// Runs the worker, and the server until the worker has ended: its last results are recorded. One
/// that was drained leaves the pages alone.
async fn work(
    worker: Worker,
    stop: CancellationToken,
    served: CancellationToken,
) -> anyhow::Result<()> {
    let _served = served.drop_guard();
    worker.run(stop.clone()).await?;
    stop.cancelled().await;
    Ok(())
}

/// Keeps tasks from what Subak itself keeps in the data folder; `demo` there is the user's.
fn limit_files(worker: &mut Config, data: &Path) -> anyhow::Result<()> {
    if worker.files.is_empty() {
        worker.files.push(std::env::current_dir().context("the working folder")?);
    }
    worker.files.push(data.join("demo"));
    worker.private.push(data.to_owned());
    Ok(())
}

/// The predefined connection: its port is another one at each start.
async fn keep_warehouse(database: &Database, key: &EncryptionKey) -> anyhow::Result<()> {
    let value = subak_server::connections::parse(&database.warehouse_url)
        .context("the address of the warehouse")?;
    let description = Some("tables of your own, in standalone's PostgreSQL");
    database.store.connection_put(key, WAREHOUSE, "postgres", description, &value).await?;
    Ok(())
}
