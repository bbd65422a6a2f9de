//! Variables: the list, and its forms. A secret goes in, never out.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::json;
use subak_core::variable::{MASK, is_secret, problem};
use subak_store::read::{Orders, TextFilter};
use subak_store::{ListedVariable, Variable};
use subak_web::format::{Stamp, cut};
use subak_web::pager::Pager;
use subak_web::problem::in_words;
use subak_web::url::encode;
use subak_web::variables::{VariableRow, VariablesPage};

use super::viewer::Viewer;
use crate::api::{Variable as Body, tell};
use crate::app::App;
use crate::audit::Trail;
use crate::clock;
use crate::extract::{Form, Path, Query};
use crate::problem::ApiError;

const HERE: &str = "/variables";

/// Variables of one page.
const PAGE: i64 = 50;

/// A value of more characters is not changed here: what was cut must not be saved.
const VALUE_CHARS: usize = 4_000;

#[derive(Deserialize, Default)]
pub(super) struct ListQuery {
    #[serde(default)]
    key: String,
    #[serde(default)]
    offset: i64,
}

#[derive(Deserialize)]
pub(super) struct VariableForm {
    /// Of a new one.
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    description: String,
}

pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Html<String>, ApiError> {
    Ok(Html(page(&app, &viewer, query, None).await?))
}

/// The list again: what was refused was sent to an address below.
pub(super) async fn again() -> Redirect {
    Redirect::to(HERE)
}

pub(super) async fn add(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Form(form): Form<VariableForm>,
) -> Result<Response, ApiError> {
    let name = form.key.trim();
    if let Some(why) = problem(name, &form.value) {
        return refused(&app, &viewer, in_words(&why, viewer.t)).await;
    }
    let (key, about) = (app.actions.key()?, Some(form.description.as_str()));
    if !app.store.variable_put(key, name, &form.value, about, false).await? {
        let why = viewer.t.fill(viewer.t.variable_exists, name);
        return refused(&app, &viewer, why).await;
    }
    tell::<Body>(&app, &trail, name, None).await?;
    Ok(Redirect::to(HERE).into_response())
}

/// Changes one. A secret that is left empty stays as it is.
pub(super) async fn change(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path(name): Path<String>,
    Form(form): Form<VariableForm>,
) -> Result<Response, ApiError> {
    let known = known(&app, &name).await?;
    let value = if is_secret(&name) && form.value.is_empty() { &known.value } else { &form.value };
    if let Some(why) = problem(&name, value) {
        return refused(&app, &viewer, in_words(&why, viewer.t)).await;
    }
    let (key, about) = (app.actions.key()?, Some(form.description.as_str()));
    app.store.variable_put(key, &name, value, about, true).await?;
    tell::<Body>(&app, &trail, &name, Some(known.into())).await?;
    Ok(Redirect::to(HERE).into_response())
}

pub(super) async fn remove(
    State(app): State<App>,
    trail: Trail,
    Path(name): Path<String>,
) -> Result<Redirect, ApiError> {
    // One that another key has encrypted can be removed, too.
    let description = known(&app, &name).await.ok().and_then(|it| it.description);
    if !app.store.variable_remove(&name).await? {
        return Err(ApiError::NotFound(format!("variable {name}")));
    }
    trail.before(json!({"key": name, "value": MASK, "description": description}));
    Ok(Redirect::to(HERE))
}

async fn known(app: &App, name: &str) -> Result<Variable, ApiError> {
    let found = app.store.variables_open(app.actions.key()?, &[name.to_owned()]).await?.pop();
    found.ok_or_else(|| ApiError::NotFound(format!("variable {name}")))
}

async fn refused(app: &App, viewer: &Viewer, problem: String) -> Result<Response, ApiError> {
    let html = page(app, viewer, ListQuery::default(), Some(problem)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, Html(html)).into_response())
}

async fn page(
    app: &App,
    viewer: &Viewer,
    query: ListQuery,
    problem: Option<String>,
) -> Result<String, ApiError> {
    let (now, t) = (clock::now(), viewer.t);
    let offset = query.offset.max(0);
    let wanted = TextFilter::containing(&query.key);
    let found =
        app.store.variables(app.actions.key()?, &wanted, &Orders::default(), PAGE, offset).await?;
    let pager = Pager::new(offset, found.items.len(), found.total, PAGE, |offset| {
        format!("{HERE}?key={}&offset={offset}", encode(&query.key))
    });
    let row = |it: ListedVariable| {
        let about = it.description.as_deref();
        VariableRow {
            href: format!("{HERE}/{}", encode(&it.key)),
            value: it
                .value
                .as_ref()
                .ok()
                .filter(|_| !is_secret(&it.key))
                .map(|it| cut(it, VALUE_CHARS)),
            // One that cannot be decrypted can be removed only.
            is_cut: !it.value.as_ref().is_ok_and(|value| value.chars().count() <= VALUE_CHARS),
            description: match &it.value {
                Ok(_) => about.unwrap_or_default().to_owned(),
                Err(sealed) => sealed.beside(about),
            },
            changed: Stamp::new(it.updated_at, now, t),
            key: it.key,
        }
    };
    let rows = found.items.into_iter().map(row).collect();
    Ok(VariablesPage { frame: viewer.frame(), key: query.key, rows, pager, problem }.page())
}
