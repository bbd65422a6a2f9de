//! A mapped task of a run: its instances, a page at a time, and what changes of them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use axum::response::sse::{Event, Sse};
use futures::Stream;
use serde::Deserialize;
use subak_core::dag::model::Task;
use subak_core::explain::Explanation;
use subak_core::ids::{MapIndex, TaskId};
use subak_core::state::TaskState;
use subak_store::read::{InstanceRecord, MapRecord, Page, RunRecord, Window};
use subak_web::Badge;
use subak_web::map::{MapLive, MapPage, StateLink};
use subak_web::pager::Pager;
use subak_web::run::TaskRow;
use subak_web::url;

use super::run;
use super::run_live::{map_progress, name, row};
use super::task::{Names, downstream, neighbours, settings, upstream};
use super::task_live::told;
use super::viewer::Viewer;
use super::watch::{APART, Look, Shown, watch};
use crate::app::App;
use crate::explain::explain;
use crate::extract::{Path, Query};
use crate::labels::labels;
use crate::problem::ApiError;
use crate::versions::Version;

/// Instances of one page.
const PAGE: i64 = 100;

#[derive(Deserialize)]
pub(super) struct MapQuery {
    #[serde(default)]
    offset: i64,
    /// Instances in this state; `none`: without one.
    state: Option<String>,
}

/// What is looked at: a run's task, and which of its instances.
pub(super) type Asked = (i64, String, Option<String>, i64);

impl MapQuery {
    fn asked(&self, run: &RunRecord, task_id: &str) -> Asked {
        (run.run_key.0, task_id.to_owned(), self.state.clone(), self.offset.max(0))
    }

    /// The address with these instances, from `offset` on.
    fn at(&self, address: &str, offset: i64) -> String {
        match &self.state {
            Some(state) => format!("{address}?state={}&offset={offset}", url::encode(state)),
            None => format!("{address}?offset={offset}"),
        }
    }
}

/// A mapped task as it stands, and those of its instances that are shown.
#[derive(Debug)]
pub(crate) struct Seen {
    run: RunRecord,
    map: MapRecord,
    shown: Vec<InstanceRecord>,
    total: i64,
    /// Why they wait; `None`: all have ended.
    why: Option<Explanation>,
    /// What the instances are called, by index.
    labels: BTreeMap<i32, String>,
}

/// Shows the instances of a mapped task.
pub(super) async fn page(
    app: &App,
    viewer: &Viewer,
    look: &run::Look,
    map: &MapRecord,
    query: MapQuery,
) -> Result<Html<String>, ApiError> {
    let (run, task_id) = (&look.run, &map.task_id.0);
    let ask = || seen(app, run.clone(), map.clone(), &look.version, &query);
    let now = Look::now(&app.lists.maps, query.asked(run, task_id), ask).await?;
    let href = url::task(&run.dag_id, &run.run_id, task_id, -1);
    let events = query.at(&format!("{href}/instances/events"), query.offset.max(0));
    let page = MapPage {
        frame: viewer.frame(),
        dag_href: url::dag(&run.dag_id),
        dag_id: run.dag_id.clone(),
        run_href: url::run(&run.dag_id, &run.run_id),
        run_id: run.run_id.clone(),
        task_id: task_id.clone(),
        events: viewer.events(&events, now.print),
        live: live(&now, &look.version, &query, viewer),
        note: app
            .store
            .task_notes(run.run_key)
            .await?
            .remove(&(map.task, MapIndex::NONE.0))
            .unwrap_or_default(),
        note_action: viewer.can_run().then(|| format!("{href}/note")),
        settings: settings(look, &map.task_id),
        upstream: neighbours(look, &upstream(look, &map.task_id), viewer),
        downstream: neighbours(look, &downstream(look, &map.task_id), viewer),
    };
    Ok(Html(page.page()))
}

