//! One task instance: its log, its tries, what it handed on.

use std::time::Duration;

use axum::extract::State;
use axum::response::{Html, Redirect};
use serde::Deserialize;
use serde_json::{Value, json};
use subak_core::ids::{Instance, InstanceKey, MapIndex, TaskId, TaskNo};
use subak_store::read::{DatasetRecord, InstanceRecord, LogCursor, Page, TextFilter, TryRecord};
use subak_web::Badge;
use subak_web::dataset::DatasetView;
use subak_web::format::{bytes, cut};
use subak_web::pager::Pager;
use subak_web::task::{Neighbour, TaskPage, TryLink, XComView};
use subak_web::text::Text;
use subak_web::url;

use super::log_end::LogEnd;
use super::log_search::{Around, Seek};
use super::map::{self, MapQuery};
use super::run::{Look, MarkForm, NoteForm};
use super::task_live::{called, label, old_live, old_try, task_live};
use super::viewer::Viewer;
use super::watch::print_of;
use crate::api::checked;
use crate::app::App;
use crate::audit::Trail;
use crate::clock;
use crate::engine::Mark;
use crate::explain::explain;
use crate::extract::{Form, Path, Query};
use crate::problem::ApiError;
use crate::selection::with_downstream;
use crate::try_log::TryLog;

/// Rows of a dataset, and how long a worker may take to read them.
const ROWS: usize = 100;
const ROWS_WITHIN: Duration = Duration::from_secs(2);
/// XComs and datasets that are shown at once.
const XCOMS: i64 = 50;
const DATASETS: i64 = 20;
/// XComs are cut at this many characters.
const XCOM_CHARS: usize = 4000;

#[derive(Deserialize, Clone, Copy)]
pub(super) struct Which {
    pub(super) map_index: Option<i32>,
    /// A try to look at; without one, the newest.
    #[serde(rename = "try")]
    pub(super) try_number: Option<i32>,
}

/// From where on lists are shown.
#[derive(Deserialize, Clone, Copy)]
pub(super) struct Offsets {
    #[serde(default)]
    xcoms: i64,
    #[serde(default)]
    datasets: i64,
}

/// A task instance's names in an address.
pub(super) type Names = (String, String, String);

/// Finds an instance of a run.
pub(super) async fn instance(
    app: &App,
    look: &Look,
    task_id: &str,
    which: Which,
) -> Result<InstanceRecord, ApiError> {
    let is_mapped = look.maps.iter().any(|map| map.task_id.0 == task_id);
    let found = match (is_mapped, which.map_index) {
        (true, index) => {
            let index = MapIndex(index.unwrap_or(0));
            let record = &look.version.record;
            app.store.instance_one(&look.run, record, &task_id.into(), index).await?
        }
        (false, index) => {
            let mut singles = look.instances.iter().filter(|it| it.task_id.0 == task_id);
            singles.find(|it| index.is_none_or(|index| it.map_index.0 == index)).cloned()
        }
    };
    let index = which.map_index.map_or(MapIndex::NONE, MapIndex);
    found.ok_or_else(|| ApiError::no_instance(task_id, index))
}

pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path((dag_id, run_id, task_id)): Path<Names>,
    Query(which): Query<Which>,
    Query(part): Query<MapQuery>,
    Query(seek): Query<Seek>,
    Query(offsets): Query<Offsets>,
) -> Result<Html<String>, ApiError> {
    let offsets = Offsets { xcoms: offsets.xcoms.max(0), datasets: offsets.datasets.max(0) };
    let look = Look::at(&app, &dag_id, &run_id).await?;
    let map = look.maps.iter().find(|map| map.task_id.0 == task_id);
    if let Some(map) = map.filter(|_| which.map_index.is_none_or(|index| index < 0)) {
        return map::page(&app, &viewer, &look, map, part).await;
    }
    let it = &instance(&app, &look, &task_id, which).await?;
    let (now, t, run) = (clock::now(), viewer.t, look.run.run_key);
    let tries = app.store.try_list(&look.run, it.task, it.map_index).await?;
    let shown = which.try_number.unwrap_or(it.try_number);
    let old = old_try(it, &tries, shown)?;
    let address = url::task(&dag_id, &run_id, &task_id, -1);
    let log_of = TryLog { run, task: it.task, map_index: it.map_index, try_number: shown };
    let href = format!("{address}?try={shown}&map_index={}", it.map_index.0);
    let search = seek.search(&app.store, log_of, &href, t).await?;
    let log = match seek.around(&app.store, log_of, &href, t).await? {
        Some(around) => Log::around(around),
        None => Log::end(LogEnd::read(&app.store, run, it, shown).await?, &address, it, which),
    };
    let live = match &old {
        Some(old) => old_live(&look, it, old, now, t),
        None => {
            let why = explain(&app.store, &look.run, &look.version, &task_id, it.map_index).await?;
            let progress = app.actions.progress(run, it);
            task_live(&look, it, why.as_ref(), progress, viewer.can_run(), now, t)
        }
    };
    let live = called(live, it, label(&app, &look, it).await?.as_deref());
    let print = print_of(&live.timeless());
    let here = |at: Offsets| offsets_address(&address, it, which, at);
    // What is handed on is kept of the newest try alone.
    let (xcoms, found) = match old {
        Some(_) => (Page { items: Vec::new(), total: 0 }, Page { items: Vec::new(), total: 0 }),
        None => {
            let of = InstanceKey { run, task: TaskNo(it.task), map_index: it.map_index };
            let every = TextFilter::default();
            (
                app.store.xcom_page(of, XCOMS, offsets.xcoms).await?,
                app.store.dataset_list(of, &every, DATASETS, offsets.datasets).await?,
            )
        }
    };
    let page = TaskPage {
        frame: viewer.frame(),
        dag_href: url::dag(&dag_id),
        run_href: url::run(&dag_id, &run_id),
        map_href: map.map(|_| address.clone()),
        live,
        tries: try_links(&tries, &address, it, shown, &viewer),
        log_cut: log.is_cut,
        log_around: log.around,
        find: seek.find.trim().to_owned(),
        find_action: address.clone(),
        try_number: shown,
        map_index: it.map_index.0,
        search,
        log_href: format!("{address}/log?try={shown}&map_index={}", it.map_index.0),
        download_href: format!(
            "{address}/log?try={shown}&map_index={}&download=true",
            it.map_index.0
        ),
        events: match log.events.as_str() {
            "" => String::new(),
            events => viewer.events(events, print),
        },
        log: log.markup,
        note: app
            .store
            .task_notes(run)
            .await?
            .remove(&(it.task, it.map_index.0))
            .unwrap_or_default(),
        note_action: viewer
            .can_run()
            .then(|| format!("{address}/note?map_index={}", it.map_index.0)),
        settings: settings(&look, &it.task_id),
        rendered: rendered(&tries, shown),
        upstream: neighbours(&look, &upstream(&look, &it.task_id), &viewer),
        downstream: neighbours(&look, &downstream(&look, &it.task_id), &viewer),
        xcoms_pager: Pager::new(offsets.xcoms, xcoms.items.len(), xcoms.total, XCOMS, |xcoms| {
            here(Offsets { xcoms, ..offsets }) + "#xcoms"
        }),
        xcoms: xcoms.items.into_iter().map(|it| xcom(it, t)).collect(),
        datasets_pager: Pager::new(
            offsets.datasets,
            found.items.len(),
            found.total,
            DATASETS,
            |datasets| here(Offsets { datasets, ..offsets }) + "#datasets",
        ),
        datasets: datasets(&app, &look, found.items, t).await?,
        dag_id,
        run_id,
        task_id,
    };
    Ok(Html(page.page()))
}

/// The part of a log that the page has.
struct Log {
    markup: String,
    is_cut: bool,
    /// Where its rest comes from; empty: nowhere.
    events: String,
    around: Option<(String, String)>,
}

impl Log {
    fn end(end: LogEnd, address: &str, it: &InstanceRecord, which: Which) -> Self {
        let events = events_address(address, it, which, end.next, end.number);
        Self { is_cut: end.is_cut, events, around: None, markup: end.markup() }
    }

    fn around(Around { markup, told }: Around) -> Self {
        Self { markup, is_cut: false, events: String::new(), around: Some(told) }
    }
}

