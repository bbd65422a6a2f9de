//! A mapped task of a run: its instances, a page at a time.

use axum::response::Html;
use serde::Deserialize;
use subak_core::dag::model::Task;
use subak_core::ids::TaskId;
use subak_core::state::TaskState;
use subak_store::read::{InstanceRecord, MapRecord, Page, Window};
use subak_web::Badge;
use subak_web::map::{MapPage, StateLink};
use subak_web::pager::Pager;
use subak_web::run::TaskRow;
use subak_web::url;

use super::run::Look;
use super::run_live::{map_progress, row};
use super::viewer::Viewer;
use crate::app::App;
use crate::clock;
use crate::labels::labels;
use crate::problem::ApiError;

/// Instances of one page.
const PAGE: i64 = 100;

#[derive(Deserialize)]
pub(super) struct MapQuery {
    #[serde(default)]
    offset: i64,
    /// Instances in this state; `none`: without one.
    state: Option<String>,
}

/// Shows the instances of a mapped task.
pub(super) async fn page(
    app: &App,
    viewer: &Viewer,
    look: &Look,
    map: &MapRecord,
    query: MapQuery,
) -> Result<Html<String>, ApiError> {
    let (now, t) = (clock::now(), viewer.t);
    let (run, record) = (&look.run, &look.version.record);
    let wanted = query.state.as_deref();
    let offset = query.offset.max(0);
    let Page { items: shown, total } = instances(app, look, &map.task_id, wanted, offset).await?;
    let labels = labels(app, run, record, &shown).await?;
    let href = url::task(&run.dag_id, &run.run_id, &map.task_id.0, -1);
    let of_state = |state: &str| format!("{href}?state={state}");
    let address = |offset: i64| match wanted {
        Some(state) => format!("{}&offset={offset}", of_state(&url::encode(state))),
        None => format!("{href}?offset={offset}"),
    };
    let named = |it: &InstanceRecord| {
        let row = row(run, &look.version, it, now, t);
        match labels.get(&it.map_index.0) {
            Some(label) => TaskRow { name: format!("{label} [{}]", it.map_index.0), ..row },
            None => row,
        }
    };
    let states = map.states.iter().map(|(state, count)| StateLink {
        badge: Badge::task(*state, t),
        count: *count,
        href: of_state(word(*state)),
        is_shown: wanted == Some(word(*state)),
    });
    let page = MapPage {
        frame: viewer.frame(),
        dag_href: url::dag(&run.dag_id),
        dag_id: run.dag_id.clone(),
        run_href: url::run(&run.dag_id, &run.run_id),
        run_id: run.run_id.clone(),
        task_id: map.task_id.0.clone(),
        badge: Badge::task(map.state(), t),
        progress: map_progress(map, t),
        states: states.collect(),
        rows: shown.iter().map(named).collect(),
        pager: Pager::new(offset, shown.len(), total, PAGE, address),
        can_clear: viewer.can_run() && map.state().is_some(),
        href: href.clone(),
    };
    Ok(Html(page.page()))
}

/// The instances that are shown: of all only these are read, but of one state all are.
async fn instances(
    app: &App,
    look: &Look,
    task_id: &TaskId,
    wanted: Option<&str>,
    offset: i64,
) -> Result<Page<InstanceRecord>, ApiError> {
    let (run, version) = (&look.run, &look.version.record);
    let Some(wanted) = wanted else {
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
