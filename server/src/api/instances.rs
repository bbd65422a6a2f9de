//! Task instances.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use subak_core::dag::model::Task;
use subak_core::ids::{Instance, MapIndex, TaskId, TaskNo};
use subak_core::state::TaskState;
use subak_core::template::has_templates;
use subak_store::read::{
    Bound, Bounded, Edge, InstanceRecord, Rendered, RunFilter, RunRecord, Side, VersionRecord,
};
use uuid::Uuid;

use super::marks::checked;
use super::paging::{List, Listed};
use super::run_lists::existing;
use super::runs::{DagVersionView, derived_id, find, seconds};
use super::{states, time};
use crate::app::App;
use crate::audit::Trail;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::labels::labels;
use crate::problem::{ApiError, FieldProblem};
use crate::selection::{Scope, Selected, select};

/// Runs that one request clears tasks of.
const RUNS_MOST: i64 = 1_000;

/// Runs of which it clears tasks side by side.
const BESIDE: usize = 4;

/// Airflow's `TaskInstanceCollectionResponse`.
pub(super) type Collection = List<View>;

impl Listed for View {
    const PLURAL: &'static str = "task_instances";
}

/// Airflow's `TaskInstanceResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TaskInstanceResponse")]
pub(super) struct View {
    id: Uuid,
    task_id: String,
    dag_id: String,
    dag_run_id: String,
    map_index: i32,
    logical_date: Option<DateTime<Utc>>,
    run_after: DateTime<Utc>,
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
    duration: Option<f64>,
    #[schemars(schema_with = "states::task")]
    state: Option<TaskState>,
    try_number: i32,
    max_tries: u32,
    task_display_name: String,
    dag_display_name: String,
    hostname: Option<String>,
    unixname: Option<String>,
    pool: String,
    pool_slots: u32,
    queue: String,
    priority_weight: i32,
    operator: String,
    operator_name: String,
    queued_when: Option<DateTime<Utc>>,
    scheduled_when: Option<DateTime<Utc>>,
    pid: Option<i32>,
    executor: Option<String>,
    executor_config: String,
    note: Option<String>,
    rendered_map_index: Option<String>,
    rendered_fields: Map<String, Value>,
    trigger: Option<Value>,
    triggerer_job: Option<Value>,
    dag_version: DagVersionView,
    /// Ours: how far a running try is, if its worker is connected to this server and has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressView>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Progress")]
struct ProgressView {
    rows: u64,
    bytes: u64,
    note: String,
}

/// The part of Airflow's `ClearTaskInstancesBody` that is built.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClearBody {
    #[serde(default = "yes")]
    dry_run: bool,
    #[serde(default = "yes")]
    only_failed: bool,
    #[serde(default)]
    only_running: bool,
    #[serde(default = "yes", rename = "reset_dag_runs")]
    _reset_dag_runs: bool,
    #[schemars(length(min = 1))]
    task_ids: Option<Vec<Named>>,
    dag_run_id: Option<String>,
    /// Without a run: those of all runs with a logical date from here.
    #[serde(default, deserialize_with = "time::optional")]
    start_date: Option<DateTime<Utc>>,
    /// To here.
    #[serde(default, deserialize_with = "time::optional")]
    end_date: Option<DateTime<Utc>>,
    #[serde(rename = "run_on_latest_version")]
    on_latest_version: Option<bool>,
    #[serde(default)]
    include_upstream: bool,
    #[serde(default)]
    include_downstream: bool,
    #[serde(default)]
    include_future: bool,
    #[serde(default)]
    include_past: bool,
    /// Nothing is cleared (409) if one of the tasks runs.
    #[serde(default)]
    prevent_running_task: bool,
    note: Option<String>,
    /// Ours: rows that the tasks have appended to tables are to be appended once more.
    #[serde(default)]
    load_again: bool,
}

/// A task, or one instance of a mapped one: `"load"`, `["load", 3]`.
#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "name each task as \"load\", and one instance of a mapped task as [\"load\", 3]"
)]
enum Named {
    Task(String),
    At(String, i32),
}

impl Named {
    fn task(&self) -> TaskId {
        match self {
            Self::Task(id) | Self::At(id, _) => TaskId(id.clone()),
        }
    }
}

