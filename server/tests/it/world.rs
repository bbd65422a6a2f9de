//! A database, engines on it, and workers that do what a script says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use subak_core::dag::{self, version};
use subak_core::ids::{DagId, RunKey};
use subak_server::engine::{
    Answer, EmbeddedWorker, Engine, EngineConfig, Outcome, Told, Traces, Trigger, TryReport, fence,
};
use subak_server::{Requests, ServerConfig};
use subak_store::{EncryptionKey, NewVersion, Store};
use subak_testkit::peek;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::hands::Hands;

pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// Nothing may take longer: the machine of the tests is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// Of workers that nobody renews: it must not end before a slow test does.
const LONG_LEASE: Duration = Duration::from_secs(3_600);

/// Between two looks at what no change tells of.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Saves the DAGs of a file.
pub(crate) async fn save(store: &Store, text: &str) -> anyhow::Result<()> {
    let parsed = dag::parse("test.yaml", text);
    anyhow::ensure!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    for model in &parsed.dags {
        let hash = version::hash(model);
        let new = NewVersion { dag: model, hash: hash.as_bytes(), source: text, file: "test.yaml" };
        store.version_save(&new).await?;
    }
    Ok(())
}

/// One server's engine with a database of its own.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    /// To workers, where a whole server runs.
    pub(crate) requests: Requests,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: JoinSet<anyhow::Result<()>>,
}

impl World {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        // Shown with a failing test.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        Self::on(subak_testkit::postgres::database().await?.store).await
    }

    /// On a database that is there.
    pub(crate) async fn on(store: Store) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let engine = engine(&store, "one", &mut tasks, &stop).await?;
        Ok(Self { store, engine, requests: Requests::default(), stop, tasks })
    }

    /// Saves the DAGs of a file.
    pub(crate) async fn dags(&self, text: &str) -> anyhow::Result<()> {
        save(&self.store, text).await
    }

    pub(crate) async fn trigger(&self, dag: &str) -> anyhow::Result<RunKey> {
        let trigger = Trigger::manual(DagId::from(dag), "test", serde_json::Value::Null);
        Ok(self.engine.run_trigger(trigger).await?.run)
    }

    pub(crate) async fn worker(&self, slots: u32) -> anyhow::Result<EmbeddedWorker> {
        self.engine.join("worker", &[("default", slots)], LONG_LEASE).await
    }

    /// A worker whose tries end when the test says so.
    pub(crate) async fn hands(&self, slots: u32) -> anyhow::Result<Hands> {
        Ok(Hands::new(self.worker(slots).await?))
    }

    /// The same, of a queue of its own.
    pub(crate) async fn hands_of(&self, queue: &str, slots: u32) -> anyhow::Result<Hands> {
        Ok(Hands::new(self.engine.join(queue, &[(queue, slots)], LONG_LEASE).await?))
    }

    /// Waits until the run has ended, and returns its state.
    pub(crate) async fn ended(&self, run: RunKey) -> anyhow::Result<String> {
        self.until("the run to end", async || {
            let state = peek::run_state(&self.store, run).await?;
            Ok(state == "success" || state == "failed")
        })
        .await?;
        peek::run_state(&self.store, run).await
    }

    /// Waits until the run's live tasks are these.
    pub(crate) async fn live(&self, run: RunKey, tasks: &[&str]) -> anyhow::Result<()> {
        self.until(&format!("{tasks:?}"), async || {
            Ok(peek::live_tasks(&self.store, run).await? == tasks)
        })
        .await
    }

    /// Waits until a condition holds: looks at every change of this engine, and now and then.
    pub(crate) async fn until(
        &self,
        what: &str,
        mut holds: impl AsyncFnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut changes = self.engine.changes();
        while !holds().await? {
            anyhow::ensure!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
            // A lagging receiver, or a change of another engine, is found by looking again.
            let _ = tokio::time::timeout(LOOK_EVERY, changes.recv()).await;
        }
        Ok(())
    }

    /// Starts another server on the same database, which ends by itself or with this world.
    pub(crate) async fn other(&self, name: &str) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        let stop = self.stop.child_token();
        let engine = engine(&self.store, name, &mut tasks, &stop).await?;
        let (store, requests) = (self.store.clone(), Requests::default());
        Ok(Self { store, engine, requests, stop, tasks })
    }

    /// Ends this server as a crash does: at whatever it waits for.
    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }

    /// Waits until the engine's loops have gone round.
    pub(crate) async fn beating(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.engine.last_beat().is_none() {
            anyhow::ensure!(began.elapsed() < PATIENCE, "the loops do not go round");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// `task_id state` of every task of a run that has ended, sorted.
    pub(crate) async fn states(&self, run: RunKey) -> anyhow::Result<Vec<String>> {
        peek::ended_tasks(&self.store, run).await
    }

    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// What the worlds' connections and variables are encrypted with.
pub(crate) fn key() -> EncryptionKey {
    EncryptionKey::new("test", [7; 32])
}

pub(crate) async fn engine(
    store: &Store,
    name: &str,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    stop: &CancellationToken,
) -> anyhow::Result<Engine> {
    let config = EngineConfig {
        server: name.to_owned(),
        lease: LEASE,
        keep_days: 30,
        // A busy database is not a silent one.
        answer_within: PATIENCE,
        traces: Traces::default(),
    };
    Engine::start(store.clone(), Some(Arc::new(key())), config, tasks, stop.clone()).await
}

/// What a whole server needs; it listens nowhere, and reads no folder.
pub(crate) fn whole_server(name: &str, lease: Duration) -> ServerConfig {
    let engine = EngineConfig {
        server: name.to_owned(),
        lease,
        keep_days: 30,
        answer_within: EngineConfig::ANSWER_WITHIN,
        traces: Traces::default(),
    };
    ServerConfig { engine, http: None, https: false, oidc: None, workers: Vec::new(), dags: None }
}

/// Works until told to stop: each try ends as `script` says of its task and try number.
pub(crate) fn work(
    mut worker: EmbeddedWorker,
    script: impl Fn(&str, u32) -> Outcome + Send + Sync + 'static,
) -> Arc<tokio::task::AbortHandle> {
    let handle = tokio::spawn(async move {
        loop {
            let told = worker.next().await;
            if told.is_empty() {
                return;
            }
            for told in told {
                if let Told::Run(assignment) = told {
                    let outcome = script(&assignment.task_id, assignment.try_number);
                    let fence =
                        fence(assignment.r#try.as_ref().expect("an assignment names its try"));
                    let answer = worker.report(TryReport::bare(fence, outcome, None)).await;
                    assert_ne!(answer, Answer::Later, "{}", assignment.task_id);
                }
            }
        }
    });
    Arc::new(handle.abort_handle())
}
