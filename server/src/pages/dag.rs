//! One DAG, and its pause.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use futures::Stream;
use serde::Deserialize;
use serde_json::json;
use subak_core::ids::DagId;
use subak_store::read::{DagRecord, Orders, Page, RunFilter, RunRecord};
use subak_web::Badge;
use subak_web::dag::{DagLive, DagPage, RunRow};
use subak_web::dags::PauseToggle;
use subak_web::format::Stamp;
use subak_web::graph::{GraphView, Links, Sight};
use subak_web::pager::Pager;
use subak_web::text::Text;
use subak_web::{source, url};

use super::dag_details::details;
use super::dags::schedule_of;
use super::grid::{Column, column};
use super::run_live::{since, took};
use super::viewer::Viewer;
use super::watch::{APART, Look, Shown, watch};
use crate::api::dag_remove;
use crate::app::App;
use crate::audit::Trail;
use crate::extract::{Form, Path, Query};
use crate::problem::ApiError;
use crate::versions::Version;

/// Runs of one page.
const PAGE: i64 = 25;

#[derive(Deserialize)]
pub(super) struct ShowQuery {
    #[serde(default)]
    offset: i64,
    /// What of the graph: groups that are folded or not, or the task around which it is shown.
    #[serde(default)]
    turn: String,
    #[serde(default)]
    around: String,
    depth: Option<usize>,
}

impl ShowQuery {
    fn chosen(&self) -> Chosen {
        let sight = Sight::read(&self.turn, &self.around, self.depth);
        Chosen { offset: self.offset.max(0), sight }
    }
}

/// What is shown of a DAG: its runs from this one on, and what of its graph.
struct Chosen {
    offset: i64,
    sight: Sight,
}

impl Chosen {
    /// An address of it.
    fn at(&self, address: &str) -> String {
        url::and(&format!("{address}?offset={}", self.offset), &self.sight.query())
    }
}

#[derive(Deserialize)]
pub(super) struct Pause {
    is_paused: bool,
}

/// What the part that lives shows.
#[derive(Debug)]
pub(crate) struct Seen {
    dag: DagRecord,
    runs: Page<RunRecord>,
    newest: Option<Column>,
    /// Why its file does not parse.
    broken: Option<String>,
}

pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(dag_id): Path<String>,
    Query(query): Query<ShowQuery>,
) -> Result<Html<String>, ApiError> {
    let chosen = query.chosen();
    known(&app, &dag_id).await?;
    let key = (dag_id.clone(), chosen.offset);
    let look = Look::now(&app.lists.dag, key, || seen(&app, &dag_id, chosen.offset)).await?;
    let dag = &look.it.dag;
    let version = app.versions.get(dag.dag, dag.version).await?;
    let href = url::dag(&dag_id);
    let page = DagPage {
        frame: viewer.frame(),
        events: viewer.events(&chosen.at(&format!("{href}/events")), look.print),
        live: live(&look, &version, &chosen, &viewer),
        details: details(dag, viewer.t),
        source: source::markup(&version.record.source),
        dag_id,
        href,
    };
    Ok(Html(page.page()))
}

/// Sends what is above the code anew whenever it has changed.
pub(super) async fn events(
    State(app): State<App>,
    viewer: Viewer,
    Path(dag_id): Path<String>,
    Query(query): Query<ShowQuery>,
    shown: Shown,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    known(&app, &dag_id).await?;
    let (stop, shared) = (app.stop.clone(), Arc::new((app, viewer, dag_id, query.chosen())));
    Ok(watch(stop, APART, shown, move || {
        let shared = Arc::clone(&shared);
        async move {
            let (app, _, dag_id, chosen) = &*shared;
            let key = (dag_id.clone(), chosen.offset);
            let look =
                Look::again(&app.lists.dag, key, || seen(app, dag_id, chosen.offset)).await?;
            let version = app.versions.get(look.it.dag.dag, look.it.dag.version).await?;
            let (print, shared) = (look.print, Arc::clone(&shared));
            Ok((print, move || {
                let (_, viewer, _, chosen) = &*shared;
                let draw = || live(&look, &version, chosen, viewer).pieces();
                look.drawn(viewer.eyes(), chosen.sight.query(), draw)
            }))
        }
    }))
}

async fn known(app: &App, dag_id: &str) -> Result<DagRecord, ApiError> {
    let found = app.store.dag_get(dag_id).await?;
    found.ok_or_else(|| ApiError::DagNotFound(dag_id.to_owned()))
}

