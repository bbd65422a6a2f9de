//! Servers that come and go over one database, and what they made of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use subak_core::dag;
use subak_core::dag::model::Dag;
use subak_core::ids::DagId;
use subak_core::schedule::Timetable;
use subak_server::engine::{Engine, EngineConfig};
use subak_store::{NewVersion, Store};
use subak_testkit::{TestDatabase, database};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Nothing may take longer: the machine of the tests is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A server of which only the engine runs. Dropped, it is gone as if it were killed.
pub(super) struct Server {
    pub(super) engine: Engine,
    _loops: JoinSet<anyhow::Result<()>>,
}

/// One database, and a connection to look into it.
pub(super) struct World {
    pub(super) database: TestDatabase,
    look: PgConnection,
}

/// A run as it stands in the database.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Run {
    pub(super) run_id: String,
    pub(super) run_type: String,
    pub(super) triggered_by: String,
    pub(super) state: String,
    pub(super) logical_date: DateTime<Utc>,
    pub(super) data_interval_start: DateTime<Utc>,
    pub(super) data_interval_end: DateTime<Utc>,
    pub(super) run_after: DateTime<Utc>,
}

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

impl World {
    pub(super) async fn new() -> Self {
        let filter = tracing_subscriber::EnvFilter::new("warn");
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let database = database().await.unwrap();
        let look = database.connect().await.unwrap();
        Self { database, look }
    }

    pub(super) async fn server(&self) -> Server {
        let store = Store::connect(&self.database.url).await.unwrap();
        let config = EngineConfig {
            server: "scheduler".to_owned(),
            lease: Duration::from_secs(3_600),
            keep_days: 30,
            answer_within: EngineConfig::ANSWER_WITHIN,
            traces: subak_server::engine::Traces::default(),
        };
        let mut loops = JoinSet::new();
        let stop = CancellationToken::new();
        let engine = Engine::start(store, None, config, &mut loops, stop).await.unwrap();
        Server { engine, _loops: loops }
    }

    /// Saves a DAG as its folder does, at `now`.
    pub(super) async fn save(&self, source: &str, now: DateTime<Utc>) -> Dag {
        let mut parsed = dag::parse("dags/test.yaml", source);
        let wrong: Vec<_> = parsed.diagnostics.iter().map(ToString::to_string).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let model = parsed.dags.remove(0);
        let hash = dag::version::hash(&model);
        let new = NewVersion { dag: &model, hash: hash.as_bytes(), source, file: "dags/test.yaml" };
        let store = &self.database.store;
        let saved = store.version_save(&new).await.unwrap();
        let timetable = Timetable::of(&model, now).unwrap();
        let next = timetable.and_then(|timetable| timetable.next(None, now));
        store.schedule_set(saved.dag, next).await.unwrap();
        model
    }

    pub(super) async fn pause(&self, dag_id: &str, paused: bool) {
        let dag = DagId(dag_id.to_owned());
        assert!(self.database.store.dag_pause(&dag, paused).await.unwrap().is_some());
    }

    /// The runs of a DAG in the order of their dates.
    pub(super) async fn runs(&mut self, dag_id: &str) -> Vec<Run> {
        sqlx::query_as(
            "SELECT run_id, run_type, triggered_by, state::text AS state, logical_date,
                    data_interval_start, data_interval_end, run_after
             FROM run WHERE dag = (SELECT dag FROM dag WHERE dag_id = $1)
             ORDER BY logical_date",
        )
        .bind(dag_id)
        .fetch_all(&mut self.look)
        .await
        .unwrap()
    }

    /// The dates of a DAG's runs, shortly: month, day and time.
    pub(super) async fn dates(&mut self, dag_id: &str) -> Vec<String> {
        let runs = self.runs(dag_id).await;
        runs.iter().map(|run| run.logical_date.format("%m-%d %H:%M").to_string()).collect()
    }

    /// Looks at the schedules at `now` until the DAG has as many runs: what ended elsewhere is told in
    /// the background.
    pub(super) async fn look_until(
        &mut self,
        server: &Server,
        now: DateTime<Utc>,
        dag_id: &str,
        count: usize,
    ) {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                server.engine.schedules_look(now).await.unwrap();
                let found = self.dates(dag_id).await.len();
                assert!(found <= count, "{found} runs instead of {count}");
                if found == count {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
        waited.await.expect("the runs that were waited for");
    }
}
