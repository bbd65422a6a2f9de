//! The Gantt of a DAG: the timeline of one of its runs, the newest unless another one is chosen.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::Html;
use axum::response::sse::{Event, Sse};
use chrono::{DateTime, Utc};
use futures::Stream;
use serde::Deserialize;
use subak_store::read::{Orders, RunFilter, RunRecord};
use subak_web::Badge;
use subak_web::format::Stamp;
use subak_web::gantt::{GanttLive, GanttPage, GanttRun};
use subak_web::graph::Sight;
use subak_web::text::Text;
use subak_web::url;

use super::run::{Look, View, stream};
use super::run_live::{since, timeline, took};
use super::run_rows::{Chosen, RowsQuery};
use super::viewer::Viewer;
use super::watch::Shown;
use crate::app::App;
use crate::clock;
use crate::extract::{Path, Query};
use crate::problem::ApiError;

/// Runs to choose from.
const RUNS_MOST: i64 = 25;

#[derive(Deserialize)]
pub(super) struct ShowQuery {
    /// Empty: the newest one.
    #[serde(default)]
    run: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    offset: usize,
}

pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(dag_id): Path<String>,
    Query(ShowQuery { run, state, offset }): Query<ShowQuery>,
) -> Result<Html<String>, ApiError> {
    if app.store.dag_get(&dag_id).await?.is_none() {
        return Err(ApiError::DagNotFound(dag_id));
    }
    let (now, t) = (clock::now(), viewer.t);
    let of_dag = RunFilter {
        dag_id: Some(dag_id.clone()),
        orders: Orders::descending(),
        ..RunFilter::default()
    };
    let recent = app.store.run_list(&of_dag, RUNS_MOST, 0).await?.items;
    let wanted = Some(run).filter(|run| !run.is_empty());
    let wanted = wanted.or_else(|| recent.first().map(|run| run.run_id.clone()));
    let look = match wanted {
        Some(run_id) => Some(Look::at(&app, &dag_id, &run_id).await?),
        None => None,
    };
    let chosen = Chosen::from(RowsQuery { state, offset, ..RowsQuery::default() });
    let page = GanttPage {
        frame: viewer.frame(),
        href: url::dag(&dag_id),
        events: look.as_ref().map_or_else(String::new, |look| {
            let run = url::run(&look.run.dag_id, &look.run.run_id);
            viewer.events(&format!("{run}/gantt/events{}", chosen.query()), look.print())
        }),
        runs: choice(&recent, look.as_ref().map(|look| &look.run), t),
        live: look.as_ref().map(|look| gantt_live(look, chosen, now, t)),
        dag_id,
    };
    Ok(Html(page.page()))
}

pub(super) async fn events(
    State(app): State<App>,
    viewer: Viewer,
    Path(run): Path<(String, String)>,
    Query(query): Query<RowsQuery>,
    shown: Shown,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    stream(app, viewer, run, View::Gantt, (query.into(), Sight::default()), shown).await
}

/// The newest runs, and the one that is shown.
fn choice(recent: &[RunRecord], shown: Option<&RunRecord>, t: &'static Text) -> Vec<GanttRun> {
    let is_shown = |run: &RunRecord| shown.is_some_and(|shown| shown.run_key == run.run_key);
    let older = shown.filter(|_| !recent.iter().any(is_shown));
    let runs = recent.iter().chain(older).map(|run| GanttRun {
        run_id: run.run_id.clone(),
        badge: Badge::run(run.state, t),
        is_shown: is_shown(run),
    });
    runs.collect()
}

/// Returns the part that lives.
pub(super) fn gantt_live(
    look: &Look,
    chosen: Chosen,
    now: DateTime<Utc>,
    t: &'static Text,
) -> GanttLive {
    let run = &look.run;
    let (dag, id) = (url::dag(&run.dag_id), url::encode(&run.run_id));
    let address = |chosen: Chosen| {
        format!("{dag}/gantt?run={id}{}#run-tasks", chosen.query().replacen('?', "&", 1))
    };
    GanttLive {
        t,
        href: url::run(&run.dag_id, &run.run_id),
        badge: Badge::run(run.state, t),
        started: run.started_at.map(|at| Stamp::new(at, now, t)),
        took: took(run.started_at, run.ended_at, now),
        since: since(run.started_at, run.ended_at),
        timeline: timeline(look, chosen, address, now, t),
        run_id: run.run_id.clone(),
    }
}
