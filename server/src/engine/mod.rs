//! The scheduler: ends of tries ready what comes next and hand it over, in one transaction.
//!
//! Servers are stateless and any number run side by side: PostgreSQL is the only truth. What is kept
//! here is immutable (plans, facts of runs) or a hint (free slots, whether a queue has a backlog).

mod assign;
mod backfill;
mod caches;
mod cancel;
mod changes;
mod clear;
mod clear_many;
mod completion;
mod creation;
mod delete;
mod embedded;
mod gather;
mod lanes;
mod leases;
mod loops;
mod mark;
mod pools;
mod progress;
mod report;
mod slots;
mod tally;
mod tell;
mod traced;
mod within;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use subak_core::ids::{DagId, InstanceKey, RunKey};
use subak_store::engine::{EngineTx, HandedOver};
use subak_store::{EncryptionKey, News, Store};
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dispatch::{Backlog, Sessions};
use slots::Slots;

pub(crate) use assign::try_ref;
pub use backfill::{Backfill, BackfillError, Reprocess};
pub use cancel::CancelError;
pub use clear::{ClearError, Cleared};
pub use creation::{Trigger, TriggerError, Triggered};
pub use delete::DeleteError;
pub use embedded::{EmbeddedWorker, Told, fence};
pub use lanes::Reports;
pub(crate) use loops::first_tick;
pub use mark::{Mark, MarkError, Marked};
pub use pools::PoolError;
pub use progress::Progress;
pub use report::{Answer, DatasetReport, LargeXCom, LogTail, Outcome, TryReport, XComReport};
pub use subak_trace::Traces;
pub(crate) use tally::Tally;

/// Settings of the engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// This server's name, for people.
    pub server: String,
    /// A worker session lives this long without a renewal.
    pub lease: Duration,
    /// Days that ended runs are kept.
    pub keep_days: i32,
    /// A database that is silent for longer is taken for unreachable.
    pub answer_within: Duration,
    /// Where the runs' spans go.
    pub traces: Traces,
}

impl EngineConfig {
    /// What is meant for [`EngineConfig::answer_within`].
    pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
}

/// Everything that the engine's transactions share.
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) config: EngineConfig,
    pub(crate) sessions: Sessions,
    pub(crate) backlog: Backlog,
    pub(crate) key: Option<Arc<EncryptionKey>>,
    pub(crate) installation: String,
    pub(crate) progress: progress::Progresses,
    pub(crate) leases: leases::Leases,
    pub(crate) tally: Tally,
    caches: caches::Caches,
    changes: changes::Changes,
    /// When the timers last went round, by the database's clock, in microseconds; 0: not yet.
    beat_micros: AtomicI64,
    /// When the folder of DAG files was last looked through, by this server's clock, in microseconds;
    /// 0: it has none.
    pub(crate) folder_micros: AtomicI64,
    /// Something slows the database down.
    is_strained: AtomicBool,
    /// A timer may be due earlier than the loop thinks.
    timers: Notify,
    /// Ready work or free slots appeared.
    claims: Notify,
    /// Somebody is to be told of an end.
    notices: Notify,
    /// Tries that could not be handed over after all. One beyond the bound the worker's heartbeat
    /// finds missing: it is handed over, and fails, again.
    failures: mpsc::Sender<TryReport>,
    /// DAGs that may have a queued run to start. What is beyond the bound a slow look finds.
    starts: mpsc::Sender<i32>,
    /// Runs of which a try is to end that may be held here; bounded likewise.
    stops: mpsc::Sender<RunKey>,
    yields: mpsc::Sender<i32>,
}

/// Hints that may wait for a loop.
const HINTS_MOST: usize = 10_000;

/// The engine of one server. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) core: Arc<Core>,
    reports: Reports,
    creations: creation::Creations,
}

impl Engine {
    /// Starts the engine's loops into `tasks`; they end when `stop` is cancelled, after what they are
    /// at.
    pub async fn start(
        store: Store,
        key: Option<Arc<EncryptionKey>>,
        config: EngineConfig,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let (engine, asked) = Self::prepare(store, key, config, tasks, &stop).await?;
        loops::before_all(&engine.core).await;
        loops::start(&engine, asked, tasks, stop);
        Ok(engine)
    }

