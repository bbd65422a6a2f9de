//! One server: engine, worker gateway, DAG folder, REST API and pages, started and stopped together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use subak_store::{EncryptionKey, Store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::App;
use crate::auth::OidcConfig;
use crate::engine::{Engine, EngineConfig};
use crate::folder::Folder;
use crate::gateway::{Gateway, JoinCheck, Requests};
use crate::listen::WorkerListen;
use crate::surface::Surface;

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub engine: EngineConfig,
    /// Where browsers and API clients come; `None`: nowhere.
    pub http: Option<SocketAddr>,
    /// Browsers reach it by TLS, at a proxy before it.
    pub https: bool,
    /// People may also sign in by this identity provider.
    pub oidc: Option<OidcConfig>,
    /// Where workers come.
    pub workers: Vec<WorkerListen>,
    /// The folder of DAG files; `None`: this server reads none.
    pub dags: Option<PathBuf>,
}

/// A running server.
pub struct Server {
    engine: Engine,
    gateway: Gateway,
    tasks: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
    http: Option<SocketAddr>,
    workers: Vec<Option<SocketAddr>>,
}

impl Server {
    /// Binds every listener, then starts everything. The schema must be up to date.
    pub async fn start(
        config: ServerConfig,
        store: Store,
        key: Option<Arc<EncryptionKey>>,
    ) -> anyhow::Result<Self> {
        let mut bound = Vec::new();
        for listen in &config.workers {
            bound.push(listen.bind().await?);
        }
        let http = match config.http {
            Some(address) => Some(
                std::net::TcpListener::bind(address)
                    .with_context(|| format!("listening for browsers at {address}"))?,
            ),
            None => None,
        };
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let engine =
            Engine::start(store.clone(), key, config.engine, &mut tasks, stop.clone()).await?;
        let gateway = Gateway {
            engine: engine.clone(),
            requests: Requests::default(),
            join: JoinCheck::Trusted,
            stop: stop.clone(),
            leaving: CancellationToken::new(),
            beside: TaskTracker::new(),
        };
        let workers = bound.iter().map(crate::listen::Bound::address).collect();
        for listener in bound {
            tasks.spawn(listener.serve(gateway.clone(), stop.clone()));
        }
        if let Some(folder) = config.dags {
            let mut folder = Folder::new(engine.clone(), folder);
            // The first look before anybody can ask: what is in the folder is there at once.
            folder.look().await?;
            tasks.spawn(folder.run(stop.clone()));
        }
        let address = http.as_ref().and_then(|listener| listener.local_addr().ok());
        if let Some(listener) = http {
            let requests = gateway.requests.clone();
            let mut app = App::new(store, engine.clone(), requests, config.https, stop.clone());
            if let Some(oidc) = config.oidc {
                app = app.with_oidc(oidc)?;
            }
            tasks.spawn(Surface::start(listener, app, stop.clone())?.ended());
        }
        info!(http = address.map(tracing::field::display), "the server runs");
        Ok(Self { engine, gateway, tasks, stop, http: address, workers })
    }

    /// The engine, for whoever runs in the same process.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Requests to workers.
    #[must_use]
    pub fn requests(&self) -> &Requests {
        &self.gateway.requests
    }

    /// Where browsers come.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// The addresses of the worker listeners, in the order of the settings; `None` for a socket.
    #[must_use]
    pub fn workers(&self) -> &[Option<SocketAddr>] {
        &self.workers
    }

    /// Waits until `stop`, or until a part of the server ends by itself, which is an error; then
    /// lets everything finish what it is at.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let ended = tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = self.tasks.join_next() => match ended {
                Some(Ok(Ok(()))) => Err(anyhow::anyhow!("a part of the server ended by itself")),
                Some(Ok(Err(error))) => Err(error),
                Some(Err(error)) => Err(error.into()),
                None => Ok(()),
            },
        };
        self.gateway.leave().await;
        self.stop.cancel();
        // A browser that keeps a stream open does not keep the server.
        let drained = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Ok(Err(error)) = ended {
                    tracing::warn!(error = format!("{error:#}"), "stopping");
                }
            }
            self.gateway.beside.close();
            self.gateway.beside.wait().await;
        };
        let _ = tokio::time::timeout(std::time::Duration::from_secs(10), drained).await;
        ended
    }
}