/// What it made, with the first rows: those that the database does not hold a worker is asked for.
async fn datasets(
    app: &App,
    look: &Look,
    shown: Vec<DatasetRecord>,
    t: &Text,
) -> Result<Vec<DatasetView>, ApiError> {
    let mut views = Vec::new();
    let mut patience = ROWS_WITHIN;
    for one in shown {
        let mut preview = one.preview.clone();
        if preview.as_array().is_none_or(Vec::is_empty) && !patience.is_zero() {
            let dag = &look.version.record.model;
            match app.previews.rows(&one, dag, ROWS, patience).await {
                Ok(read) => preview = Value::Array(read.rows),
                // The page shows what there is; it waits once.
                Err(_) => patience = Duration::ZERO,
            }
        }
        views.push(DatasetView::new(&one.name, &one.reference, &one.stats, &preview, t));
    }
    Ok(views)
}

/// The page with its lists from there on.
fn offsets_address(address: &str, it: &InstanceRecord, which: Which, at: Offsets) -> String {
    let Offsets { xcoms, datasets } = at;
    let index = it.map_index.0;
    let try_number = which.try_number.map_or_else(String::new, |number| format!("&try={number}"));
    format!("{address}?map_index={index}{try_number}&xcoms={xcoms}&datasets={datasets}")
}

fn try_links(
    tries: &[TryRecord],
    address: &str,
    it: &InstanceRecord,
    shown: i32,
    viewer: &Viewer,
) -> Vec<TryLink> {
    let mut links: Vec<TryLink> = Vec::new();
    for one in tries {
        let link = TryLink {
            label: viewer.t.fill(viewer.t.try_label, one.try_number),
            href: format!("{address}?try={}&map_index={}", one.try_number, it.map_index.0),
            badge: Badge::task(Some(one.state), viewer.t),
            is_shown: one.try_number == shown,
        };
        // A try that was deferred has several rows: the last one says how it stands.
        match links.last_mut() {
            Some(last) if last.label == link.label => *last = link,
            _ => links.push(link),
        }
    }
    links
}

fn events_address(
    address: &str,
    it: &InstanceRecord,
    which: Which,
    cursor: LogCursor,
    number: u64,
) -> String {
    let index = it.map_index.0;
    let mut query = format!("map_index={index}&after={cursor}&number={number}");
    match which.try_number {
        // An old try changes no more.
        Some(shown) if shown != it.try_number => return String::new(),
        Some(shown) => query.push_str(&format!("&try={shown}")),
        None => query.push_str(&format!("&seen={}", it.try_number)),
    }
    format!("{address}/events?{query}")
}

/// The arguments that a try had, as markup.
fn rendered(tries: &[TryRecord], try_number: i32) -> String {
    let of_try = tries.iter().rev().filter(|it| it.try_number == try_number);
    let with = of_try.filter_map(|it| it.rendered.as_ref()).next();
    with.map(subak_web::settings::markup).unwrap_or_default()
}

/// The task as its version has it, as markup.
pub(super) fn settings(look: &Look, task_id: &TaskId) -> String {
    let Some(task) = look.version.record.model.task(task_id) else { return String::new() };
    let mut shown = json!(task);
    if let Value::Object(fields) = &mut shown {
        for dull in ["task_id", "operator", "upstream"] {
            fields.remove(dull);
        }
        fields.retain(|_, value| !value.is_null() && *value != json!([]) && *value != json!({}));
        for delay in ["retry_delay", "execution_timeout", "max_retry_delay"] {
            if let Some(value) = fields.get_mut(delay)
                && let Ok(delay) = serde_json::from_value::<Duration>(value.clone())
            {
                *value = json!(format!("{} s", delay.as_secs_f64()));
            }
        }
    }
    subak_web::settings::markup(&shown)
}

pub(super) fn upstream(look: &Look, task_id: &TaskId) -> Vec<TaskId> {
    look.version.record.model.task(task_id).map(|task| task.upstream.clone()).unwrap_or_default()
}

pub(super) fn downstream(look: &Look, task_id: &TaskId) -> Vec<TaskId> {
    let tasks = look.version.record.model.tasks.iter();
    tasks.filter(|task| task.upstream.contains(task_id)).map(|task| task.task_id.clone()).collect()
}

pub(super) fn neighbours(look: &Look, ids: &[TaskId], viewer: &Viewer) -> Vec<Neighbour> {
    let state = |id: &TaskId| match look.maps.iter().find(|map| map.task_id == *id) {
        Some(map) => map.state(),
        None => look.instances.iter().find(|it| it.task_id == *id).and_then(|it| it.state),
    };
    ids.iter()
        .map(|id| Neighbour {
            name: id.0.clone(),
            href: url::task(&look.run.dag_id, &look.run.run_id, &id.0, -1),
            badge: Badge::task(state(id), viewer.t),
        })
        .collect()
}

