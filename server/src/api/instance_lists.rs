//! Lists of task instances: of a run, of a mapped task, and of many runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::Deserialize;
use subak_core::dag::model::Task;
use subak_core::ids::{InstanceKey, RunKey, TaskId};
use subak_core::state::TaskState;
use subak_store::read::{
    Bound, InstanceFilter, InstanceOrder, InstanceRecord, Page, RunFilter, RunRecord, TextFilter,
    VersionRecord, Window,
};

use super::bounds::{BodyBounds, InstanceBounds};
use super::instances::{Collection, View, collection};
use super::paging::{Cursors, List, Listing, Part, present, text};
use super::run_lists::{EVERY, existing};
use super::runs::find;
use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::labels::labels;
use crate::problem::{ApiError, FieldProblem};

/// The state of what has none, as a filter names it.
const NONE: &str = "none";

/// What task instances are ordered by.
const ORDERS: &[(&str, InstanceOrder)] = &[
    ("id", InstanceOrder::Key),
    ("task_id", InstanceOrder::TaskId),
    ("state", InstanceOrder::State),
    ("start_date", InstanceOrder::Started),
    ("end_date", InstanceOrder::Ended),
    ("duration", InstanceOrder::Duration),
    ("map_index", InstanceOrder::MapIndex),
    ("rendered_map_index", InstanceOrder::MapIndex),
    ("try_number", InstanceOrder::Try),
    ("run_after", InstanceOrder::RunAfter),
    ("logical_date", InstanceOrder::LogicalDate),
    ("data_interval_start", InstanceOrder::DataStart),
    ("data_interval_end", InstanceOrder::DataEnd),
    ("operator", InstanceOrder::Operator),
];

/// What both lists filter by.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    task_id: Option<String>,
    #[serde(default)]
    state: Vec<String>,
    #[serde(default)]
    pool: Vec<String>,
    #[serde(default)]
    queue: Vec<String>,
    #[serde(default)]
    executor: Vec<String>,
    #[serde(default)]
    operator: Vec<String>,
    #[serde(default)]
    version_number: Vec<i32>,
    #[serde(default)]
    try_number: Vec<i32>,
    #[serde(default)]
    map_index: Vec<i32>,
    task_display_name_pattern: Option<String>,
    task_display_name_prefix_pattern: Option<String>,
    task_group_id: Option<String>,
    dag_id_pattern: Option<String>,
    dag_id_prefix_pattern: Option<String>,
    run_id_pattern: Option<String>,
    run_id_prefix_pattern: Option<String>,
    pool_name_pattern: Option<String>,
    pool_name_prefix_pattern: Option<String>,
    queue_name_pattern: Option<String>,
    queue_name_prefix_pattern: Option<String>,
    operator_name_pattern: Option<String>,
    operator_name_prefix_pattern: Option<String>,
    /// Of what instances of mapped tasks are called; one that no template names, of its index.
    rendered_map_index_pattern: Option<String>,
    rendered_map_index_prefix_pattern: Option<String>,
    /// Empty: the first page of a list that is read by cursor; then the `next_cursor` of each page.
    #[serde(default, deserialize_with = "present")]
    cursor: Option<String>,
}

