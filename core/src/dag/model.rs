//! The DAG as the engine knows it: validated, defaults applied, edges complete.
//!
//! Its serialised form is canonical (maps sorted, comments and order gone, but for the order of params): the
//! hash of it is the version. It knows nothing of YAML; `dag::parse` makes it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use super::assets::Asset;
pub use super::notices::{Notice, Notices};
pub use super::retry::{ErrorClass, RetryRule};
use crate::decide::TriggerRule;
use crate::ids::{DagId, TaskId};
use crate::operators::data::OnSkip;

/// One DAG of one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dag {
    pub dag_id: DagId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_md: Option<String>,
    /// `None`: only triggered by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// On whose clocks the schedule's wall-clock times are.
    #[serde(default = "utc", skip_serializing_if = "is_utc")]
    pub timezone: Tz,
    #[serde(default, skip_serializing_if = "DataInterval::is_point")]
    pub data_interval: DataInterval,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_date: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<DateTime<Utc>>,
    pub catchup: bool,
    pub max_active_runs: u32,
    #[serde(default, skip_serializing_if = "OnOverlap::is_queue")]
    pub on_overlap: OnOverlap,
    /// Tasks of one run that may be ready or running at once.
    pub max_active_tasks: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dagrun_timeout: Option<Duration>,
    /// A task that fails stops all others but teardowns.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fail_fast: bool,
    /// After this many failed runs in a row it is paused; 0: never.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_consecutive_failed_dag_runs: u32,
    pub is_paused_upon_creation: bool,
    /// Who is told of the ends of runs.
    #[serde(default, skip_serializing_if = "Notices::is_empty")]
    pub notices: Notices,
    pub tags: Vec<String>,
    pub params: BTreeMap<String, Param>,
    /// Their names in the file's order, unless that is the alphabet's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub param_order: Vec<String>,
    /// Groups of tasks by their full id, outer groups before the dot.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub task_groups: BTreeMap<String, TaskGroup>,
    /// The file says a weight or a rule, though every task has what it would have without: see
    /// [`Dag::weighs`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub says_weights: bool,
    /// In topological order, ties in the file's order; ids are unique.
    pub tasks: Vec<Task>,
}

/// Tasks that are shown, and perhaps mapped, together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskGroup {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tooltip: Option<String>,
    /// What the whole group is mapped over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expand: Option<Expand>,
}

/// What a task, or a group of tasks, is mapped over: one instance for each combination of items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Expand {
    /// By name, in the file's order: the last one's items change fastest.
    pub arguments: Vec<(String, Source)>,
}

/// Something with items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A list, or a map whose items are pairs of key and value.
    Literal(Value),
    /// A list or map that a task hands on under this key.
    Task { task_id: TaskId, key: String },
    /// One item of each at a time, as a list.
    Zip {
        of: Vec<Source>,
        /// Goes on to the end of the longest, with this for what is missing.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            deserialize_with = "null_is_a_value"
        )]
        fill: Option<Value>,
    },
}

/// What is there is a value, null too.
fn null_is_a_value<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Source {
    /// The tasks whose results it needs.
    pub fn tasks(&self) -> Vec<&TaskId> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Task { task_id, .. } => vec![task_id],
            Self::Zip { of, .. } => of.iter().flat_map(Self::tasks).collect(),
        }
    }
}

impl Expand {
    /// The tasks whose results it needs.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskId> {
        self.arguments.iter().flat_map(|(_, source)| source.tasks())
    }
}

/// When runs start by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// A cron expression of five fields, or a preset resolved to one.
    Cron(String),
    /// Whenever one of several fires.
    Crons(Vec<String>),
    /// At `start_date` and then always after this time.
    Every(Duration),
    /// At these instants, ascending.
    Dates(Vec<DateTime<Utc>>),
    /// One run.
    Once,
    /// The next run as soon as the last one has ended.
    Continuous,
}

/// Which data a scheduled run is about.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DataInterval {
    /// The instant of the schedule at which it runs.
    #[default]
    Point,
    /// The time since the schedule's instant before, whose date it carries.
    Previous,
}

/// What becomes of a run that is due while `max_active_runs` are active.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OnOverlap {
    /// It waits until one of them has ended; without `catchup` only the most recent one does.
    #[default]
    Queue,
    /// It is left out.
    Skip,
    /// The oldest of them are cancelled for it.
    CancelRunning,
}

fn utc() -> Tz {
    Tz::UTC
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_utc(zone: &Tz) -> bool {
    *zone == Tz::UTC
}

impl DataInterval {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    fn is_point(&self) -> bool {
        *self == Self::Point
    }
}

impl OnOverlap {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    fn is_queue(&self) -> bool {
        *self == Self::Queue
    }
}

/// A value that a run may be triggered with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// JSON Schema of the value; `{}` allows anything.
    pub schema: Value,
    /// Absent: the trigger must give it. Null is a default, too.
    #[serde(
        default,
        deserialize_with = "super::params::given",
        skip_serializing_if = "Option::is_none"
    )]
    pub default: Option<Value>,
}

