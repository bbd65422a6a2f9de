//! Several engines on one database, and workers that hand every assignment to its run's test.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::Row;
use subak_core::dag::model::Dag;
use subak_core::ids::{DagId, Instance, RunKey};
use subak_proto::Assignment;
use subak_server::engine::{
    Answer, Engine, EngineConfig, Outcome, Told, Trigger, TryReport, XComReport, fence,
};
use subak_store::engine::Fence;
use subak_store::{NewVersion, Store};
use subak_testkit::checker::journal::{Entry, Event, Journal};
use subak_testkit::checker::pauses::{GoesOn, Pause, Pauses, clock};
use subak_testkit::checker::{self, Moment, Violation};
use subak_testkit::dag_gen::POOLS;
use subak_testkit::{TestDatabase, database};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Nothing may take longer: the machine of the tests is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Nobody renews it.
const LEASE: Duration = Duration::from_secs(3600);

/// Engines, and what their workers noted.
pub(super) struct Fleet {
    pub(super) database: TestDatabase,
    pub(super) engines: Vec<Engine>,
    /// The server that holds a worker's session.
    homes: HashMap<i64, Engine>,
    router: Arc<Router>,
    pauses: Mutex<Pauses>,
    loops: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
}

/// A try that a worker was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) fence: Fence,
    pub(super) try_number: u32,
}

impl Held {
    /// The task's place in its DAG: numbers are given in order.
    pub(super) fn place(&self) -> usize {
        usize::try_from(self.fence.instance.task.0).unwrap()
    }

    /// Its map index; -1: its task is not mapped.
    pub(super) fn index(&self) -> i32 {
        self.fence.instance.map_index.0
    }

    /// The task instance that was started.
    pub(super) fn instance(&self) -> Instance {
        self.fence.instance.instance()
    }
}

/// Hands assignments to whoever plays their run.
#[derive(Default)]
struct Router {
    runs: Mutex<HashMap<RunKey, Route>>,
    journal: Mutex<Vec<Entry>>,
    began: Mutex<Option<std::time::Instant>>,
}

struct Route {
    sender: UnboundedSender<Held>,
    receiver: Option<UnboundedReceiver<Held>>,
}

/// What the database says of a task: its state, and its highest try number.
pub(super) type TaskNow = (Option<String>, u32);

impl Fleet {
    /// Starts `servers` engines, each with a worker of this many slots.
    pub(super) async fn start(servers: usize, slots: u32) -> Self {
        // Warnings of the engines stand beside a failure; a second test finds it set.
        let filter = tracing_subscriber::EnvFilter::new("warn");
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let database = database().await.unwrap();
        let mut fleet = Self {
            database,
            engines: Vec::new(),
            homes: HashMap::new(),
            router: Arc::default(),
            pauses: Mutex::default(),
            loops: JoinSet::new(),
            stop: CancellationToken::new(),
        };
        for number in 0..servers {
            fleet.add_engine(&format!("server-{number}"), slots).await;
        }
        for (name, slots) in POOLS {
            fleet.engines[0].pool_put(name, slots, None, None).await.unwrap();
        }
        fleet
    }