/// Airflow's `TaskInstancesBatchBody`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct BatchBody {
    dag_ids: Option<Vec<String>>,
    dag_run_ids: Option<Vec<String>>,
    task_ids: Option<Vec<String>>,
    state: Option<Vec<Option<String>>>,
    pool: Option<Vec<String>>,
    queue: Option<Vec<String>>,
    executor: Option<Vec<String>>,
    #[serde(default)]
    #[schemars(range(min = 0))]
    page_offset: i64,
    #[schemars(range(min = 0))]
    page_limit: Option<i64>,
    order_by: Option<String>,
    #[serde(flatten)]
    bounds: BodyBounds,
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path((dag_id, run_id)): Path<(String, String)>,
    listing: Listing,
    InstanceBounds(bounds): InstanceBounds,
    Query(query): Query<ListQuery>,
) -> Result<Json<Collection>, ApiError> {
    let cursor = query.cursor.clone();
    let mut part = listing.part;
    if let Some(token) = cursor.as_deref().filter(|token| !token.is_empty()) {
        part.offset =
            read(token).ok_or_else(|| wrong("cursor", "is not a cursor of this server"))?;
    }
    let (group, name) = (query.task_group_id.clone(), query.name());
    let (filter, mut runs) = query.filters(&listing, bounds)?;
    let listing = listing.at(part);
    let (list, goes_on) = if dag_id == EVERY || run_id == EVERY {
        if group.is_some() {
            return Err(wrong("task_group_id", "needs one DAG and one run in the path"));
        }
        if !name.is_any() {
            // Names are rendered when somebody looks: of all runs there are too many.
            return Err(wrong(
                "rendered_map_index_pattern",
                "needs one DAG and one run in the path",
            ));
        }
        runs.dag_id = existing(&app, dag_id).await?;
        runs.within = caller.sight();
        runs.run_id = Some(run_id).filter(|run_id| run_id != EVERY);
        across(&app, &runs, &filter, &listing).await?
    } else {
        let run = find(&app, &dag_id, &run_id).await?;
        let group = group.as_deref();
        let meant = Meant { filter: &filter, runs: &runs, group, mapped: None, name: &name };
        let list = of_run(&app, &run, &meant, &listing).await?;
        // Of one run all are counted.
        let goes_on = part.offset.saturating_add(part.limit) < list.total;
        (list, goes_on)
    };
    let cursors = cursor.map(|_| cursors(part, goes_on));
    Ok(Json(List { cursors, ..list }))
}

/// The instances of a mapped task.
pub(super) async fn list_mapped(
    State(app): State<App>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    listing: Listing,
    InstanceBounds(bounds): InstanceBounds,
    Query(query): Query<ListQuery>,
) -> Result<Json<Collection>, ApiError> {
    let name = query.name();
    let (filter, runs) = query.filters(&listing, bounds)?;
    let run = find(&app, &dag_id, &run_id).await?;
    let version = app.versions.of_run(&run).await?;
    let id = TaskId(task_id);
    if version.record.model.task(&id).is_none_or(|task| task.expand.is_none()) {
        return Err(ApiError::TaskNotFound(id.0));
    }
    let mapped = Some(&id);
    let meant = Meant { filter: &filter, runs: &runs, group: None, mapped, name: &name };
    Ok(Json(of_run(&app, &run, &meant, &listing).await?))
}

/// The list, asked for by a body; in the path stand `~` and `~`.
pub(super) async fn batch(
    State(app): State<App>,
    caller: Caller,
    Path((dag_id, run_id)): Path<(String, String)>,
    Json(body): Json<BatchBody>,
) -> Result<Json<Collection>, ApiError> {
    if dag_id != EVERY || run_id != EVERY {
        let why = "DAGs and runs stand in the body: the path has `~` instead";
        return Err(ApiError::BadRequest(why.to_owned()));
    }
    let listing = Listing::of(body.page_limit, Some(body.page_offset), body.order_by)?;
    // Null is what has no state yet.
    let states = body.state.unwrap_or_default().into_iter();
    let states: Vec<String> = states.map(|it| it.unwrap_or_else(|| NONE.to_owned())).collect();
    let filter = InstanceFilter {
        states: states_of(&states)?,
        task_ids: body.task_ids.unwrap_or_default(),
        pools: body.pool.unwrap_or_default(),
        queues: body.queue.unwrap_or_default(),
        executors: body.executor.unwrap_or_default(),
        bounds: body.bounds.read()?,
        orders: listing.orders(ORDERS)?,
        ..InstanceFilter::default()
    };
    let runs = RunFilter {
        dag_ids: body.dag_ids.unwrap_or_default(),
        within: caller.sight(),
        run_ids: body.dag_run_ids.unwrap_or_default(),
        ..RunFilter::default()
    };
    Ok(Json(across(&app, &runs, &filter, &listing).await?.0))
}

impl ListQuery {
    /// What is asked of the names of instances.
    fn name(&self) -> TextFilter {
        TextFilter::new(
            self.rendered_map_index_pattern.as_deref(),
            self.rendered_map_index_prefix_pattern.as_deref(),
        )
    }