fn xcom(it: subak_store::read::XComRecord, t: &Text) -> XComView {
    if let Some(size) = it.size_bytes {
        let value = format!("{}: {}", bytes(u64::try_from(size).unwrap_or(0)), t.xcom_large);
        return XComView { key: it.key, value };
    }
    let value = serde_json::to_string_pretty(&it.value).unwrap_or_default();
    XComView { key: it.key, value: cut(&value, XCOM_CHARS) }
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

/// Clears a task instance and the tasks after it; of a mapped task this instance alone, if it is named.
pub(super) async fn clear(
    State(app): State<App>,
    trail: Trail,
    Path((dag_id, run_id, task_id)): Path<Names>,
    Query(which): Query<Which>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Redirect, ApiError> {
    let look = Look::at(&app, &dag_id, &run_id).await?;
    let task = TaskId(task_id.clone());
    let record = &look.version.record;
    if record.model.task(&task).is_none() {
        return Err(ApiError::TaskNotFound(task_id));
    }
    let index = which.map_index.map_or(MapIndex::NONE, MapIndex);
    let at = |id: &TaskId| {
        let map_index = if *id == task { index } else { MapIndex::NONE };
        record.numbers.get(id).map(|number| Instance { task: TaskNo(*number), map_index })
    };
    let chosen = with_downstream(record, std::slice::from_ref(&task));
    let instances: Vec<Instance> = chosen.iter().filter_map(at).collect();
    trail.before(stands(&app, &look, &task, index).await?);
    app.actions.instances_clear(look.run.run_key, &instances, false).await?;
    trail.after(stands(&app, &look, &task, index).await?);
    Ok(Redirect::to(&url::task(&dag_id, &run_id, &task_id, index.0)))
}

/// Marks a task instance as ended.
pub(super) async fn mark(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path((dag_id, run_id, task_id)): Path<Names>,
    Query(which): Query<Which>,
    Form(MarkForm { state }): Form<MarkForm>,
) -> Result<Redirect, ApiError> {
    let look = Look::at(&app, &dag_id, &run_id).await?;
    let bad = || ApiError::BadRequest(format!("a task cannot be marked as `{state}`"));
    let mark = Mark::parse(&state).ok_or_else(bad)?;
    let map_index = which.map_index.map_or(MapIndex::NONE, MapIndex);
    let at = Instance { task: number(&look, &task_id)?, map_index };
    let task = TaskId::from(&*task_id);
    trail.before(stands(&app, &look, &task, map_index).await?);
    app.actions.instances_mark(look.run.run_key, &[at], mark, viewer.name()).await?;
    trail.after(stands(&app, &look, &task, map_index).await?);
    Ok(Redirect::to(&url::task(&dag_id, &run_id, &task_id, map_index.0)))
}

/// Sets the note of a task instance.
pub(super) async fn note(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path((dag_id, run_id, task_id)): Path<Names>,
    Query(which): Query<Which>,
    Form(NoteForm { note }): Form<NoteForm>,
) -> Result<Redirect, ApiError> {
    let look = Look::at(&app, &dag_id, &run_id).await?;
    let task = number(&look, &task_id)?;
    let map_index = which.map_index.map_or(MapIndex::NONE, MapIndex);
    let run = look.run.run_key;
    let before = app.store.task_notes(run).await?.remove(&(task.0, map_index.0));
    let of = [Instance { task, map_index }];
    app.store.task_note_set(run, &of, checked(&note)?, viewer.name()).await?;
    trail.before(json!({"note": before}));
    trail.after(json!({"note": note}));
    Ok(Redirect::to(&url::task(&dag_id, &run_id, &task_id, map_index.0)))
}

/// The state of a task instance, for the audit log.
async fn stands(app: &App, look: &Look, task: &TaskId, index: MapIndex) -> Result<Value, ApiError> {
    let found = app.store.instance_one(&look.run, &look.version.record, task, index).await?;
    Ok(json!({"state": found.and_then(|it| it.state)}))
}

fn number(look: &Look, task_id: &str) -> Result<TaskNo, ApiError> {
    let record = &look.version.record;
    let task = TaskId::from(task_id);
    let number = record.numbers.get(&task).filter(|_| record.model.task(&task).is_some());
    number.copied().map(TaskNo).ok_or(ApiError::TaskNotFound(task.0))
}
