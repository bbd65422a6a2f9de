//! One DAG, and its pause.

use axum::Form;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use subak_core::ids::DagId;
use subak_store::read::{Orders, RunFilter, RunRecord};
use subak_web::Badge;
use subak_web::dag::{DagPage, RunRow};
use subak_web::dags::PauseToggle;
use subak_web::format::{Stamp, duration};
use subak_web::graph::GraphView;
use subak_web::pager::Pager;
use subak_web::text::Text;
use subak_web::{source, url};

use super::dag_details::details;
use super::dags::schedule_of;
use super::grid::{Column, column};
use super::viewer::Viewer;
use crate::app::App;
use crate::audit::Trail;
use crate::clock;
use crate::extract::{Path, Query};
use crate::problem::ApiError;

/// Runs of one page.
const PAGE: i64 = 25;

#[derive(Deserialize)]
pub(super) struct ShowQuery {
    #[serde(default)]
    offset: i64,
}

#[derive(Deserialize)]
pub(super) struct Pause {
    is_paused: bool,
}

pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(dag_id): Path<String>,
    Query(query): Query<ShowQuery>,
) -> Result<Html<String>, ApiError> {
    let (now, t) = (clock::now(), viewer.t);
    let found = app.store.dag_get(&dag_id).await?;
    let dag = found.ok_or_else(|| ApiError::DagNotFound(dag_id.clone()))?;
    let version = app.versions.get(dag.dag, dag.version).await?;
    let offset = query.offset.max(0);
    let of_dag =
        RunFilter { dag_id: Some(dag_id), orders: Orders::descending(), ..RunFilter::default() };
    let runs = app.store.run_list(&of_dag, PAGE, offset).await?;
    let href = url::dag(&dag.dag_id);
    let broken = if dag.has_import_error {
        let errors = app.store.import_error_list(1000, 0).await?.items;
        errors.into_iter().find(|error| error.file == dag.file).map(|error| error.message)
    } else {
        None
    };
    let pager = Pager::new(offset, runs.items.len(), runs.total, PAGE, |offset| {
        format!("{href}?offset={offset}")
    });
    let newest = match runs.items.first() {
        // A graph that is not drawn shows no states.
        _ if version.layout().is_too_large => None,
        Some(newest) if offset == 0 => Some(newest.clone()),
        _ => app.store.run_list(&of_dag, 1, 0).await?.items.pop(),
    };
    let newest = match newest {
        Some(run) => Some(column(&app, run).await?),
        None => None,
    };
    let view = DagPage {
        frame: viewer.frame(),
        toggle: PauseToggle::new(&dag.dag_id, dag.is_paused, &viewer.frame()),
        schedule: schedule_of(&dag),
        schedule_words: dag.head.schedule.as_ref().map_or_else(String::new, |schedule| {
            subak_core::schedule::in_words(schedule, dag.head.timezone)
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
        graph: match &newest {
            Some(Column { run, states }) => {
                let task = |id: &str| url::task(&run.dag_id, &run.run_id, id, -1);
                GraphView::of_newest(version.layout(), states, task, t)
            }
            None => GraphView::plain(version.layout(), t),
        },
        newest: newest.map(|it| (it.run.run_id.clone(), url::run(&it.run.dag_id, &it.run.run_id))),
        runs_href: format!("/runs?dag={}", url::encode(&dag.dag_id)),
        details: details(&dag, t),
        source: source::markup(&version.record.source),
        runs: runs.items.into_iter().map(|run| row(run, now, t)).collect(),
        description: dag.head.description.unwrap_or_default(),
        tags: dag.head.tags,
        file: dag.file,
        dag_id: dag.dag_id,
        pause_cause: dag.pause_cause,
        broken,
        href,
        pager,
    };
    Ok(Html(view.page()))
}

fn row(run: RunRecord, now: DateTime<Utc>, t: &'static Text) -> RunRow {
    RunRow {
        href: url::run(&run.dag_id, &run.run_id),
        badge: Badge::run(run.state, t),
        who: who(&run),
        started: run.started_at.map(|at| Stamp::new(at, now, t)),
        took: run
            .started_at
            .map_or_else(String::new, |from| duration(run.ended_at.unwrap_or(now) - from)),
        note: run.note.unwrap_or_default(),
        run_type: run.run_type,
        run_id: run.run_id,
    }
}

/// Who or what started a run.
pub(super) fn who(run: &RunRecord) -> String {
    match &run.triggered_user {
        Some(user) => format!("{user} · {}", run.triggered_by),
        None => run.triggered_by.clone(),
    }
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