    fn filters(
        self,
        listing: &Listing,
        bounds: Vec<Bound>,
    ) -> Result<(InstanceFilter, RunFilter), ApiError> {
        let filter = InstanceFilter {
            states: states_of(&self.state)?,
            task_id: self.task_id,
            task_ids: Vec::new(),
            task_text: text(self.task_display_name_pattern, self.task_display_name_prefix_pattern),
            pools: self.pool,
            pool_text: text(self.pool_name_pattern, self.pool_name_prefix_pattern),
            queues: self.queue,
            queue_text: text(self.queue_name_pattern, self.queue_name_prefix_pattern),
            executors: self.executor,
            operators: self.operator,
            operator_text: text(self.operator_name_pattern, self.operator_name_prefix_pattern),
            map_indexes: self.map_index,
            tries: self.try_number,
            bounds,
            orders: listing.orders(ORDERS)?,
        };
        let runs = RunFilter {
            dag_text: text(self.dag_id_pattern, self.dag_id_prefix_pattern),
            run_text: text(self.run_id_pattern, self.run_id_prefix_pattern),
            versions: self.version_number,
            ..RunFilter::default()
        };
        Ok((filter, runs))
    }
}

/// What is meant of one run.
struct Meant<'a> {
    filter: &'a InstanceFilter,
    runs: &'a RunFilter,
    group: Option<&'a str>,
    /// The instances of this task alone.
    mapped: Option<&'a TaskId>,
    /// What the instances are called.
    name: &'a TextFilter,
}

impl Meant<'_> {
    fn takes_run(&self, run: &RunRecord) -> bool {
        self.runs.dag_text.takes(&run.dag_id)
            && self.runs.run_text.takes(&run.run_id)
            && (self.runs.versions.is_empty() || self.runs.versions.contains(&run.version))
    }

    fn takes_task(&self, task: &Task) -> bool {
        let in_group = self.group.is_none_or(|group| {
            let own = task.task_group.as_deref();
            own.is_some_and(|own| {
                own == group || own.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'))
            })
        });
        in_group
            && self.mapped.is_none_or(|mapped| *mapped == task.task_id)
            && self.filter.takes_task(task)
    }

    /// Until it is expanded, a mapped task has one instance that is of no index.
    fn takes(&self, run: &RunRecord, it: &InstanceRecord) -> bool {
        (self.mapped.is_none() || !it.map_index.is_none()) && self.filter.takes(run, it)
    }
}

/// Task instances of one run, those to which nothing has happened too.
async fn of_run(
    app: &App,
    run: &RunRecord,
    meant: &Meant<'_>,
    listing: &Listing,
) -> Result<Collection, ApiError> {
    if !meant.takes_run(run) {
        return Ok(List::empty());
    }
    let version = app.versions.of_run(run).await?;
    let page = page(app, run, &version.record, meant, listing).await?;
    let names = match meant.mapped {
        Some(_) => labels(app, run, &version.record, &page.items).await?,
        None => BTreeMap::new(),
    };
    let keys: Vec<InstanceKey> = page.items.iter().map(|it| it.key(run.run_key)).collect();
    let rendered = app.store.rendered_of(&keys).await?;
    let Json(shown) = collection(app, run, &version.record, page.items, rendered).await?;
    Ok(List { total: page.total, ..shown.map(|view| view.labelled(&names)) })
}

/// The page alone is read, unless what is asked for can be told only of all.
async fn page(
    app: &App,
    run: &RunRecord,
    version: &VersionRecord,
    meant: &Meant<'_>,
    listing: &Listing,
) -> Result<Page<InstanceRecord>, ApiError> {
    let Part { limit, offset } = listing.part;
    let is_of_tasks = meant.filter.is_of_tasks() && meant.name.is_any();
    let window = if is_of_tasks {
        let (_, descending) = meant.filter.orders.before_own();
        Window { limit, offset, descending }
    } else {
        Window { limit: i64::MAX, offset: 0, descending: false }
    };
    let takes_task = |task: &Task| meant.takes_task(task);
    let mut page = app.store.instance_page(run, version, takes_task, window).await?;
    let read = page.items.len();
    page.items.retain(|it| meant.takes(run, it));
    if !is_of_tasks {
        if !meant.name.is_any() {
            page.items = named(app, run, version, meant.name, page.items).await?;
        }
        meant.filter.order(version, &mut page.items);
        let List { items, total, .. } = List::part(page.items, listing.part);
        return Ok(Page { items, total });
    }
    page.total -= i64::try_from(read - page.items.len()).unwrap_or(0);
    Ok(page)
}