/// Sends what has changed of them.
pub(super) async fn events(
    State(app): State<App>,
    viewer: Viewer,
    Path(names): Path<Names>,
    Query(query): Query<MapQuery>,
    shown: Shown,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let (run, ..) = find(&app, &names).await?;
    let asked = query.asked(&run, &names.2);
    let (stop, shared) = (app.stop.clone(), Arc::new((app, viewer, names, query)));
    Ok(watch(stop, APART, shown, move || {
        let (shared, asked) = (Arc::clone(&shared), asked.clone());
        async move {
            let (app, _, names, query) = &*shared;
            let ask = || async {
                let (run, map, version) = find(app, names).await?;
                seen(app, run, map, &version, query).await
            };
            let look = Look::again(&app.lists.maps, asked, ask).await?;
            let version = app.versions.of_run(&look.it.run).await?;
            let (print, shared) = (look.print, Arc::clone(&shared));
            Ok((print, move || {
                let (_, viewer, _, query) = &*shared;
                let draw = || live(&look, &version, query, viewer).pieces();
                look.drawn(viewer.eyes(), String::new(), draw)
            }))
        }
    }))
}

/// The mapped task of these names, if it is expanded.
async fn find(
    app: &App,
    (dag_id, run_id, task_id): &Names,
) -> Result<(RunRecord, MapRecord, Arc<Version>), ApiError> {
    let look = run::Look::at(app, dag_id, run_id).await?;
    let map = look.maps.into_iter().find(|map| map.task_id.0 == *task_id);
    let map = map.ok_or_else(|| ApiError::TaskNotFound(task_id.clone()))?;
    Ok((look.run, map, look.version))
}

async fn seen(
    app: &App,
    run: RunRecord,
    map: MapRecord,
    version: &Version,
    query: &MapQuery,
) -> Result<Seen, ApiError> {
    let Page { items: shown, total } = instances(app, &run, version, &map.task_id, query).await?;
    let labels = labels(app, &run, &version.record, &shown).await?;
    let why = match map.state().is_some_and(TaskState::is_final) {
        true => None,
        false => explain(&app.store, &run, version, &map.task_id.0, MapIndex::NONE).await?,
    };
    Ok(Seen { run, map, shown, total, why, labels })
}

/// Returns the part that lives.
fn live<'a>(
    look: &Look<Seen>,
    version: &Version,
    query: &MapQuery,
    viewer: &'a Viewer,
) -> MapLive<'a> {
    let Seen { run, map, shown, total, why, labels } = &look.it;
    let (t, wanted) = (viewer.t, query.state.as_deref());
    let href = url::task(&run.dag_id, &run.run_id, &map.task_id.0, -1);
    let named = |it: &InstanceRecord| {
        let index = it.map_index.0;
        let row = row(run, version, it, look.at, t);
        let name = name(it, labels.get(&index).map(String::as_str));
        TaskRow { key: index, name, ..row }
    };
    let states = map.states.iter().map(|(state, count)| StateLink {
        badge: Badge::task(*state, t),
        count: *count,
        href: format!("{href}?state={}", word(*state)),
        is_shown: wanted == Some(word(*state)),
    });
    let offset = query.offset.max(0);
    MapLive {
        frame: viewer.frame(),
        task_id: map.task_id.0.clone(),
        badge: Badge::task(map.state(), t),
        progress: map_progress(map, t),
        states: states.collect(),
        rows: shown.iter().map(named).collect(),
        pager: Pager::new(offset, shown.len(), *total, PAGE, |offset| query.at(&href, offset)),
        why: why.as_ref().map(|why| told(why, t)).unwrap_or_default(),
        can_clear: viewer.can_run() && map.state().is_some(),
        can_mark: viewer.can_run(),
        href,
    }
}

/// The instances that are shown: of all only these are read, but of one state all are.
async fn instances(
    app: &App,
    run: &RunRecord,
    version: &Version,
    task_id: &TaskId,
    query: &MapQuery,
) -> Result<Page<InstanceRecord>, ApiError> {
    let (version, offset) = (&version.record, query.offset.max(0));
    let Some(wanted) = &query.state else {
        let window = Window { limit: PAGE, offset, descending: false };
        let is_meant = |task: &Task| task.task_id == *task_id;
        return Ok(app.store.instance_page(run, version, is_meant, window).await?);
    };
    let mut all = app.store.instances_of(run, version, task_id).await?;
    all.retain(|it| word(it.state) == wanted);
    let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let from = usize::try_from(offset.min(total)).unwrap_or(usize::MAX);
    let shown = all.drain(from..).take(usize::try_from(PAGE).unwrap_or(usize::MAX)).collect();
    Ok(Page { items: shown, total })
}

fn word(state: Option<TaskState>) -> &'static str {
    state.map_or("none", TaskState::as_str)
}