/// One task of a DAG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub task_id: TaskId,
    /// The operator's name in a DAG file: `bash`, `csv.read`, …
    pub operator: String,
    /// The operator's arguments as written, templates unrendered.
    pub with: Value,
    /// Direct upstream tasks: `depends_on` and typed references together, sorted.
    pub upstream: Vec<TaskId>,
    pub trigger_rule: TriggerRule,
    pub retries: u32,
    pub retry_delay: Duration,
    pub retry_exponential_backoff: bool,
    /// How many times as long each delay is as the one before, if that is said: twice otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_backoff_factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retry_delay: Option<Duration>,
    /// Share of the delay drawn at random on top of it, 0 to 1.
    pub retry_jitter: f64,
    /// What becomes of failures of one class or exit code; the first rule that fits decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retry_policy: Vec<RetryRule>,
    /// Who is told of its ends.
    #[serde(default, skip_serializing_if = "Notices::is_empty")]
    pub notices: Notices,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_timeout: Option<Duration>,
    pub queue: String,
    pub pool: String,
    pub pool_slots: u32,
    /// Instances that are ready or run at once, in all runs together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_active_tis_per_dag: Option<u32>,
    /// The same in one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_active_tis_per_dagrun: Option<u32>,
    pub priority_weight: i32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub weight_rule: WeightRule,
    pub owner: String,
    pub do_xcom_push: bool,
    /// Connections that the task names; it is handed these and no others.
    pub connections: Vec<String>,
    /// The loads that a topic's records end in, of a task that reads one: their ledgers say how far it
    /// is. It is handed their connections, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<Sink>,
    /// Others are mapped over the rows of its dataset: these are what it returns.
    #[serde(default, skip_serializing_if = "is_default")]
    pub returns_rows: bool,
    /// It makes what others need: they run only if it succeeds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub setup: bool,
    /// It puts away what its setups made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teardown: Option<Teardown>,
    /// One expression: unless it is true when the task is to start, it is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// It waits until it has succeeded, or was skipped, in the run before.
    #[serde(default, skip_serializing_if = "is_default")]
    pub depends_on_past: bool,
    /// It also waits for the tasks right below it in the run before.
    #[serde(default, skip_serializing_if = "is_default")]
    pub wait_for_downstream: bool,
    /// It runs all the same if no run before had it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignore_first_depends_on_past: bool,
    /// The full id of the innermost group that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expand: Option<Expand>,
    /// It may wait for as long as it takes, for records or for its stop: the DAG is `@continuous`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub continuous: bool,
    /// A template that names each instance of a mapped task, instead of its index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_index_template: Option<String>,
    /// Assets that it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inlets: Vec<Asset>,
    /// Assets that it makes: each success of it is an event of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outlets: Vec<Asset>,
}

/// A load that keeps a ledger of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    pub task_id: String,
    /// Where its ledger is.
    pub connection: String,
    /// What becomes of a range that it was skipped for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_skip: OnSkip,
}

/// The queue of tasks that name none.
pub const DEFAULT_QUEUE: &str = "default";

/// The queue of tasks without an end that name none: they take nobody else's slots.
pub const FEEDS: &str = "feeds";

/// The pool of tasks that name none.
pub const DEFAULT_POOL: &str = "default_pool";

/// The weight of tasks that have none.
const DEFAULT_WEIGHT: i32 = 1;

/// Between a DAG's id and a task's in the name of a pool of one task: no name that people give has it.
const OWN_POOL: char = '\u{1f}';

/// Whose weights are added to a task's own.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum WeightRule {
    /// Those of all tasks below it.
    #[default]
    Downstream,
    /// Those of all tasks above it.
    Upstream,
    /// Nobody's.
    Absolute,
}

/// What is special about a teardown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teardown {
    /// Whether the run fails if it does.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_failure_fail_dagrun: bool,
}

