//! Variables, in Airflow's shapes. Values whose names tell that they are secret are never shown.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subak_core::variable::{MASK, is_secret, problem};
use subak_store::Variable;

use super::bulk::{Bulk, Entity, Kind};
use super::paging::{List, Listed, Listing, pattern};
use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::problem::{ApiError, FieldProblem};

#[derive(Deserialize)]
pub(super) struct ListQuery {
    variable_key_pattern: Option<String>,
    variable_key_prefix_pattern: Option<String>,
}

/// Airflow's `VariableBody`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    key: String,
    value: Value,
    description: Option<String>,
    team_name: Option<String>,
}

/// Airflow's `VariableResponse`.
#[derive(Serialize)]
pub(super) struct View {
    key: String,
    value: String,
    description: Option<String>,
    is_encrypted: bool,
    team_name: Option<String>,
}

impl Listed for View {
    const PLURAL: &'static str = "variables";
}

pub(super) async fn list(
    State(app): State<App>,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let part = listing.part;
    let descending = listing.descending(&["key", "id", "_key"])?;
    let pattern = pattern(query.variable_key_pattern.or(query.variable_key_prefix_pattern));
    let key = app.actions.key()?;
    let page = app
        .store
        .variables(key, pattern.as_deref(), descending, part.limit, part.offset)
        .await
        .map_err(|error| unreadable(&error))?;
    Ok(Json(List::of(page)))
}

pub(super) async fn get(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<View>, ApiError> {
    Ok(Json(find(&app, &name).await?.into()))
}

pub(super) async fn post(
    State(app): State<App>,
    Json(body): Json<Body>,
) -> Result<(StatusCode, Json<View>), ApiError> {
    let text = checked(&body)?;
    let key = app.actions.key()?;
    let description = body.description.as_deref();
    if !app.store.variable_put(key, &body.key, &text, description, false).await? {
        let why = format!("variable `{}` is there already: PATCH changes it", body.key);
        return Err(ApiError::Conflict(why));
    }
    Ok((StatusCode::CREATED, Json(find(&app, &body.key).await?.into())))
}

pub(super) async fn patch(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(body): Json<Body>,
) -> Result<Json<View>, ApiError> {
    let text = checked(&body)?;
    if body.key != name {
        let msg = format!("differs from the variable's name, `{name}`");
        return Err(ApiError::Invalid(vec![FieldProblem::body("key", msg)]));
    }
    find(&app, &name).await?;
    let key = app.actions.key()?;
    app.store.variable_put(key, &name, &text, body.description.as_deref(), true).await?;
    Ok(Json(find(&app, &name).await?.into()))
}

pub(super) async fn delete(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    match app.store.variable_remove(&name).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(&name)),
    }
}

/// The value as it is kept: a text as it is, anything else as JSON.
fn checked(body: &Body) -> Result<String, ApiError> {
    let invalid =
        |field: &str, msg: String| ApiError::Invalid(vec![FieldProblem::body(field, msg)]);
    if body.team_name.is_some() {
        return Err(invalid("team_name", "is not supported yet: leave it out".to_owned()));
    }
    let text = match &body.value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match problem(&body.key, &text) {
        Some(why) => Err(invalid("value", why)),
        None => Ok(text),
    }
}

/// Several at once.
pub(super) async fn bulk(
    State(app): State<App>,
    Json(bulk): Json<Bulk<Body>>,
) -> Result<Json<super::bulk::Answer>, ApiError> {
    Ok(Json(bulk.run(&app).await?))
}

impl Entity for Body {
    const KIND: Kind = Kind::Variable;

    fn name(&self) -> &str {
        &self.key
    }

    async fn exists(app: &App, name: &str) -> Result<bool, ApiError> {
        match find(app, name).await {
            Ok(_) => Ok(true),
            Err(ApiError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, app: &App) -> Result<(), ApiError> {
        let (text, key) = (checked(self)?, app.actions.key()?);
        app.store.variable_put(key, &self.key, &text, self.description.as_deref(), true).await?;
        Ok(())
    }

    async fn remove(app: &App, name: &str) -> Result<(), ApiError> {
        app.store.variable_remove(name).await?;
        Ok(())
    }
}

async fn find(app: &App, name: &str) -> Result<Variable, ApiError> {
    let key = app.actions.key()?;
    let found = app.store.variables_open(key, &[name.to_owned()]).await;
    let found = found.map_err(|error| unreadable(&error))?;
    found.into_iter().next().ok_or_else(|| missing(name))
}

fn missing(name: &str) -> ApiError {
    ApiError::NotFound(format!("variable {name}"))
}

fn unreadable(error: &subak_store::ConnectionError) -> ApiError {
    tracing::error!(error = error.to_string(), "variables cannot be read");
    ApiError::Internal
}

impl From<Variable> for View {
    fn from(it: Variable) -> Self {
        Self {
            value: if is_secret(&it.key) { MASK.to_owned() } else { it.value },
            key: it.key,
            description: it.description,
            is_encrypted: true,
            team_name: None,
        }
    }
}
