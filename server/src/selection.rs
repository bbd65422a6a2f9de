//! Tasks of runs by how they hang together: those above and below, and the same in other runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use subak_core::ids::{TaskId, TaskNo};
use subak_store::read::{RunRecord, VersionRecord};
use subak_store::{Store, StoreError};

/// Other runs that one request may reach.
const RUNS_MOST: i64 = 1_000;

/// What is meant beside the tasks that somebody names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scope {
    /// All that come before them.
    pub upstream: bool,
    /// All that come after them.
    pub downstream: bool,
    /// The same tasks in runs of earlier logical dates.
    pub past: bool,
    /// And in those of later ones.
    pub future: bool,
}

/// Tasks of one run.
#[derive(Debug, Clone)]
pub struct Selected {
    pub run: RunRecord,
    pub version: Arc<VersionRecord>,
    /// In the order of the version.
    pub tasks: Vec<TaskNo>,
}

/// Why nothing could be selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    #[error("the run has no task `{0}`")]
    NoTask(String),
    #[error("the run has no logical date: none is earlier or later")]
    NoDate,
    #[error("more than {RUNS_MOST} other runs would be changed: do it in parts")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Selects tasks of a run (`None`: all), and what the scope adds. The run itself comes first.
pub async fn select(
    store: &Store,
    run: &RunRecord,
    named: Option<&[TaskId]>,
    scope: Scope,
) -> Result<Vec<Selected>, SelectError> {
    let mut versions = BTreeMap::new();
    let own = version(store, run, &mut versions).await?;
    let chosen = chosen(&own, named, scope)?;
    let mut runs = vec![run.clone()];
    if scope.past || scope.future {
        if run.logical_date.is_none() {
            return Err(SelectError::NoDate);
        }
        let most = RUNS_MOST + 1;
        runs.extend(store.runs_around(run, scope.past, scope.future, most).await?);
        if runs.len() > usize::try_from(most).unwrap_or(usize::MAX) {
            return Err(SelectError::TooMany);
        }
    }
    let mut all = Vec::new();
    for run in runs {
        let version = version(store, &run, &mut versions).await?;
        let tasks = version.model.tasks.iter().filter(|task| chosen.contains(&task.task_id));
        let number = |id: &TaskId| version.numbers.get(id).copied().map(TaskNo);
        let tasks = tasks.filter_map(|task| number(&task.task_id)).collect();
        all.push(Selected { run, version, tasks });
    }
    Ok(all)
}

async fn version(
    store: &Store,
    run: &RunRecord,
    known: &mut BTreeMap<i32, Arc<VersionRecord>>,
) -> Result<Arc<VersionRecord>, StoreError> {
    if let Some(version) = known.get(&run.version) {
        return Ok(version.clone());
    }
    let found = store.version_get(run.dag, run.version).await?;
    let version = Arc::new(found.ok_or_else(|| StoreError::Corrupt {
        what: format!("version {} of DAG `{}`", run.version, run.dag_id),
        source: serde::de::Error::custom("there is no such row"),
    })?);
    known.insert(run.version, version.clone());
    Ok(version)
}

fn chosen(
    version: &VersionRecord,
    named: Option<&[TaskId]>,
    scope: Scope,
) -> Result<BTreeSet<TaskId>, SelectError> {
    let Some(named) = named else {
        return Ok(version.model.tasks.iter().map(|task| task.task_id.clone()).collect());
    };
    if let Some(unknown) = named.iter().find(|id| version.model.task(id).is_none()) {
        return Err(SelectError::NoTask(unknown.0.clone()));
    }
    let mut chosen: BTreeSet<TaskId> = named.iter().cloned().collect();
    if scope.downstream {
        chosen.extend(with_downstream(version, named));
    }
    if scope.upstream {
        chosen.extend(with_upstream(version, named));
    }
    Ok(chosen)
}

/// Returns the tasks of `named` and all that come after them.
pub(crate) fn with_downstream(version: &VersionRecord, named: &[TaskId]) -> BTreeSet<TaskId> {
    let mut chosen: BTreeSet<TaskId> = named.iter().cloned().collect();
    // Topological order: whatever is upstream was looked at before.
    for task in &version.model.tasks {
        if task.upstream.iter().any(|up| chosen.contains(up)) {
            chosen.insert(task.task_id.clone());
        }
    }
    chosen
}

/// Returns the tasks of `named` and all that come before them.
pub(crate) fn with_upstream(version: &VersionRecord, named: &[TaskId]) -> BTreeSet<TaskId> {
    let mut chosen: BTreeSet<TaskId> = named.iter().cloned().collect();
    for task in version.model.tasks.iter().rev() {
        if chosen.contains(&task.task_id) {
            chosen.extend(task.upstream.iter().cloned());
        }
    }
    chosen
}
