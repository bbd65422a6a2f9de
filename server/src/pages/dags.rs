//! The list of DAGs.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Html;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use subak_core::schedule;
use subak_core::state::RunState;
use subak_store::access::Role;
use subak_store::read::{DagFilter, DagRecord, Page, RecentRun, TextFilter};
use subak_web::Badge;
use subak_web::bars::{BARS, BarRun, bars};
use subak_web::dags::{BrokenFile, DagRow, DagsLive, DagsPage, Filter, LastRun, PauseToggle};
use subak_web::format::Stamp;
use subak_web::pager::Pager;
use subak_web::url::{self, encode};

use super::lists::{self, List, LooksAt};
use super::viewer::Viewer;
use super::watch::Look;
use crate::app::App;
use crate::extract::Query;
use crate::problem::ApiError;

/// DAGs of one page.
const PAGE: i64 = 50;
/// Files that do not parse, shown above the list.
const BROKEN_MOST: i64 = 50;

#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    name: String,
    #[serde(default)]
    tag: String,
    /// A part of the name of an owner.
    #[serde(default)]
    owner: String,
    #[serde(default)]
    shown: String,
    /// The state of the newest run.
    #[serde(default)]
    last: String,
    #[serde(default)]
    offset: i64,
}

/// DAGs of a page, with the newest runs of each.
#[derive(Debug)]
pub(crate) struct Listed {
    page: Page<DagRecord>,
    recent: BTreeMap<i32, Vec<RecentRun>>,
}

impl ListQuery {
    fn filter(&self, only: Option<Vec<String>>) -> DagFilter {
        DagFilter {
            text: TextFilter::containing(&self.name),
            tags: Some(self.tag.clone()).filter(|tag| !tag.is_empty()).into_iter().collect(),
            paused: match &*self.shown {
                "active" => Some(false),
                "paused" => Some(true),
                _ => None,
            },
            owner_text: TextFilter::containing(self.owner.trim()),
            last_state: RunState::parse(&self.last),
            only,
            ..DagFilter::default()
        }
    }

    /// Whether it leaves some out.
    fn is_narrow(&self) -> bool {
        !self.name.is_empty()
            || !self.tag.is_empty()
            || !self.owner.trim().is_empty()
            || RunState::parse(&self.last).is_some()
            || ["active", "paused"].contains(&&*self.shown)
    }

    /// The list at an offset, below an address.
    fn address(&self, at: &str, offset: i64) -> String {
        let [name, tag, owner] = [&self.name, &self.tag, &self.owner].map(|it| encode(it));
        let [shown, last] = [&self.shown, &self.last].map(|it| encode(it));
        format!(
            "{at}?name={name}&tag={tag}&owner={owner}&shown={shown}&last={last}&offset={offset}"
        )
    }
}

pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Html<String>, ApiError> {
    let t = viewer.t;
    let look = lists::now::<Listed>(&app, &viewer, &query).await?;
    // Of files nobody can say whose DAGs they would have.
    let is_whole = viewer.sight().is_none();
    let broken = app.store.import_error_list(if is_whole { BROKEN_MOST } else { 0 }, 0).await?;
    let broken_title = match broken.total {
        1 => t.broken_files_one.to_owned(),
        many => t.fill(t.broken_files_many, many),
    };
    let view = DagsPage {
        frame: viewer.frame(),
        events: viewer.events(&query.address("/live/dags", query.offset.max(0)), look.print),
        live: live(&look, &query, &viewer),
        tags: if is_whole { app.store.dag_tags().await? } else { Vec::new() },
        filter: Filter {
            name: query.name.clone(),
            tag: query.tag.clone(),
            owner: query.owner.clone(),
            shown: query.shown.clone(),
            last: query.last.clone(),
        },
        broken: broken
            .items
            .into_iter()
            .map(|error| BrokenFile { file: error.file, message: error.message })
            .collect(),
        broken_title,
    };
    Ok(Html(view.page()))
}

impl List for Listed {
    type Query = ListQuery;

    fn looks(app: &App) -> &LooksAt<Self> {
        &app.lists.dags
    }

    async fn find(app: &App, viewer: &Viewer, query: &ListQuery) -> Result<Self, ApiError> {
        let filter = query.filter(viewer.sight());
        let page = app.store.dag_list(&filter, PAGE, query.offset.max(0)).await?;
        let numbers: Vec<i32> = page.items.iter().map(|dag| dag.dag).collect();
        let each = i64::try_from(BARS).unwrap_or(14);
        let recent = app.store.dag_recent_runs(&numbers, each).await?;
        Ok(Self { page, recent })
    }

    fn markup(look: &Look<Self>, query: &ListQuery, viewer: &Viewer) -> String {
        live(look, query, viewer).markup()
    }
}

fn live<'a>(look: &Look<Listed>, query: &ListQuery, viewer: &'a Viewer) -> DagsLive<'a> {
    let Listed { page, recent } = &look.it;
    let pager = Pager::new(query.offset.max(0), page.items.len(), page.total, PAGE, |offset| {
        query.address("/dags", offset)
    });
    let runs = |dag: &DagRecord| recent.get(&dag.dag).cloned().unwrap_or_default();
    let rows = page.items.iter().map(|dag| row(dag.clone(), runs(dag), viewer, look.at));
    DagsLive {
        frame: viewer.frame(),
        is_empty: page.total == 0 && query.offset <= 0 && !query.is_narrow(),
        rows: rows.collect(),
        pager,
    }
}

fn row(dag: DagRecord, recent: Vec<RecentRun>, viewer: &Viewer, now: DateTime<Utc>) -> DagRow {
    let t = viewer.t;
    let runs: Vec<BarRun> = recent.into_iter().map(bar_run).collect();
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
