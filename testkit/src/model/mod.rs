//! A naive model of a run: what the engine should do, worked out the slow way.
//!
//! It keeps one status a task and, at every look, judges each task that has none from the statuses
//! of *all* its direct upstreams, by the table in `table`. No counters, no deltas, no queues, and
//! no code of `subak_core::decide`: what the two agree on, they found separately.

mod flow;
mod run;
mod table;

pub use run::ModelRun;
pub use table::{Judgement, acceptable, judge};

use subak_core::dag::model::Dag;

/// A DAG as the model knows it.
#[derive(Debug, Clone, Default)]
pub struct ModelDag {
    pub tasks: Vec<ModelTask>,
    pub fail_fast: bool,
}

/// A task; upstreams are places in [`ModelDag::tasks`].
#[derive(Debug, Clone)]
pub struct ModelTask {
    pub id: String,
    pub upstream: Vec<usize>,
    /// Airflow's spelling.
    pub rule: String,
    pub retries: u32,
    pub says: ModelSays,
    pub setup: bool,
    /// Of a teardown: whether the run fails if it does.
    pub teardown: Option<bool>,
}

/// What a task's success does to the tasks below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ModelSays {
    #[default]
    Nothing,
    /// Only these and what is below them go on, of the tasks right below.
    Follow(Vec<usize>),
    /// Nothing below goes on; or nothing right below.
    Stop { everything: bool },
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    Success,
    Failed,
    Skipped,
    UpstreamFailed,
}

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TryEnd {
    Success,
    Skipped,
    /// Tried again while tries are left.
    Failed,
    /// Not tried again.
    FailedForGood,
    /// Not the task's fault: it costs no retry, three times, and is tried again at once.
    WorkerLost,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Waits for upstreams.
    None,
    /// Its rule let it run: it is held back, ready or running.
    Started,
    /// Waits for its next try.
    Retry,
    /// Cleared while it was started.
    Restarting,
    Ended(End),
}

impl End {
    /// Airflow's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::UpstreamFailed => "upstream_failed",
        }
    }

    /// Returns the end of this spelling, unless it is none of these.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Success, Self::Failed, Self::Skipped, Self::UpstreamFailed]
            .into_iter()
            .find(|end| end.as_str() == text)
    }
}

impl Status {
    /// The end, if it has come.
    #[must_use]
    pub fn end(self) -> Option<End> {
        match self {
            Self::Ended(end) => Some(end),
            _ => None,
        }
    }
}

impl From<&Dag> for ModelDag {
    fn from(dag: &Dag) -> Self {
        let place = |id| {
            let found = dag.tasks.iter().position(|task| task.task_id == id);
            found.expect("every upstream of a validated DAG is one of its tasks")
        };
        let tasks = dag.tasks.iter().map(|task| ModelTask {
            id: task.task_id.to_string(),
            upstream: task.upstream.iter().map(|id| place(id.clone())).collect(),
            rule: spell(&task.trigger_rule),
            retries: task.retries,
            says: ModelSays::Nothing,
            setup: task.setup,
            teardown: task.teardown.as_ref().map(|teardown| teardown.on_failure_fail_dagrun),
        });
        Self { tasks: tasks.collect(), fail_fast: dag.fail_fast }
    }
}

/// The rule as the canonical form of a DAG spells it.
fn spell(rule: &impl serde::Serialize) -> String {
    let text = serde_json::to_value(rule).expect("a rule is a word");
    text.as_str().expect("a rule is a word").to_owned()
}