    /// Starts an engine for one command, without loops: what its commits leave to be gone on with,
    /// the servers are told of.
    pub async fn start_for_command(
        store: Store,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        // No session begins here, and nothing is dropped.
        let config = EngineConfig {
            server: "command".to_owned(),
            lease: Duration::MAX,
            keep_days: i32::MAX,
            answer_within: EngineConfig::ANSWER_WITHIN,
            traces: Traces::default(),
        };
        let (engine, _) = Self::prepare(store, None, config, tasks, &stop).await?;
        Ok(engine)
    }

    async fn prepare(
        store: Store,
        key: Option<Arc<EncryptionKey>>,
        config: EngineConfig,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        stop: &CancellationToken,
    ) -> anyhow::Result<(Self, loops::Asked)> {
        let (starts, starts_asked) = mpsc::channel(HINTS_MOST);
        let (stops, stops_asked) = mpsc::channel(HINTS_MOST);
        let (yields, yields_asked) = mpsc::channel(HINTS_MOST);
        let (failures, failed) = mpsc::channel(HINTS_MOST);
        let core = Arc::new(Core {
            installation: store.installation().await?.to_string(),
            leases: leases::Leases::start(store.clone(), &config, tasks, stop.clone()),
            caches: caches::Caches::new(store.clone()),
            progress: progress::Progresses::default(),
            tally: Tally::default(),
            store,
            config,
            sessions: Sessions::default(),
            backlog: Backlog::default(),
            key,
            changes: changes::Changes::default(),
            beat_micros: AtomicI64::new(0),
            folder_micros: AtomicI64::new(0),
            is_strained: AtomicBool::new(false),
            timers: Notify::new(),
            claims: Notify::new(),
            notices: Notify::new(),
            failures,
            starts,
            stops,
            yields,
        });
        let reports = lanes::start(core.clone(), tasks, stop.clone());
        let creations = creation::start(core.clone(), tasks, stop.clone());
        let asked =
            loops::Asked { starts: starts_asked, stops: stops_asked, yields: yields_asked, failed };
        Ok((Self { core, reports, creations }, asked))
    }

    /// Pauses a DAG or lets it go on, at once; false if there is none. What runs goes on, and nothing comes
    /// after it until the DAG does.
    pub async fn dag_pause(&self, dag_id: &DagId, paused: bool) -> anyhow::Result<bool> {
        let Some(dag) = self.core.store.dag_pause(dag_id, paused).await? else { return Ok(false) };
        // Everybody, this server among them: a command that ends makes no run.
        let news = if paused { News::Yields(dag) } else { News::Starts(dag) };
        self.core.tell(vec![news]).await;
        Ok(true)
    }

    /// Tells of every run that changes through this server. A receiver that lags is told so by the
    /// channel, and looks at everything it shows.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<RunKey> {
        self.core.changes.all()
    }

    /// Tells of every change of one run through this server.
    pub(crate) fn changes_of(&self, run: RunKey) -> watch::Receiver<()> {
        self.core.changes.of(run)
    }

    /// Where ends of tries are handed in.
    #[must_use]
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// When this server's loops last went round with the database answering.
    #[must_use]
    pub fn last_beat(&self) -> Option<DateTime<Utc>> {
        instant(&self.core.beat_micros)
    }

    /// When this server last looked through its folder of DAG files; `None`: it has none.
    #[must_use]
    pub fn folder_beat(&self) -> Option<DateTime<Utc>> {
        instant(&self.core.folder_micros)
    }

    /// Whether something slows the metadata database down: a transaction that is open for long, or
    /// dead rows that vacuum does not take. The log says what.
    #[must_use]
    pub fn is_strained(&self) -> bool {
        self.core.is_strained.load(Ordering::Relaxed)
    }

    /// What a running try last said of how far it is.
    #[must_use]
    pub fn progress(&self, token: i64) -> Option<Progress> {
        self.core.progress.get(token)
    }

    /// What the running try of a task instance last said of how far it is; only of workers that are
    /// connected to this server.
    #[must_use]
    pub fn progress_of(&self, key: InstanceKey) -> Option<Progress> {
        self.progress(self.core.sessions.token_of(key)?)
    }

    /// Makes the runs of schedules that are due at `now`, which tests bring; the loops ask the database.
    pub async fn schedules_look(&self, now: DateTime<Utc>) -> anyhow::Result<()> {
        loops::cron::look(self, Some(now)).await.map(drop)
    }

    /// Lets the workers of a name take no more tries, and end when theirs have ended; returns how many
    /// workers these are.
    pub async fn worker_drain(&self, worker: &str) -> anyhow::Result<usize> {
        let sessions = self.core.store.worker_drain(worker).await?;
        self.core.tell(sessions.iter().copied().map(News::Drains).collect()).await;
        Ok(sessions.len())
    }

    /// What its transactions share.
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Looks at timers now: something may be due earlier than was known.
    pub fn timers_wake(&self) {
        self.core.timers.notify_one();
    }
}

