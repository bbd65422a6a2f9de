//! The processes under measurement, and a client beside them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sqlx::PgPool;
use subak_core::ids::{DagId, RunKey};
use subak_postgres::PrivatePostgres;
use subak_server::engine::{Engine, EngineConfig, Trigger};
use subak_store::Store;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// PostgreSQL, one server, one worker, each a process; and an engine without workers, to trigger by.
pub struct Stack {
    pub store: Store,
    engine: Engine,
    server: Child,
    worker: Child,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    folder: TempDir,
    // Last: it outlives whoever is connected.
    _postgres: PrivatePostgres,
}

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub cpu_secs: f64,
    pub rss_bytes: u64,
}

impl Stack {
    /// Starts everything with these DAG files `(name, text)`; `slots` are the worker's.
    pub async fn start(
        binary: &Path,
        dags: &[(String, String)],
        slots: u32,
    ) -> anyhow::Result<Self> {
        let postgres = PrivatePostgres::temporary().await?;
        postgres.create_database("bench").await?;
        let url = postgres.url("bench");
        let store = Store::connect(&url).await?;
        store.migrate().await?;
        let folder = tempfile::tempdir()?;
        let dag_folder = folder.path().join("dags");
        std::fs::create_dir(&dag_folder)?;
        for (name, text) in dags {
            std::fs::write(dag_folder.join(format!("{name}.yaml")), text)?;
        }
        let socket = folder.path().join("workers.sock");
        let listen = format!("unix://{}", socket.display());
        let server = Command::new(binary)
            .args(["server", "--listen", "127.0.0.1:0", "--workers-listen", &listen, "--dags"])
            .arg(&dag_folder)
            .env("SUBAK_DATABASE_URL", &url)
            .env("SUBAK_SECRET_KEY", "00".repeat(32))
            .stdout(Stdio::null())
            .stderr(log(folder.path(), "server")?)
            .spawn()
            .context("starting the server")?;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let config = EngineConfig {
            server: "bench".to_owned(),
            lease: Duration::from_secs(60),
            keep_days: 30,
        };
        let engine = Engine::start(store.clone(), None, config, &mut tasks, stop.clone()).await?;
        wait(async || Ok(socket.exists()), "the server to listen").await?;
        let worker = Command::new(binary)
            .args([
                "worker",
                "--server",
                &listen,
                "--queue",
                &format!("default={slots}"),
                "--state",
            ])
            .arg(folder.path().join("worker"))
            .stdout(Stdio::null())
            .stderr(log(folder.path(), "worker")?)
            .spawn()
            .context("starting the worker")?;
        let stack =
            Self { store, engine, server, worker, stop, tasks, folder, _postgres: postgres };
        wait(async || Ok(!stack.store.workers().await?.is_empty()), "the worker to join")
            .await
            .with_context(|| stack.logs())?;
        for (name, _) in dags {
            let id = DagId::from(name.as_str());
            wait(async || Ok(stack.store.dag_head(&id).await?.is_some()), "a DAG to be read")
                .await
                .with_context(|| stack.logs())?;
        }
        Ok(stack)
    }

    /// Makes a run.
    pub async fn trigger(&self, dag: &str) -> anyhow::Result<RunKey> {
        let trigger = Trigger::manual(DagId::from(dag), "bench", serde_json::Value::Null);
        Ok(self.engine.run_trigger(trigger).await?.run)
    }

    /// Makes many runs at once.
    pub async fn trigger_many(&self, dag: &str, count: usize) -> anyhow::Result<Vec<RunKey>> {
        let made = (0..count).map(|_| self.trigger(dag));
        futures::future::try_join_all(made).await
    }

    /// Waits until no run is open.
    pub async fn drained(&self, most: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let (open,): (i64,) = sqlx::query_as(
                "SELECT coalesce(sum(runs_active + runs_queued), 0)::bigint FROM dag_load
                 JOIN dag USING (dag) WHERE dag_id NOT LIKE 'parked%'",
            )
            .fetch_one(self.pool())
            .await?;
            if open == 0 {
                return Ok(());
            }
            ensure!(began.elapsed() < most, "{open} runs are still open\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The metadata database.
    pub fn pool(&self) -> &PgPool {
        self.store.pool()
    }

    /// CPU and memory of server and worker together.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let (server, worker) = (usage(self.server.id())?, usage(self.worker.id())?);
        Ok(Usage {
            cpu_secs: server.cpu_secs + worker.cpu_secs,
            rss_bytes: server.rss_bytes + worker.rss_bytes,
        })
    }

    fn logs(&self) -> String {
        ["server", "worker"]
            .map(|name| {
                std::fs::read_to_string(self.folder.path().join(format!("{name}.log")))
                    .unwrap_or_default()
            })
            .join("\n")
    }

    /// Ends everything.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        for child in [&mut self.worker, &mut self.server] {
            child.kill()?;
            child.wait()?;
        }
        self.store.close().await;
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for child in [&mut self.worker, &mut self.server] {
            // Already ended, or ended now.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn log(folder: &Path, name: &str) -> anyhow::Result<std::fs::File> {
    Ok(std::fs::File::create(folder.join(format!("{name}.log")) as PathBuf)?)
}

async fn wait(
    mut until: impl AsyncFnMut() -> anyhow::Result<bool>,
    what: &str,
) -> anyhow::Result<()> {
    let began = Instant::now();
    while !until().await? {
        ensure!(began.elapsed() < Duration::from_secs(20), "waited 20 s for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn usage(pid: u32) -> anyhow::Result<Usage> {
    const TICKS_PER_SEC: f64 = 100.0;
    const PAGE_BYTES: u64 = 4096;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> =
        stat.rsplit(") ").next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(Usage {
        cpu_secs: ticks / TICKS_PER_SEC,
        rss_bytes: fields[21].parse::<u64>()? * PAGE_BYTES,
    })
}