/// Left out of the canonical form: a key that is not given makes no new version.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Task {
    /// A task without upstreams, all else as Airflow has it by default.
    #[must_use]
    pub fn new(task_id: &str, operator: &str) -> Self {
        Self {
            task_id: task_id.into(),
            operator: operator.to_owned(),
            with: Value::Object(serde_json::Map::new()),
            upstream: Vec::new(),
            trigger_rule: TriggerRule::AllSuccess,
            retries: 0,
            retry_delay: Duration::from_secs(300),
            retry_exponential_backoff: false,
            retry_backoff_factor: None,
            max_retry_delay: None,
            retry_jitter: 0.0,
            retry_policy: Vec::new(),
            notices: Notices::default(),
            execution_timeout: None,
            queue: DEFAULT_QUEUE.to_owned(),
            pool: DEFAULT_POOL.to_owned(),
            pool_slots: 1,
            max_active_tis_per_dag: None,
            max_active_tis_per_dagrun: None,
            priority_weight: DEFAULT_WEIGHT,
            weight_rule: WeightRule::default(),
            owner: "airflow".to_owned(),
            do_xcom_push: true,
            connections: Vec::new(),
            sinks: Vec::new(),
            returns_rows: false,
            setup: false,
            teardown: None,
            when: None,
            depends_on_past: false,
            wait_for_downstream: false,
            ignore_first_depends_on_past: false,
            task_group: None,
            expand: None,
            continuous: false,
            map_index_template: None,
            inlets: Vec::new(),
            outlets: Vec::new(),
        }
    }

    /// How many times as long each delay before a try is as the one before; 1: all are alike.
    #[must_use]
    pub fn backoff_factor(&self) -> f64 {
        if self.retry_exponential_backoff { self.retry_backoff_factor.unwrap_or(2.0) } else { 1.0 }
    }

    /// Whether it has a weight or a rule that somebody must have written.
    #[must_use]
    pub fn says_weight(&self) -> bool {
        self.priority_weight != DEFAULT_WEIGHT || self.weight_rule != WeightRule::default()
    }

    /// The pool whose slots its instances take; `None`: `default_pool`, which has no limit. Outside of
    /// other pools a limit of its own (`max_active_tis_per_dag`) is the pool.
    #[must_use]
    pub fn taken_pool(&self, dag: &DagId) -> Option<String> {
        match self.pool == DEFAULT_POOL {
            true => self.own_pool(dag),
            false => Some(self.pool.clone()),
        }
    }

    /// How many slots of it an instance takes.
    #[must_use]
    pub fn taken_slots(&self) -> u32 {
        let is_own = self.pool == DEFAULT_POOL && self.max_active_tis_per_dag.is_some();
        if is_own { 1 } else { self.pool_slots }
    }

    /// The pool that a limit of its own makes: nobody else is in it, and each instance takes one slot.
    #[must_use]
    pub fn own_pool(&self, dag: &DagId) -> Option<String> {
        let limit = self.max_active_tis_per_dag;
        limit.map(|_| format!("{dag}{OWN_POOL}{}", self.task_id))
    }

    /// The same, of a task that takes slots of another pool as well.
    #[must_use]
    pub fn own_pool_beside(&self, dag: &DagId) -> Option<String> {
        self.own_pool(dag).filter(|_| self.pool != DEFAULT_POOL)
    }
}

/// The most characters that a pool's name has, as in Airflow.
pub const POOL_NAME_MOST: usize = 256;

/// Whether a pool may have this name, in a DAG file and where it is made.
#[must_use]
pub fn is_pool_name(name: &str) -> bool {
    let length = name.chars().count();
    (1..=POOL_NAME_MOST).contains(&length) && !name.contains(char::is_control)
}

/// Whether a pool of this name is one that a task has to itself.
#[must_use]
pub fn is_own_pool(name: &str) -> bool {
    name.contains(OWN_POOL)
}

impl Dag {
    /// A DAG of these tasks, all else as Airflow has it by default.
    #[must_use]
    pub fn new(dag_id: &str, tasks: Vec<Task>) -> Self {
        Self {
            dag_id: dag_id.into(),
            description: None,
            doc_md: None,
            schedule: None,
            timezone: Tz::UTC,
            data_interval: DataInterval::Point,
            start_date: None,
            end_date: None,
            catchup: false,
            max_active_runs: 16,
            on_overlap: OnOverlap::Queue,
            max_active_tasks: 16,
            dagrun_timeout: None,
            fail_fast: false,
            max_consecutive_failed_dag_runs: 0,
            is_paused_upon_creation: false,
            notices: Notices::default(),
            tags: Vec::new(),
            params: BTreeMap::new(),
            param_order: Vec::new(),
            task_groups: BTreeMap::new(),
            says_weights: false,
            tasks,
        }
    }

    /// Whether its tasks weigh as in Airflow. Those of a DAG whose file says nothing about weights do not:
    /// their order is left to turns.
    #[must_use]
    pub fn weighs(&self) -> bool {
        self.says_weights || self.tasks.iter().any(Task::says_weight)
    }

    /// The params in the file's order, as people see them. Those of versions from before are sorted.
    pub fn params_in_order(&self) -> impl Iterator<Item = (&String, &Param)> {
        let named = self.param_order.iter().filter_map(|name| self.params.get_key_value(name));
        let others = self.params.iter().filter(|(name, _)| !self.param_order.contains(name));
        named.chain(others)
    }

    /// Returns the task of this id.
    #[must_use]
    pub fn task(&self, id: &TaskId) -> Option<&Task> {
        self.tasks.iter().find(|task| task.task_id == *id)
    }
}