    async fn add_engine(&mut self, name: &str, slots: u32) {
        let store = Store::connect(&self.database.url).await.unwrap();
        let config = EngineConfig {
            server: name.to_owned(),
            lease: LEASE,
            keep_days: 30,
            answer_within: EngineConfig::ANSWER_WITHIN,
            traces: subak_server::engine::Traces::default(),
        };
        let stop = self.stop.clone();
        let engine =
            Engine::start(store, None, config, &mut self.loops, stop.clone()).await.unwrap();
        let slots = [("default", slots)];
        let mut worker = engine.join(name, &slots, LEASE).await.unwrap();
        self.homes.insert(worker.session(), engine.clone());
        let (router, home) = (self.router.clone(), engine.clone());
        self.loops.spawn(async move {
            loop {
                let told = tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(()),
                    told = worker.next() => told,
                };
                anyhow::ensure!(!told.is_empty(), "a worker's session was dropped");
                for told in &told {
                    // Tries are stopped by whoever plays the run.
                    if let Told::Run(assignment) = told
                        && let Err(late) = router.hand(assignment)
                    {
                        home.freed(&late);
                    }
                }
            }
        });
        self.engines.push(engine);
    }

    /// Saves a DAG and starts a run of it.
    pub(super) async fn run(&self, dag: &Dag, engine: &Engine) -> RunKey {
        let trigger = Trigger::manual(dag.dag_id.clone(), "test", serde_json::json!({}));
        self.run_of(dag, engine, trigger).await
    }

    /// Saves a DAG and starts this run of it.
    pub(super) async fn run_of(&self, dag: &Dag, engine: &Engine, trigger: Trigger) -> RunKey {
        let canonical = serde_json::to_string(dag).unwrap();
        let hash = Sha256::digest(&canonical);
        let version = NewVersion { dag, hash: &hash, source: &canonical, file: "random.yaml" };
        self.database.store.version_save(&version).await.unwrap();
        engine.run_trigger(trigger).await.unwrap().run
    }

    /// Where the run's assignments arrive.
    pub(super) fn assignments(&self, run: RunKey) -> UnboundedReceiver<Held> {
        self.router.with(run, |route| route.receiver.take()).expect("asked once for each run")
    }

    /// Lets the run's assignments arrive where those of other runs do.
    pub(super) fn gather(&self, run: RunKey, into: &UnboundedSender<Held>) {
        self.router.with(run, |route| {
            route.sender = into.clone();
            let mut early = route.receiver.take().expect("asked once for each run");
            while let Ok(held) = early.try_recv() {
                into.send(held).expect("somebody takes them");
            }
        });
    }

    /// Deletes a run that has ended, and what workers noted of it.
    pub(super) async fn delete(&self, engine: &Engine, run: RunKey) {
        engine.run_delete(run, "test").await.unwrap();
        self.router.journal.lock().unwrap().retain(|entry| entry.run_key != run.0);
    }

    /// Reports the end of a try and notes it as a worker would.
    pub(super) async fn report(&self, engine: &Engine, held: &Held, outcome: Outcome) -> Answer {
        self.end(held);
        self.report_again(engine, held, outcome).await
    }

    /// Notes that a try's function ended, and that its slot is free.
    pub(super) fn end(&self, held: &Held) {
        self.note_end(held);
        // Its own server learns of the free slot only from itself.
        self.homes[&held.fence.session].freed(&held.fence);
    }

    /// Pauses a DAG, and notes how its tasks stood.
    pub(super) async fn pause(&self, engine: &Engine, dag: &DagId) -> Pause {
        let pool = self.database.store.pool();
        let mut pause = Pause::asked(pool, &dag.0).await.unwrap();
        assert!(engine.dag_pause(dag, true).await.unwrap());
        pause.committed(pool).await.unwrap();
        pause
    }

    /// Waits until the runs of a paused DAG were looked at.
    pub(super) async fn looked(&self, pause: &mut Pause) {
        let looking = async {
            while !pause.look(self.database.store.pool()).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, looking).await.expect("the runs of a paused DAG are looked at");
    }

    /// Lets the checker know of a pause.
    pub(super) fn note_pause(&self, pause: Pause) {
        self.pauses.lock().unwrap().pauses.push(pause);
    }

    /// Lets a paused DAG go on.
    pub(super) async fn go_on(&self, engine: &Engine, dag: &DagId, pause: Pause) {
        let pool = self.database.store.pool();
        let (of, asked_at) = (pause.dag, clock(pool).await.unwrap());
        self.note_pause(pause);
        assert!(engine.dag_pause(dag, false).await.unwrap());
        let done_at = clock(pool).await.unwrap();
        self.pauses.lock().unwrap().ends.push(GoesOn { dag: of, asked_at, done_at });
    }

    /// Takes no more of a run: its worker ends what was stopped.
    pub(super) fn leave(&self, mut arrivals: UnboundedReceiver<Held>) {
        arrivals.close();
        while let Ok(held) = arrivals.try_recv() {
            self.end(&held);
        }
    }

    /// Notes that a try's function ended.
    pub(super) fn note_end(&self, held: &Held) {
        self.router.note(Event::End, &held.fence, held.try_number);
    }

    /// Reports an end that was noted before.
    pub(super) async fn report_again(
        &self,
        engine: &Engine,
        held: &Held,
        outcome: Outcome,
    ) -> Answer {
        self.report_result(engine, held, outcome, None).await
    }

    /// Reports an end that was noted before, with what the task returned.
    pub(super) async fn report_result(
        &self,
        engine: &Engine,
        held: &Held,
        outcome: Outcome,
        result: Option<&Value>,
    ) -> Answer {
        loop {
            let returned = result.map(|value| XComReport {
                key: "return_value".to_owned(),
                value: value.clone(),
                ..XComReport::default()
            });
            let report = TryReport {
                xcoms: returned.into_iter().collect(),
                ..TryReport::bare(held.fence, outcome, None)
            };
            let answer = timeout(PATIENCE, engine.reports().report(report)).await.unwrap();
            match answer {
                Answer::Later => continue,
                Answer::Accepted => self.router.note(Event::Accepted, &held.fence, held.try_number),
                Answer::Superseded => {}
            }
            return answer;
        }
    }

    /// The run's state.
    pub(super) async fn run_state(&self, run: RunKey) -> String {
        sqlx::query_scalar("SELECT state::text FROM run WHERE run_key = $1")
            .bind(run.0)
            .fetch_one(self.database.store.pool())
            .await
            .unwrap()
    }

    /// Waits until the run's state is one of these.
    pub(super) async fn wait_for(&self, run: RunKey, states: &[&str]) -> String {
        let mut changes: JoinSet<()> = JoinSet::new();
        let waiting = async {
            loop {
                for engine in &self.engines {
                    let mut news = engine.changes();
                    changes.spawn(async move {
                        while news.recv().await.is_ok_and(|changed| changed != run) {}
                    });
                }
                let state = self.run_state(run).await;
                if states.contains(&state.as_str()) {
                    return state;
                }
                changes.join_next().await;
                changes.abort_all();
            }
        };
        match timeout(PATIENCE, waiting).await {
            Ok(state) => state,
            Err(_) => panic!("{run} never was {states:?}:\n{}", self.rows(run).await),
        }
    }

    /// Everything that the database has of a run, told with a failure.
    pub(super) async fn rows(&self, run: RunKey) -> String {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT 'run ' || to_jsonb(r)::text FROM run r WHERE run_key = $1
             UNION ALL SELECT 'live ' || to_jsonb(l)::text FROM live l WHERE run_key = $1
             UNION ALL SELECT 'join ' || to_jsonb(j)::text FROM join_state j WHERE run_key = $1
             UNION ALL SELECT 'mapped ' || to_jsonb(m)::text FROM mapped m WHERE run_key = $1
             UNION ALL SELECT 'waits ' || to_jsonb(p)::text FROM past_wait p WHERE run_key = $1
             UNION ALL SELECT 'outbox ' || to_jsonb(o)::text FROM outbox o WHERE run_key = $1
             UNION ALL SELECT 'ended ' || to_jsonb(h)::text FROM (
                           SELECT task, map_index, try_number, state, resets, token, session, started_at,
                                  ended_at, cause, error
                           FROM try_history WHERE run_key = $1 ORDER BY ended_at
                       ) AS h
             UNION ALL SELECT 'reset ' || to_jsonb(r)::text FROM task_reset r WHERE run_key = $1
             UNION ALL SELECT 'dag ' || canonical::text FROM dag_version JOIN run USING (dag, version)
                       WHERE run_key = $1",
        )
        .bind(run.0)
        .fetch_all(self.database.store.pool())
        .await
        .unwrap_or_default();
        rows.join("\n")
    }

    /// Tasks of the run that workers hold.
    pub(super) async fn held(&self, run: RunKey, states: &[&str]) -> Vec<usize> {
        let tasks: Vec<i32> = sqlx::query_scalar(
            "SELECT task FROM live WHERE run_key = $1 AND state::text = ANY ($2)",
        )
        .bind(run.0)
        .bind(states)
        .fetch_all(self.database.store.pool())
        .await
        .unwrap();
        tasks.into_iter().map(|task| usize::try_from(task).unwrap()).collect()
    }

    /// What each task of the run is now.
    pub(super) async fn tasks(&self, run: RunKey) -> BTreeMap<usize, TaskNow> {
        let instances = self.instances(run).await;
        instances.into_iter().map(|((task, _), now)| (task, now)).collect()
    }

    /// What each task instance of the run is now, by this test's own reading of the tables.
    pub(super) async fn instances(&self, run: RunKey) -> BTreeMap<(usize, i32), TaskNow> {
        let rows = sqlx::query(
            "SELECT task, map_index, state, try_number FROM (
                 SELECT h.task, h.map_index, CASE WHEN h.state IN ('up_for_retry', 'restarting')
                                       OR h.token < coalesce(r.token, 0)
                                     THEN NULL ELSE h.state::text END AS state,
                        CASE WHEN h.session IS NULL THEN 0 ELSE h.try_number END AS try_number
                 FROM try_history h
                 LEFT JOIN task_reset r USING (run_key, task, map_index)
                 WHERE h.run_key = $1
                 UNION ALL
                 SELECT task, map_index, state::text, try_number FROM live WHERE run_key = $1
             ) AS rows",
        )
        .bind(run.0)
        .fetch_all(self.database.store.pool())
        .await
        .unwrap();
        let mut tasks: BTreeMap<(usize, i32), TaskNow> = BTreeMap::new();
        for row in rows {
            let task = usize::try_from(row.get::<i32, _>("task")).unwrap();
            let now = tasks.entry((task, row.get("map_index"))).or_default();
            let state: Option<String> = row.get("state");
            now.0 = now.0.take().or(state);
            now.1 = now.1.max(u32::try_from(row.get::<i32, _>("try_number")).unwrap());
        }
        tasks
    }

    /// What the checker finds.
    pub(super) async fn check(&self, moment: Moment) -> Vec<Violation> {
        let journal = Journal::new(self.router.journal.lock().unwrap().clone());
        let journal = journal.with_pauses(self.pauses.lock().unwrap().clone());
        checker::check(self.database.store.pool(), &journal, moment).await.unwrap()
    }

    /// Ends every server as a crash does: at whatever it waits for.
    pub(super) async fn kill(&mut self) {
        self.loops.shutdown().await;
    }

    /// Checks every invariant, and ends the engines.
    pub(super) async fn finish(mut self) {
        let found = self.check(Moment::AtTheEnd).await;
        let shown: Vec<String> = found.iter().take(20).map(Violation::to_string).collect();
        let mut told = shown.join("\n");
        for run in runs_named(&told).into_iter().take(4) {
            told = format!("{told}\n{run}:\n{}", self.rows(run).await);
        }
        assert!(found.is_empty(), "{} violations:\n{told}", found.len());
        let log = std::fs::read_to_string(subak_testkit::postgres::log().unwrap()).unwrap();
        assert!(!log.contains("deadlock detected"), "I12: see the log of PostgreSQL");
        self.stop.cancel();
        self.engines.clear();
        self.homes.clear();
        while let Some(ended) = self.loops.join_next().await {
            ended.unwrap().unwrap();
        }
    }
}

