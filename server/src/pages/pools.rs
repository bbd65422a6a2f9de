//! Pools: the list, and its forms.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::json;
use subak_store::Pool;
use subak_store::read::Page;
use subak_web::pools::{PoolRow, PoolsLive, PoolsPage};
use subak_web::text::Text;
use subak_web::url::encode;

use super::listing::NameQuery;
use super::lists::{self, List, LooksAt};
use super::problems;
use super::viewer::Viewer;
use super::watch::Look;
use crate::actions::DEFAULT_POOL;
use crate::app::App;
use crate::audit::Trail;
use crate::extract::{Form, Path, Query};
use crate::problem::ApiError;

const HERE: &str = "/pools";

#[derive(Deserialize)]
pub(super) struct PoolForm {
    /// Of a new one.
    #[serde(default)]
    name: String,
    slots: i32,
    #[serde(default)]
    description: String,
    #[serde(default)]
    include_deferred: bool,
}

pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<NameQuery>,
) -> Result<Html<String>, ApiError> {
    Ok(Html(page(&app, &viewer, &query, None).await?))
}

/// The list again: what was refused was sent to an address below.
pub(super) async fn again() -> Redirect {
    Redirect::to(HERE)
}

pub(super) async fn add(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Form(form): Form<PoolForm>,
) -> Result<Response, ApiError> {
    let name = form.name.trim().to_owned();
    if app.store.pools().await?.iter().any(|pool| pool.name == name) {
        let problem = viewer.t.fill(viewer.t.pool_exists, &name);
        return refused(&app, &viewer, problem).await;
    }
    put(&app, &viewer, &trail, &name, &form).await
}

pub(super) async fn change(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path(name): Path<String>,
    Form(form): Form<PoolForm>,
) -> Result<Response, ApiError> {
    let known = known(&app, &name).await?;
    trail.before(shown(&known));
    put(&app, &viewer, &trail, &name, &form).await
}

pub(super) async fn remove(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    trail.before(shown(&known(&app, &name).await?));
    match app.actions.pool_remove(&name).await {
        Ok(()) => Ok(Redirect::to(HERE).into_response()),
        Err(error) => {
            let problem = problems::of_form(error, viewer.t)?.join(" ");
            refused(&app, &viewer, problem).await
        }
    }
}

async fn put(
    app: &App,
    viewer: &Viewer,
    trail: &Trail,
    name: &str,
    form: &PoolForm,
) -> Result<Response, ApiError> {
    let PoolForm { slots, description, include_deferred, .. } = form;
    match app.actions.pool_put(name, *slots, *include_deferred, Some(description)).await {
        Ok(()) => {
            trail.made("pool", name);
            trail.after(json!({"slots": slots, "include_deferred": include_deferred,
                               "description": description}));
            Ok(Redirect::to(HERE).into_response())
        }
        Err(error) => {
            let problem = problems::of_form(error, viewer.t)?.join(" ");
            refused(app, viewer, problem).await
        }
    }
}

fn shown(pool: &Pool) -> serde_json::Value {
    let Pool { slots, include_deferred, description, .. } = pool;
    json!({"slots": slots, "include_deferred": include_deferred, "description": description})
}

async fn known(app: &App, name: &str) -> Result<Pool, ApiError> {
    let found = app.store.pools().await?.into_iter().find(|pool| pool.name == name);
    found.ok_or_else(|| ApiError::NotFound(format!("pool {name}")))
}

async fn refused(app: &App, viewer: &Viewer, problem: String) -> Result<Response, ApiError> {
    let html = page(app, viewer, &NameQuery::default(), Some(problem)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, Html(html)).into_response())
}

async fn page(
    app: &App,
    viewer: &Viewer,
    query: &NameQuery,
    problem: Option<String>,
) -> Result<String, ApiError> {
    let look = lists::now::<Page<Pool>>(app, viewer, query).await?;
    let page = PoolsPage {
        frame: viewer.frame(),
        find: query.ways(HERE, look.it.items.len(), look.it.total).0,
        events: viewer.events(&query.address("/live/pools"), look.print),
        live: live(&look, query, viewer),
        problem,
    };
    Ok(page.page())
}

impl List for Page<Pool> {
    type Query = NameQuery;

    fn looks(app: &App) -> &LooksAt<Self> {
        &app.lists.pools
    }

    async fn find(app: &App, _: &Viewer, query: &NameQuery) -> Result<Self, ApiError> {
        Ok(query.part(app.store.pools_and_default().await?, |it| &it.name))
    }

    fn markup(look: &Look<Self>, query: &NameQuery, viewer: &Viewer) -> String {
        live(look, query, viewer).markup()
    }
}

fn live<'a>(look: &Look<Page<Pool>>, query: &NameQuery, viewer: &'a Viewer) -> PoolsLive<'a> {
    let found = &look.it;
    PoolsLive {
        frame: viewer.frame(),
        rows: found.items.iter().cloned().map(|pool| row(pool, viewer.t)).collect(),
        pager: query.ways(HERE, found.items.len(), found.total).1,
    }
}

fn row(pool: Pool, t: &Text) -> PoolRow {
    let is_ours = pool.name != DEFAULT_POOL;
    let full = i64::from(pool.used) * 1000 / i64::from(pool.slots.max(1));
    PoolRow {
        href: format!("{HERE}/{}", encode(&pool.name)),
        full: if pool.slots < 0 { 0 } else { i32::try_from(full.min(1000)).unwrap_or(1000) },
        is_ours,
        slots: pool.slots,
        used: pool.used,
        wanted: pool.wanted,
        include_deferred: pool.include_deferred,
        description: if is_ours { pool.description } else { t.default_pool.to_owned() },
        name: pool.name,
    }
}
