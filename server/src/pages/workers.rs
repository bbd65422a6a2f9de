//! Workers: the list, and how one is let go.

use axum::extract::State;
use axum::response::{Html, Redirect};
use serde_json::{Value, json};
use subak_store::read::Page;
use subak_web::format::Stamp;
use subak_web::url::encode;
use subak_web::workers::{WorkerRow, WorkersLive, WorkersPage};

use super::listing::NameQuery;
use super::lists::{self, List, LooksAt};
use super::viewer::Viewer;
use super::watch::Look;
use crate::app::App;
use crate::audit::Trail;
use crate::extract::{Path, Query};
use crate::problem::ApiError;

const HERE: &str = "/workers";

/// A worker, and how many tasks it runs.
#[derive(Debug)]
pub(crate) struct Seen {
    worker: subak_store::WorkerRow,
    runs: i64,
}

pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<NameQuery>,
) -> Result<Html<String>, ApiError> {
    let look = lists::now::<Page<Seen>>(&app, &viewer, &query).await?;
    let page = WorkersPage {
        frame: viewer.frame(),
        find: query.ways(HERE, look.it.items.len(), look.it.total).0,
        events: viewer.events(&query.address("/live/workers"), look.print),
        live: live(&look, &query, &viewer),
    };
    Ok(Html(page.page()))
}

impl List for Page<Seen> {
    type Query = NameQuery;

    fn looks(app: &App) -> &LooksAt<Self> {
        &app.lists.workers
    }

    async fn find(app: &App, _: &Viewer, query: &NameQuery) -> Result<Self, ApiError> {
        let tasks = app.store.session_tasks().await?;
        let seen = app.store.workers().await?.into_iter().map(|mut worker| {
            // No list shows it, and it would be sent anew for it.
            worker.lease_until = worker.started_at;
            Seen { runs: tasks.get(&worker.session).copied().unwrap_or(0), worker }
        });
        Ok(query.part(seen.collect(), |it| &it.worker.worker))
    }

    fn markup(look: &Look<Self>, query: &NameQuery, viewer: &Viewer) -> String {
        live(look, query, viewer).markup()
    }
}

fn live<'a>(look: &Look<Page<Seen>>, query: &NameQuery, viewer: &'a Viewer) -> WorkersLive<'a> {
    let row = |Seen { worker: it, runs }: &Seen| WorkerRow {
        queues: queues(&it.queues),
        runs: *runs,
        since: Stamp::new(it.started_at, look.at, viewer.t),
        is_draining: it.draining,
        drain_action: format!("/workers/{}/drain", encode(&it.worker)),
        name: it.worker.clone(),
        version: it.version.clone(),
        server: it.server.clone(),
    };
    WorkersLive {
        frame: viewer.frame(),
        is_searched: query.is_searched(),
        rows: look.it.items.iter().map(row).collect(),
        pager: query.ways(HERE, look.it.items.len(), look.it.total).1,
    }
}

/// Lets a worker take no more tasks.
pub(super) async fn drain(
    State(app): State<App>,
    trail: Trail,
    Path(worker): Path<String>,
) -> Result<Redirect, ApiError> {
    let mut before = app.store.workers().await?;
    before.retain(|it| it.worker == worker);
    trail.before(json!({"draining": before.iter().all(|it| it.draining)}));
    trail.after(json!({"draining": true}));
    match app.actions.worker_drain(&worker).await? {
        true => Ok(Redirect::to("/workers")),
        false => Err(ApiError::NotFound(format!("worker {worker}"))),
    }
}

/// `default 16`.
fn queues(value: &Value) -> Vec<String> {
    let queues = value.as_array().into_iter().flatten();
    let named = queues.filter_map(|it| Some(format!("{} {}", it["queue"].as_str()?, it["slots"])));
    named.collect()
}
