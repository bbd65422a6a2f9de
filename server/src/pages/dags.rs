//! The list of DAGs.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Html;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use subak_core::schedule;
use subak_store::access::Role;
use subak_store::read::{DagFilter, DagRecord, RecentRun, TextFilter};
use subak_web::Badge;
use subak_web::bars::{BARS, BarRun, bars};
use subak_web::dags::{BrokenFile, DagRow, DagsPage, Filter, LastRun, PauseToggle};
use subak_web::format::Stamp;
use subak_web::pager::Pager;
use subak_web::url::{self, encode};

use super::viewer::Viewer;
use crate::app::App;
use crate::clock;
use crate::extract::Query;
use crate::problem::ApiError;

/// DAGs of one page.
const PAGE: i64 = 50;
/// Files that do not parse, shown above the list.
const BROKEN_MOST: i64 = 50;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    #[serde(default)]
    name: String,
    #[serde(default)]
    tag: String,
    #[serde(default)]
    shown: String,
    #[serde(default)]
    offset: i64,
}

pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Html<String>, ApiError> {
    let (now, t) = (clock::now(), viewer.t);
    let filter = DagFilter {
        text: TextFilter::containing(&query.name),
        tags: Some(query.tag.clone()).filter(|tag| !tag.is_empty()).into_iter().collect(),
        paused: match &*query.shown {
            "active" => Some(false),
            "paused" => Some(true),
            _ => None,
        },
        only: viewer.sight(),
        ..DagFilter::default()
    };
    let offset = query.offset.max(0);
    let page = app.store.dag_list(&filter, PAGE, offset).await?;
    let numbers: Vec<i32> = page.items.iter().map(|dag| dag.dag).collect();
    let each = i64::try_from(BARS).unwrap_or(14);
    let mut recent = app.store.dag_recent_runs(&numbers, each).await?;
    // Of files nobody can say whose DAGs they would have.
    let is_whole = filter.only.is_none();
    let broken = app.store.import_error_list(if is_whole { BROKEN_MOST } else { 0 }, 0).await?;
    let broken_title = match broken.total {
        1 => t.broken_files_one.to_owned(),
        many => t.fill(t.broken_files_many, many),
    };
    let pager = Pager::new(offset, page.items.len(), page.total, PAGE, |offset| {
        let [name, tag, shown] = [&query.name, &query.tag, &query.shown].map(|it| encode(it));
        format!("/dags?name={name}&tag={tag}&shown={shown}&offset={offset}")
    });
    let is_filtered = !query.name.is_empty() || !filter.tags.is_empty() || filter.paused.is_some();
    let view = DagsPage {
        frame: viewer.frame(),
        tags: if is_whole { app.store.dag_tags().await? } else { Vec::new() },
        is_empty: page.total == 0 && !is_filtered,
        rows: page.items.into_iter().map(|dag| row(dag, &mut recent, &viewer, now)).collect(),
        pager,
        filter: Filter { name: query.name, tag: query.tag, shown: query.shown },
        broken: broken
            .items
            .into_iter()
            .map(|error| BrokenFile { file: error.file, message: error.message })
            .collect(),
        broken_title,
    };
    Ok(Html(view.page()))
}

fn row(
    dag: DagRecord,
    recent: &mut BTreeMap<i32, Vec<RecentRun>>,
    viewer: &Viewer,
    now: DateTime<Utc>,
) -> DagRow {
    let t = viewer.t;
    let runs: Vec<BarRun> =
        recent.remove(&dag.dag).unwrap_or_default().into_iter().map(bar_run).collect();
    let last = runs.last().map(|run| LastRun {
        badge: Badge::run(run.state, t),
        href: url::run(&dag.dag_id, &run.run_id),
        when: Stamp::new(run.started_at.unwrap_or(run.run_after), now, t),
    });
    DagRow {
        href: url::dag(&dag.dag_id),
        toggle: PauseToggle::new(&dag.dag_id, dag.is_paused, &viewer.frame_for(&dag.dag_id)),
        bars: bars(&dag.dag_id, &runs, now, t),
        last,
        schedule: schedule_of(&dag),
        next_run: dag.next_run_at.map(|at| Stamp::new(at, now, t)),
        has_params: !dag.head.params.is_empty(),
        can_run: viewer.may_with(&dag.dag_id, Role::User) && !dag.is_stale,
        is_stale: dag.is_stale,
        is_broken: dag.has_import_error,
        description: dag.head.description.unwrap_or_default(),
        tags: dag.head.tags,
        dag_id: dag.dag_id,
    }
}

/// Returns the schedule as people wrote it.
pub(super) fn schedule_of(dag: &DagRecord) -> Option<String> {
    dag.head.schedule.as_ref().map(schedule::summary)
}

fn bar_run(run: RecentRun) -> BarRun {
    BarRun {
        run_id: run.run_id,
        state: run.state,
        run_after: run.run_after,
        started_at: run.started_at,
        ended_at: run.ended_at,
    }
}
