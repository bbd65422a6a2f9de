//! The processes under measurement, and a client beside them: an engine without workers, to trigger by.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sqlx::PgPool;
use subak_core::ids::{DagId, RunKey};
use subak_server::engine::{Engine, EngineConfig, Trigger};
use subak_store::Store;
use subak_testkit::stack::{Stack as Processes, StackOptions, Usage};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The shipped one.
const LEASE: Duration = Duration::from_secs(60);

/// PostgreSQL, one server, one worker, and the client.
pub struct Stack {
    processes: Processes,
    client: Engine,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Stack {
    /// Starts everything as it is shipped, with these DAG files `(name, text)`.
    pub async fn start(binary: &Path, dags: &[(String, String)]) -> anyhow::Result<Self> {
        let processes = Processes::start(StackOptions {
            binary: binary.to_owned(),
            servers: 1,
            workers: 1,
            slots: None,
            lease_secs: LEASE.as_secs(),
            env: Vec::new(),
        })
        .await?;
        for (name, text) in dags {
            let added = processes.add_dag(name, text).await;
            added.with_context(|| processes.logs())?;
        }
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let config = EngineConfig {
            server: "bench".to_owned(),
            lease: LEASE,
            keep_days: 30,
            answer_within: EngineConfig::ANSWER_WITHIN,
            traces: subak_server::engine::Traces::default(),
        };
        let store = processes.store.clone();
        let client = Engine::start(store, None, config, &mut tasks, stop.clone()).await?;
        Ok(Self { processes, client, stop, tasks })
    }

    /// Makes a run.
    pub async fn trigger(&self, dag: &str) -> anyhow::Result<RunKey> {
        let trigger = Trigger::manual(DagId::from(dag), "bench", serde_json::Value::Null);
        Ok(self.client.run_trigger(trigger).await?.run)
    }

    /// Makes many runs at once.
    pub async fn trigger_many(&self, dag: &str, count: usize) -> anyhow::Result<Vec<RunKey>> {
        let made = (0..count).map(|_| self.trigger(dag));
        futures::future::try_join_all(made).await
    }

    /// Cancels a run.
    pub async fn cancel(&self, run: RunKey) -> anyhow::Result<()> {
        Ok(self.client.run_cancel(run, "cancelled").await?)
    }

    /// Waits until a run has ended.
    pub async fn ended(&self, run: RunKey, most: Duration) -> anyhow::Result<()> {
        self.until("the run has not ended", most, async || {
            sqlx::query_scalar("SELECT state IN ('success', 'failed') FROM run WHERE run_key = $1")
                .bind(run.0)
                .fetch_one(self.pool())
                .await
        })
        .await
    }

    /// Waits until so many instances of a run are ready or run.
    pub async fn made(&self, run: RunKey, count: usize) -> anyhow::Result<()> {
        self.until("instances are missing", Duration::from_secs(300), async || {
            sqlx::query_scalar("SELECT count(*) = $2 FROM live WHERE run_key = $1")
                .bind(run.0)
                .bind(i64::try_from(count).unwrap_or(i64::MAX))
                .fetch_one(self.pool())
                .await
        })
        .await
    }

    async fn until(
        &self,
        what: &str,
        most: Duration,
        holds: impl AsyncFn() -> Result<bool, sqlx::Error>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        while !holds().await? {
            ensure!(began.elapsed() < most, "{what}\n{}", self.processes.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
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
            ensure!(
                began.elapsed() < most,
                "{open} runs are still open\n{}",
                self.processes.logs()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The metadata database.
    pub fn pool(&self) -> &PgPool {
        self.processes.store.pool()
    }

    /// The metadata database, as the product sees it.
    pub fn store(&self) -> &Store {
        &self.processes.store
    }

    /// The id of a run.
    pub async fn run_id(&self, run: RunKey) -> anyhow::Result<String> {
        Ok(sqlx::query_scalar("SELECT run_id FROM run WHERE run_key = $1")
            .bind(run.0)
            .fetch_one(self.pool())
            .await?)
    }

    /// Where the server's pages are.
    pub fn url(&self) -> anyhow::Result<String> {
        self.processes.address(0)
    }

    /// CPU and memory of the server.
    pub fn usage_of_server(&self) -> anyhow::Result<Usage> {
        self.processes.usage_of_server(0)
    }

    /// CPU and memory of server and worker together.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        self.processes.usage()
    }

    /// Ends the client, which asks the database as much as a server does.
    pub async fn leave(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Ends everything.
    pub async fn stop(mut self) {
        self.leave().await;
        self.processes.store.close().await;
    }
}
