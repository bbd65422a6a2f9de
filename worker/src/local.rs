//! Runs single tries in this process, without any server: what `dags test` does.
//!
//! The same operators, templates, limits and masks as in production; only log, state and dead
//! letters stay here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use serde_json::Value;
use subak_core::dag::model::Task;
use subak_core::template::RunContext;
use subak_core::variable::{is_secret, secret_parts};
use subak_task::{
    BadRow, DatasetRef, DatasetStats, DeadLetterSink, FileAccess, Pipeline, ProgressSink,
    StateStore, TaskContext, TaskError, TaskIdentity, Uncounted,
};
use tokio_util::sync::CancellationToken;

pub use subak_task::Connection;

use crate::config::Config;
use crate::host::{Host, Place};
use crate::keeper::Keeper;
use crate::local_ranges::LocalRanges;
use crate::log::{Chunk, Patterns, Shipper, TryLog};
use crate::registry::Registry;
use crate::tries::{self, End, PreparedTask, StopCause, StopOrder, Try};

/// Runs tries one by one or side by side. State is kept as long as the runner.
pub struct LocalRunner {
    host: Host,
    run_uuid: String,
    state: Arc<Shelf>,
    ranges: Arc<LocalRanges>,
    next: AtomicI64,
    /// Ends what runs when this process dies.
    _keeper: Arc<Keeper>,
}

/// One try.
pub struct LocalTry {
    pub task: Task,
    pub context: RunContext,
    pub connections: BTreeMap<String, Connection>,
}

/// The word to end a try, for its caller to give.
#[derive(Debug, Clone, Default)]
pub struct LocalStop {
    token: CancellationToken,
    cause: Arc<OnceLock<&'static str>>,
}

/// How a local try ended.
#[derive(Debug)]
pub struct LocalEnd {
    pub outcome: LocalOutcome,
    /// One line, secrets masked; empty on success.
    pub error: String,
    pub exit_code: Option<i32>,
    /// The XCom `return_value`.
    pub value: Option<Value>,
    /// The task's dataset, as templates see it (`tasks.<id>.output`).
    pub dataset: Option<(DatasetRef, DatasetStats)>,
    pub rows_rejected: u64,
    pub dead_letters: Vec<BadRow>,
    pub took: Duration,
}

/// The outcome of a local try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalOutcome {
    Success,
    /// Another try may succeed.
    Failed,
    FailedPermanently,
    Skipped,
    /// By the caller's word.
    Stopped,
}

impl LocalStop {
    /// Gives it; `cause` is shown: `cancelled`, `dagrun_timeout`, …. The first one counts.
    pub fn give(&self, cause: &'static str) {
        let _ = self.cause.set(cause);
        self.token.cancel();
    }

    async fn given(&self) -> &'static str {
        self.token.cancelled().await;
        self.cause.get().copied().unwrap_or("cancelled")
    }
}

impl LocalEnd {
    /// The end of a try that can't begin.
    #[must_use]
    pub fn refused(why: String) -> Self {
        Self {
            outcome: LocalOutcome::FailedPermanently,
            error: why,
            exit_code: None,
            value: None,
            dataset: None,
            rows_rejected: 0,
            dead_letters: Vec::new(),
            took: Duration::ZERO,
        }
    }
}

impl LocalRunner {
    /// A runner that keeps datasets and private folders under `folder`; `keeper` is the command of
    /// [`crate::keeper::main`].
    pub fn new(folder: PathBuf, keeper: Vec<OsString>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let config = Config::new("local", Vec::new(), std::path::absolute(folder)?);
        let keeper = Arc::new(Keeper::start(keeper, None)?);
        let registry = Registry::built_in(config.grace);
        let processes = Arc::clone(&keeper) as _;
        let host =
            Host::new(&config, registry, subak_tasks_data::reader(), processes, keeper.mark())?;
        let run_uuid = uuid::Uuid::new_v4().to_string();
        Ok(Self {
            host,
            run_uuid,
            state: Arc::default(),
            ranges: Arc::default(),
            next: AtomicI64::new(1),
            _keeper: keeper,
        })
    }

    /// Runs one try. `line` is called with each line of its log, `progress` with what it says of
    /// its progress: rows, bytes, a few words.
    pub async fn run(
        &self,
        this: LocalTry,
        line: impl Fn(&str) + Send + Sync + 'static,
        progress: impl Fn(u64, u64, &str) + Send + Sync + 'static,
        stop: &LocalStop,
    ) -> LocalEnd {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let variables = this.context.variables.iter();
        let hidden: Vec<String> = variables
            .filter(|(key, _)| is_secret(key))
            .flat_map(|(_, value)| secret_parts(value))
            .collect();
        let secrets = this.connections.values().flat_map(Connection::secrets);
        let patterns = Patterns::new(secrets.chain(hidden.iter().map(String::as_str)));
        let printer = Arc::new(Printer { line: Box::new(line) });
        let log = TryLog::new(token, patterns, Arc::clone(&printer) as _, false);
        let letters = Arc::new(Letters::default());
        let task_id = this.task.task_id.to_string();
        let state = TaskShelf { shelf: Arc::clone(&self.state), task_id: task_id.clone() };
        let order = Arc::new(StopOrder::default());
        let identity = self.identity(&this.context, &task_id);
        let today =
            DateTime::from_timestamp_micros(self.host.clock.now_micros()).unwrap_or_default();
        let storage = self.host.storage(&identity, today.date_naive(), token);
        let pipeline = Arc::new(Pipeline {
            sinks: this.task.sinks.clone(),
            ranges: Arc::clone(&self.ranges) as _,
            ledgers: Arc::clone(&self.host.ledgers),
            is_replay: false,
        });
        let ctx = TaskContext {
            identity: Arc::new(identity),
            cancel: order.token.clone(),
            yields: stop.token.clone(),
            is_continuous: this.task.continuous,
            slot: Arc::new(Uncounted),
            log: Arc::clone(&log) as _,
            progress: Arc::new(Progress { show: Box::new(progress) }),
            state: Arc::new(state),
            dead_letters: Arc::clone(&letters) as _,
            datasets: Arc::clone(&self.host.datasets),
            topics: Arc::clone(&self.host.topics),
            processes: Arc::clone(&self.host.processes),
            connections: Arc::new(this.connections),
            // The caller's own account, at the caller's own terminal.
            files: Arc::new(FileAccess::everywhere()),
            scratch: self.host.scratch(token),
            storage,
            counts: Arc::default(),
            pipeline,
            memory_bytes: self.host.memory_per_try,
            env: Arc::new(self.environment(&this.context, &task_id)),
        };
        let timeout = this.task.execution_timeout;
        let this = Try {
            task: Arc::new(PreparedTask::new(this.task, &self.host.registry)),
            ctx,
            log,
            templates: Some(this.context),
            rendered: OnceLock::new(),
            timeout,
            stop: order,
            grace: self.host.grace,
            clock: self.host.clock,
        };
        let ended = {
            let stopped = async {
                let cause = stop.given().await;
                this.stop.give(StopCause::Server(cause.to_owned()), None);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                ended = tries::run_in_scratch(&this) => ended,
                () = stopped => unreachable!("it waits for ever"),
            }
        };
        if let (_, Some(last)) = this.log.finish() {
            printer.ship(token, last);
        }
        end(ended, letters)
    }