impl Core {
    /// Says that a run changed.
    pub(crate) fn changed(&self, run: RunKey) {
        self.changes.tell(run);
    }

    /// Remembers how far a try is.
    pub(crate) fn progress(&self, progress: subak_proto::Progress) {
        if let Some(try_) = progress.r#try {
            self.progress.put(try_.token, progress.rows, progress.bytes, progress.note);
            self.changed(RunKey(try_.run));
        }
    }

    /// Waits until this server has left word of an end that people are told of.
    pub(crate) async fn notices_left(&self) {
        self.notices.notified().await;
    }

    /// Ready work may be waiting, or slots became free: claims.
    pub(crate) fn claims_wake(&self) {
        self.claims.notify_one();
    }

    /// Fills free slots of `queue` with ready tasks. `generation` is the backlog's, if it was raised.
    /// The slots are among `taken` then.
    async fn claim<'c>(
        &'c self,
        tx: &mut EngineTx<'_>,
        queue: &str,
        generation: Option<u64>,
        most: usize,
        taken: &mut Slots<'c>,
    ) -> anyhow::Result<Vec<HandedOver>> {
        let mut free = Slots::new(&self.sessions);
        while free.len() < most && free.take(queue).is_some() {}
        if free.len() == 0 {
            return Ok(Vec::new());
        }
        let claimed = tx.tasks_claim(queue, &free.sessions()).await?;
        let was_short = claimed.len() < free.len();
        // Rows take the sessions in order; those behind them stay free.
        taken.take_first(claimed.len(), free);
        if was_short && let Some(generation) = generation {
            self.backlog.lower(queue, generation);
        }
        Ok(claimed)
    }

    /// Settles the work, commits it, and does what follows.
    async fn commit(&self, mut tx: EngineTx<'_>, mut work: work::Work<'_>) -> anyhow::Result<()> {
        self.within(async {
            work.settle(&mut tx).await?;
            Ok(tx.commit().await?)
        })
        .await?;
        self.committed(work.into_after()).await;
        Ok(())
    }

    /// Sends committed hand-overs; while the database does not answer, again and again for a while.
    /// What is not sent even then, the worker's heartbeat finds missing.
    async fn assign_surely(&self, handed: &[HandedOver]) {
        const ROUNDS: u32 = 6;
        for round in 0..ROUNDS {
            let Err(error) = self.within(self.assign(handed)).await else { return };
            tracing::warn!(error = format!("{error:#}"), round, "hand-overs could not be sent");
            tokio::time::sleep(Duration::from_millis(100) * 2_u32.pow(round)).await;
        }
    }

    /// What follows a commit: hand-overs are sent, and whoever waits is woken.
    async fn committed(&self, after: work::After) {
        self.tally.ended(after.ends);
        self.tally.handed_over(&after.handed);
        self.sessions.hold(&after.handed);
        self.assign_surely(&after.handed).await;
        for queue in &after.backlog {
            self.backlog.raise(queue);
        }
        if !after.backlog.is_empty() {
            self.claims_wake();
        }
        for (run, fences) in &after.stops {
            self.stop_everywhere(*run, fences, "fail_fast").await;
        }
        self.hand_on(&after).await;
        for dag in after.dags_waiting {
            let _ = self.starts.try_send(dag);
        }
        if after.timer {
            self.timers.notify_one();
        }
        if after.notices {
            self.notices.notify_one();
        }
        self.trace(after.ended);
        for run in after.changed {
            self.changed(run);
        }
    }
}

/// The instant that a loop has left behind; none yet: 0.
fn instant(micros: &AtomicI64) -> Option<DateTime<Utc>> {
    let micros = micros.load(Ordering::Relaxed);
    DateTime::from_timestamp_micros(micros).filter(|_| micros > 0)
}