async fn seen(app: &App, dag_id: &str, offset: i64) -> Result<Seen, ApiError> {
    let dag = known(app, dag_id).await?;
    let of_dag = RunFilter {
        dag_id: Some(dag_id.to_owned()),
        orders: Orders::descending(),
        ..RunFilter::default()
    };
    let mut runs = app.store.run_list(&of_dag, PAGE, offset).await?;
    let broken = if dag.has_import_error {
        let errors = app.store.import_error_list(1000, 0).await?.items;
        errors.into_iter().find(|error| error.file == dag.file).map(|error| error.message)
    } else {
        None
    };
    let newest = match runs.items.first() {
        Some(newest) if offset == 0 => Some(newest.clone()),
        _ => app.store.run_list(&of_dag, 1, 0).await?.items.pop(),
    };
    let mut newest = match newest {
        Some(run) => Some(column(app, run).await?),
        None => None,
    };
    // The page does not show it, and would be sent anew for it.
    let newest_run = newest.as_mut().map(|it| &mut it.run);
    runs.items.iter_mut().chain(newest_run).for_each(|run| run.tasks_open = 0);
    Ok(Seen { dag, runs, newest, broken })
}

fn live<'a>(
    look: &Look<Seen>,
    version: &Version,
    chosen: &Chosen,
    viewer: &'a Viewer,
) -> DagLive<'a> {
    let (now, t) = (look.at, viewer.t);
    let Seen { dag, runs, newest, broken } = &look.it;
    let href = url::dag(&dag.dag_id);
    let address = |offset: i64| Chosen { offset, sight: chosen.sight.clone() }.at(&href);
    let links = Links {
        task: &|task| {
            let Column { run, states } = newest.as_ref()?;
            states.contains_key(task).then(|| url::task(&run.dag_id, &run.run_id, task, -1))
        },
        here: &|sight| format!("{}#graph", url::with(&href, &[&sight.query()])),
        page: &href,
    };
    let state = |id: &str| newest.as_ref()?.states.get(id).copied();
    let graph = GraphView::new(&version.layout(&chosen.sight), state, &links, t);
    DagLive {
        frame: viewer.frame(),
        toggle: PauseToggle::new(&dag.dag_id, dag.is_paused, &viewer.frame()),
        schedule: schedule_of(dag),
        schedule_words: dag.head.schedule.as_ref().map_or_else(String::new, |schedule| {
            subak_web::schedule::in_words(schedule, dag.head.timezone, t)
        }),
        next_run: dag.next_run_at.map(|at| Stamp::new(at, now, t)),
        next_run_local: dag.next_run_at.map_or_else(String::new, |at| {
            at.with_timezone(&dag.head.timezone).format("%Y-%m-%d %H:%M %Z").to_string()
        }),
        owners: dag.owners.join(", "),
        version: dag.version,
        version_made: Stamp::new(dag.version_created_at, now, t),
        is_stale: dag.is_stale,
        has_params: !dag.head.params.is_empty(),
        graph,
        newest: newest
            .as_ref()
            .map(|it| (it.run.run_id.clone(), url::run(&it.run.dag_id, &it.run.run_id))),
        runs_href: format!("/runs?dag={}", url::encode(&dag.dag_id)),
        pager: Pager::new(chosen.offset, runs.items.len(), runs.total, PAGE, address),
        runs: runs.items.iter().map(|run| row(run, now, t)).collect(),
        description: dag.head.description.clone().unwrap_or_default(),
        tags: dag.head.tags.clone(),
        file: dag.file.clone(),
        dag_id: dag.dag_id.clone(),
        pause_cause: dag.pause_cause.clone(),
        broken: broken.clone(),
        href,
    }
}

fn row(run: &RunRecord, now: DateTime<Utc>, t: &'static Text) -> RunRow {
    RunRow {
        href: url::run(&run.dag_id, &run.run_id),
        badge: Badge::run(run.state, t),
        who: who(run),
        started: run.started_at.map(|at| Stamp::new(at, now, t)),
        took: took(run.started_at, run.ended_at, now),
        since: since(run.started_at, run.ended_at),
        note: run.note.clone().unwrap_or_default(),
        run_type: run.run_type.clone(),
        run_id: run.run_id.clone(),
    }
}

/// Who or what started a run.
pub(super) fn who(run: &RunRecord) -> String {
    match &run.triggered_user {
        Some(user) => format!("{user} · {}", run.triggered_by),
        None => run.triggered_by.clone(),
    }
}

/// Deletes one whose file is gone.
pub(super) async fn delete(
    State(app): State<App>,
    trail: Trail,
    Path(dag_id): Path<String>,
) -> Result<Redirect, ApiError> {
    dag_remove(&app, &trail, &dag_id).await?;
    Ok(Redirect::to("/dags"))
}

pub(super) async fn pause(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path(dag_id): Path<String>,
    headers: HeaderMap,
    Form(Pause { is_paused }): Form<Pause>,
) -> Result<Response, ApiError> {
    let known = app.store.dag_get(&dag_id).await?;
    trail.before(json!({"is_paused": known.is_some_and(|dag| dag.is_paused)}));
    trail.after(json!({"is_paused": is_paused}));
    if !app.actions.dag_pause(&DagId(dag_id.clone()), is_paused).await? {
        return Err(ApiError::DagNotFound(dag_id));
    }
    if headers.contains_key("hx-request") {
        let toggle = PauseToggle::new(&dag_id, is_paused, &viewer.frame());
        return Ok(Html(toggle.markup()).into_response());
    }
    Ok(Redirect::to(&url::dag(&dag_id)).into_response())
}