fn yes() -> bool {
    true
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct OneQuery {
    pub(super) map_index: Option<i32>,
}

pub(super) async fn get(
    State(app): State<App>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Query(query): Query<OneQuery>,
) -> Result<Json<View>, ApiError> {
    let run = find(&app, &dag_id, &run_id).await?;
    let version = app.versions.of_run(&run).await?;
    let map_index = query.map_index.map_or(MapIndex::NONE, MapIndex);
    let id = TaskId(task_id.clone());
    let found = app.store.instance_one(&run, &version.record, &id, map_index).await?;
    let instance = found.ok_or_else(|| ApiError::no_instance(&task_id, map_index))?;
    let labels = labels(&app, &run, &version.record, std::slice::from_ref(&instance)).await?;
    let progress = app.actions.progress(run.run_key, &instance).map(|it| ProgressView {
        rows: it.rows,
        bytes: it.bytes,
        note: it.note,
    });
    let note = app.store.task_notes(run.run_key).await?.remove(&(instance.task, map_index.0));
    let rendered = app.store.rendered_of(&[instance.key(run.run_key)]).await?.pop_first();
    let view = View::new(&run, &version.record, instance, note)?
        .labelled(&labels)
        .rendered(rendered.map(|(_, with)| with));
    Ok(Json(View { progress, ..view }))
}

/// One instance of a mapped task, its index in the path.
pub(super) async fn get_mapped(
    state: State<App>,
    Path((dag_id, run_id, task_id, map_index)): Path<(String, String, String, i32)>,
) -> Result<Json<View>, ApiError> {
    let query = Query(OneQuery { map_index: Some(map_index) });
    get(state, Path((dag_id, run_id, task_id)), query).await
}

pub(super) async fn clear(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Path(dag_id): Path<String>,
    Json(body): Json<ClearBody>,
) -> Result<Json<Collection>, ApiError> {
    body.check()?;
    let named: Option<Vec<TaskId>> =
        body.task_ids.as_ref().map(|all| all.iter().map(Named::task).collect());
    let mut cleared = Collection::empty();
    let mut selected = Vec::new();
    for run in body.runs(&app, dag_id).await? {
        selected.extend(select(&app.store, &run, named.as_deref(), body.scope()).await?);
    }
    body.refuse_unknown(&app, &selected).await?;
    if body.prevent_running_task && !body.dry_run {
        body.refuse_running(&app, &selected).await?;
    }
    let mut clears = Vec::new();
    for one in &selected {
        clears.push(body.clear(&app, &caller, one));
    }
    // All of them to their end: what follows a clear is not to be cut off.
    let done: Vec<_> = stream::iter(clears).buffered(BESIDE).collect().await;
    for one in done {
        cleared.append(one?);
    }
    if body.dry_run {
        trail.nothing();
    }
    trail.before(recorded(&cleared));
    let mut after = json!({"cleared": cleared.total});
    if let Some(note) = &body.note {
        after["note"] = json!(note);
    }
    trail.after(after);
    Ok(Json(cleared))
}

/// Instances of which the audit log tells how they stand.
const RECORDED_MOST: usize = 100;

/// How instances stand, for the audit log.
pub(super) fn recorded(collection: &Collection) -> Value {
    collection.items.iter().take(RECORDED_MOST).map(state).collect()
}

/// The same with their notes.
pub(super) fn recorded_with_notes(collection: &Collection) -> Value {
    let one = |it: &View| {
        let mut one = state(it);
        one["note"] = json!(it.note);
        one
    };
    collection.items.iter().take(RECORDED_MOST).map(one).collect()
}

fn state(it: &View) -> Value {
    json!({"dag_run_id": it.dag_run_id, "task_id": it.task_id, "map_index": it.map_index,
           "state": it.state})
}

impl ClearBody {
    fn check(&self) -> Result<(), ApiError> {
        let refuse =
            |field: &str, msg: &str| Err(ApiError::Invalid(vec![FieldProblem::body(field, msg)]));
        if self.on_latest_version == Some(true) {
            let msg = "a run keeps its version: start a new run for the latest one";
            return refuse("run_on_latest_version", msg);
        }
        if self.only_failed && self.only_running {
            return refuse("only_running", "cannot hold together with `only_failed`");
        }
        if self.dag_run_id.is_none() && (self.include_past || self.include_future) {
            return refuse("dag_run_id", "is needed for `include_past` and `include_future`");
        }
        let dates = [("start_date", self.start_date), ("end_date", self.end_date)];
        let dated = dates.iter().find(|(_, date)| date.is_some());
        if let (Some(&(field, _)), Some(_)) = (dated, &self.dag_run_id) {
            return refuse(field, "chooses runs, as `dag_run_id` does: leave one of them out");
        }
        if let (Some(start), Some(end)) = (self.start_date, self.end_date)
            && start > end
        {
            return refuse("end_date", "is before `start_date`");
        }
        if self.task_ids.as_ref().is_some_and(Vec::is_empty) {
            return refuse("task_ids", "names no task: leave it out for all tasks");
        }
        self.note.as_deref().map_or(Ok(()), |note| checked(note).map(drop))
    }

    /// The run that is named, or those of the DAG whose logical dates are within the dates.
    async fn runs(&self, app: &App, dag_id: String) -> Result<Vec<RunRecord>, ApiError> {
        if let Some(run_id) = &self.dag_run_id {
            return Ok(vec![find(app, &dag_id, run_id).await?]);
        }
        let dag_id = existing(app, dag_id).await?;
        if dag_id.is_none() {
            return Err(ApiError::BadRequest("name one DAG".to_owned()));
        }
        let edges = [(Side::AtLeast, self.start_date), (Side::AtMost, self.end_date)];
        let bound = |(side, at): (Side, Option<DateTime<Utc>>)| {
            Some(Bound { of: Bounded::LogicalDate, side, at: Edge::Instant(at?) })
        };
        let bounds = edges.into_iter().filter_map(bound).collect();
        let filter = RunFilter { dag_id, bounds, ..RunFilter::default() };
        let runs = app.store.run_list(&filter, RUNS_MOST + 1, 0).await?.items;
        if i64::try_from(runs.len()).unwrap_or(i64::MAX) > RUNS_MOST {
            let why = format!("more than {RUNS_MOST} runs would be cleared: do it in parts");
            return Err(ApiError::Conflict(why));
        }
        Ok(runs)
    }

    /// Refuses an instance that none of the runs has: it would be passed over in silence.
    async fn refuse_unknown(&self, app: &App, selected: &[Selected]) -> Result<(), ApiError> {
        let mut unknown: BTreeSet<(TaskId, i32)> = BTreeSet::new();
        if !selected.is_empty() {
            for (task, indexes) in self.indexes() {
                unknown.extend(indexes.into_iter().map(|index| (task.clone(), index)));
            }
        }
        for one in selected {
            if unknown.is_empty() {
                break;
            }
            let all = app.store.instance_list(&one.run, &one.version).await?;
            let known: BTreeSet<(TaskId, i32)> =
                all.into_iter().map(|it| (it.task_id, it.map_index.0)).collect();
            unknown.retain(|it| !known.contains(it));
        }
        match unknown.first() {
            Some((task, index)) => Err(ApiError::no_instance(&task.0, MapIndex(*index))),
            None => Ok(()),
        }
    }

    /// Refuses to clear anything if something of it runs.
    async fn refuse_running(&self, app: &App, selected: &[Selected]) -> Result<(), ApiError> {
        for one in selected {
            let meant = self.meant(app, one).await?;
            if let Some(it) = meant.iter().find(|it| it.is_held()) {
                let (task, run) = (&it.task_id, &one.run.run_id);
                let why = format!("task `{task}` of run `{run}` is running: nothing was cleared");
                return Err(ApiError::Conflict(why));
            }
        }
        Ok(())
    }

    /// What of a run is meant.
    async fn meant(&self, app: &App, one: &Selected) -> Result<Vec<InstanceRecord>, ApiError> {
        let indexes = self.indexes();
        let mut all = app.store.instance_list(&one.run, &one.version).await?;
        all.retain(|it| {
            let is_meant = indexes.get(&it.task_id).is_none_or(|at| at.contains(&it.map_index.0));
            one.tasks.contains(&TaskNo(it.task)) && is_meant && self.takes(it)
        });
        Ok(all)
    }

    /// Clears what is meant of a run, unless it is only asked for.
    async fn clear(
        &self,
        app: &App,
        caller: &Caller,
        one: &Selected,
    ) -> Result<Collection, ApiError> {
        let all = self.meant(app, one).await?;
        let indexes = self.indexes();
        if !self.dry_run && !all.is_empty() {
            // What is named without regard to states is cleared as a whole.
            let apart = self.only_failed || self.only_running;
            let at = |it: &InstanceRecord| match apart || indexes.contains_key(&it.task_id) {
                true => Instance { task: TaskNo(it.task), map_index: it.map_index },
                false => Instance::single(TaskNo(it.task)),
            };
            let instances: Vec<Instance> = all.iter().map(at).collect();
            let run = one.run.run_key;
            app.actions.instances_clear(run, &instances, self.load_again).await?;
            if let Some(note) = &self.note {
                let of: Vec<Instance> = all.iter().map(|it| it.key(run).instance()).collect();
                app.store.task_note_set(run, &of, note, caller.name()).await?;
            }
        }
        Ok(collection(app, &one.run, &one.version, all, Rendered::new()).await?.0)
    }

    fn scope(&self) -> Scope {
        Scope {
            upstream: self.include_upstream,
            downstream: self.include_downstream,
            past: self.include_past,
            future: self.include_future,
        }
    }

    /// Instances of mapped tasks that are named by themselves; of a task that is named as a whole, all
    /// are meant.
    fn indexes(&self) -> BTreeMap<TaskId, BTreeSet<i32>> {
        let mut indexes: BTreeMap<TaskId, BTreeSet<i32>> = BTreeMap::new();
        let named = self.task_ids.as_deref().unwrap_or_default();
        for one in named {
            if let Named::At(id, index) = one {
                indexes.entry(TaskId(id.clone())).or_default().insert(*index);
            }
        }
        for one in named {
            if let Named::Task(id) = one {
                indexes.remove(&TaskId(id.clone()));
            }
        }
        indexes
    }

    /// Whether it is about an instance of a chosen task.
    fn takes(&self, it: &InstanceRecord) -> bool {
        let failed = matches!(it.state, Some(TaskState::Failed | TaskState::UpstreamFailed));
        (!self.only_failed || failed) && (!self.only_running || it.is_held())
    }
}

/// Returns the collection of these instances, with their notes and what is known of their arguments.
pub(super) async fn collection(
    app: &App,
    run: &RunRecord,
    version: &VersionRecord,
    instances: Vec<InstanceRecord>,
    mut rendered: Rendered,
) -> Result<Json<Collection>, ApiError> {
    let mut notes = app.store.task_notes(run.run_key).await?;
    let mut views = Vec::with_capacity(instances.len());
    for it in instances {
        let note = notes.remove(&(it.task, it.map_index.0));
        let with = rendered.remove(&it.key(run.run_key));
        views.extend(View::new(run, version, it, note).ok().map(|view| view.rendered(with)));
    }
    Ok(Json(List::all(views)))
}

impl View {
    /// With the name that `map_index_template` gives the instance; its index, if it gives none.
    pub(super) fn labelled(self, labels: &BTreeMap<i32, String>) -> Self {
        let rendered_map_index = labels.get(&self.map_index).cloned();
        Self { rendered_map_index, ..self }
    }

    /// With the arguments that a try of it had.
    pub(super) fn rendered(self, with: Option<Value>) -> Self {
        match with {
            Some(Value::Object(rendered_fields)) => Self { rendered_fields, ..self },
            _ => self,
        }
    }

    pub(super) fn new(
        run: &RunRecord,
        version: &VersionRecord,
        instance: InstanceRecord,
        note: Option<String>,
    ) -> Result<Self, ApiError> {
        let task: &Task = version
            .model
            .task(&instance.task_id)
            .ok_or_else(|| ApiError::TaskNotFound(instance.task_id.0.clone()))?;
        let key = [&run.uuid.to_string(), &instance.task_id.0, &instance.map_index.0.to_string()];
        Ok(Self {
            id: derived_id(&key.map(String::as_str)),
            task_display_name: instance.task_id.0.clone(),
            task_id: instance.task_id.0,
            dag_id: run.dag_id.clone(),
            dag_run_id: run.run_id.clone(),
            map_index: instance.map_index.0,
            logical_date: run.logical_date,
            run_after: run.run_after,
            start_date: instance.started_at,
            end_date: instance.ended_at,
            duration: seconds(instance.started_at, instance.ended_at),
            state: instance.state,
            try_number: instance.try_number,
            max_tries: task.retries,
            dag_display_name: run.dag_id.clone(),
            hostname: instance.worker,
            unixname: None,
            pool: task.pool.clone(),
            pool_slots: task.pool_slots,
            queue: task.queue.clone(),
            priority_weight: task.priority_weight,
            operator: task.operator.clone(),
            operator_name: task.operator.clone(),
            queued_when: instance.queued_at,
            scheduled_when: instance.queued_at,
            pid: None,
            executor: None,
            executor_config: "{}".to_owned(),
            note,
            rendered_map_index: None,
            rendered_fields: written(task),
            trigger: None,
            triggerer_job: None,
            dag_version: DagVersionView::new(&run.dag_id, run.version, run.version_created_at),
            progress: None,
        })
    }
}

/// Arguments without templates are what they are in the file.
fn written(task: &Task) -> Map<String, Value> {
    match &task.with {
        Value::Object(with) if !has_templates(&task.with) => with.clone(),
        _ => Map::new(),
    }
}