/// Those of a run's instances that are called so: by their task's template, or by their index.
async fn named(
    app: &App,
    run: &RunRecord,
    version: &VersionRecord,
    name: &TextFilter,
    all: Vec<InstanceRecord>,
) -> Result<Vec<InstanceRecord>, ApiError> {
    let tasks: Vec<&[InstanceRecord]> = all.chunk_by(|a, b| a.task == b.task).collect();
    let mut found = Vec::new();
    for alike in tasks {
        let names = labels(app, run, version, alike).await?;
        let takes = |it: &&InstanceRecord| {
            let index = it.map_index.0;
            !it.map_index.is_none()
                && names
                    .get(&index)
                    .map_or_else(|| name.takes(&index.to_string()), |it| name.takes(it))
        };
        found.extend(alike.iter().filter(takes).cloned());
    }
    Ok(found)
}

/// Task instances of many runs, those to which something has happened; and whether there are more behind
/// them. The count does not tell: it stops early.
async fn across(
    app: &App,
    runs: &RunFilter,
    filter: &InstanceFilter,
    listing: &Listing,
) -> Result<(Collection, bool), ApiError> {
    let part = listing.part;
    let mut page = app.store.instances_across(runs, filter, part.limit + 1, part.offset).await?;
    let most = usize::try_from(part.limit).unwrap_or(usize::MAX);
    let goes_on = page.items.len() > most;
    page.items.truncate(most);
    let mut run_keys: Vec<RunKey> = page.items.iter().map(|(run, _)| *run).collect();
    run_keys.sort_unstable();
    run_keys.dedup();
    let mut notes = app.store.notes_of(&run_keys).await?;
    let keys: Vec<InstanceKey> = page.items.iter().map(|(run, it)| it.key(*run)).collect();
    let mut rendered = app.store.rendered_of(&keys).await?;
    let mut known = BTreeMap::new();
    for run in app.store.runs_of(&run_keys).await? {
        let version = app.versions.of_run(&run).await?;
        known.insert(run.run_key, (run, Arc::clone(&version)));
    }
    let mut views = Vec::with_capacity(page.items.len());
    for (run, it) in page.items {
        let Some((run, version)) = known.get(&run) else { continue };
        let note = notes.remove(&(run.run_key, it.task, it.map_index.0));
        let with = rendered.remove(&it.key(run.run_key));
        views.extend(View::new(run, &version.record, it, note).ok().map(|it| it.rendered(with)));
    }
    let more = page.total == subak_store::read::COUNT_LIMIT;
    Ok((List { total: page.total, more, ..List::all(views) }, goes_on))
}

/// Reads states to filter by; `none` and `no_status` are those without one.
fn states_of(texts: &[String]) -> Result<Vec<Option<TaskState>>, ApiError> {
    let parse = |text: &String| match text.as_str() {
        NONE | "no_status" => Ok(None),
        known => TaskState::parse(known)
            .map(Some)
            .ok_or_else(|| wrong("state", &format!("`{known}` is not a task instance's state"))),
    };
    texts.iter().map(parse).collect()
}

fn wrong(field: &str, msg: &str) -> ApiError {
    ApiError::Invalid(vec![FieldProblem::query(field, msg)])
}

/// A cursor is how far the list was read: task instances keep their order, and new ones come last.
fn read(token: &str) -> Option<i64> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    std::str::from_utf8(&bytes).ok()?.parse().ok().filter(|offset| *offset >= 0)
}

fn cursors(Part { limit, offset }: Part, goes_on: bool) -> Cursors {
    let token = |offset: i64| URL_SAFE_NO_PAD.encode(offset.to_string());
    Cursors {
        next: goes_on.then(|| token(offset.saturating_add(limit))),
        previous: (offset > 0).then(|| token((offset - limit).max(0))),
    }
}