    fn identity(&self, context: &RunContext, task_id: &str) -> TaskIdentity {
        TaskIdentity {
            installation: "local".to_owned(),
            dag_id: context.dag_id.clone(),
            run_id: context.run_id.clone(),
            run_uuid: self.run_uuid.clone(),
            task_id: task_id.to_owned(),
            map_index: context.map_index,
            try_number: context.try_number,
            resets: 0,
            load_again: false,
        }
    }

    fn environment(&self, context: &RunContext, task_id: &str) -> BTreeMap<String, String> {
        self.host.environment(&Place {
            dag_id: &context.dag_id,
            run_id: &context.run_id,
            run_type: &context.run_type,
            task_id,
            try_number: context.try_number,
            map_index: context.map_index,
            logical_date: context.logical_date,
            data_interval_start: context.data_interval_start,
            data_interval_end: context.data_interval_end,
            ids: None,
        })
    }
}

fn end(ended: tries::Ended, letters: Arc<Letters>) -> LocalEnd {
    let micros = (ended.ended_micros - ended.started_micros).max(0).unsigned_abs();
    let mut end = LocalEnd {
        outcome: LocalOutcome::Success,
        error: ended.error,
        exit_code: ended.exit_code,
        value: None,
        dataset: None,
        rows_rejected: 0,
        dead_letters: std::mem::take(
            &mut letters.rows.lock().unwrap_or_else(PoisonError::into_inner),
        ),
        took: Duration::from_micros(micros),
    };
    end.outcome = match ended.end {
        End::Success(output) => {
            end.value = output.value;
            end.dataset = output.dataset;
            end.rows_rejected = output.rows_rejected;
            LocalOutcome::Success
        }
        End::Failed => LocalOutcome::Failed,
        End::FailedPermanently => LocalOutcome::FailedPermanently,
        End::Skipped => LocalOutcome::Skipped,
        End::Stopped | End::WorkerLost => LocalOutcome::Stopped,
    };
    end
}

/// Hands each line over.
struct Printer {
    line: Box<dyn Fn(&str) + Send + Sync>,
}

impl Shipper for Printer {
    fn ship(&self, _token: i64, chunk: Chunk) {
        String::from_utf8_lossy(&chunk.text).lines().for_each(|line| (self.line)(line));
    }

    fn flush_soon(&self, log: Weak<TryLog>) {
        // Not here and now: the log is locked.
        tokio::spawn(async move {
            if let Some(log) = log.upgrade() {
                log.flush();
                log.kept(u64::MAX);
            }
        });
    }
}

struct Progress {
    show: Box<ShowProgress>,
}

type ShowProgress = dyn Fn(u64, u64, &str) + Send + Sync;

impl ProgressSink for Progress {
    fn progress(&self, rows: u64, bytes: u64, note: &str) {
        (self.show)(rows, bytes, note);
    }
}

/// Rejected records, kept for the end.
#[derive(Default)]
struct Letters {
    rows: Mutex<Vec<BadRow>>,
}

#[async_trait]
impl DeadLetterSink for Letters {
    async fn send(&self, rows: Vec<BadRow>) -> Result<(), TaskError> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
        Ok(())
    }
}

/// The state of all tasks: (task id, key) to value.
type Shelf = Mutex<BTreeMap<(String, String), Value>>;

/// The state of one task.
struct TaskShelf {
    shelf: Arc<Shelf>,
    task_id: String,
}

impl TaskShelf {
    fn with<T>(
        &self,
        key: &str,
        change: impl FnOnce(&mut BTreeMap<(String, String), Value>, (String, String)) -> T,
    ) -> T {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut shelf, (self.task_id.clone(), key.to_owned()))
    }
}

#[async_trait]
impl StateStore for TaskShelf {
    async fn get(&self, key: &str) -> Result<Option<Value>, TaskError> {
        Ok(self.with(key, |shelf, key| shelf.get(&key).cloned()))
    }

    async fn put(&self, key: &str, value: &Value) -> Result<(), TaskError> {
        self.with(key, |shelf, key| shelf.insert(key, value.clone()));
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), TaskError> {
        self.with(key, |shelf, key| shelf.remove(&key));
        Ok(())
    }
}