/// The runs that a text tells of.
fn runs_named(text: &str) -> BTreeSet<RunKey> {
    let numbers = text.split("run ").skip(1).filter_map(|rest| {
        let end = rest.find(|at: char| !at.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    });
    numbers.map(RunKey).collect()
}

impl Router {
    /// Hands a try to the test of its run. One that has ended needs no more of its run: what arrives
    /// was stopped meanwhile.
    fn hand(&self, assignment: &Assignment) -> Result<(), Fence> {
        let fence = fence(assignment.r#try.as_ref().expect("an assignment names its try"));
        let held = Held { fence, try_number: assignment.try_number };
        self.note(Event::Start, &fence, held.try_number);
        let sent = self.with(fence.instance.run, |route| route.sender.send(held));
        sent.map_err(|_| {
            self.note(Event::End, &fence, held.try_number);
            fence
        })
    }

    fn with<T>(&self, run: RunKey, act: impl FnOnce(&mut Route) -> T) -> T {
        let mut runs = self.runs.lock().unwrap();
        act(runs.entry(run).or_insert_with(|| {
            let (sender, receiver) = unbounded_channel();
            Route { sender, receiver: Some(receiver) }
        }))
    }

    fn note(&self, event: Event, fence: &Fence, try_number: u32) {
        let began = *self.began.lock().unwrap().get_or_insert_with(std::time::Instant::now);
        let entry = Entry {
            event,
            run_key: fence.instance.run.0,
            task: checker::place(fence.instance.task.0, fence.instance.map_index.0),
            try_number: i32::try_from(try_number).unwrap(),
            token: fence.token,
            at_micros: i64::try_from(began.elapsed().as_micros()).unwrap(),
        };
        self.journal.lock().unwrap().push(entry);
    }
}
