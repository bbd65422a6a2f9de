//! What people keep by name, connections, pools and variables: one way to read, make, change and remove
//! all of them.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subak_core::problem::Problem;

use super::bulk::{Answer, Bulk};
use super::mask::Mask;
use crate::app::App;
use crate::audit::Trail;
use crate::extract::{Json, Path, Query};
use crate::openapi::{Created, NoContent};
use crate::problem::{ApiError, FieldProblem};

/// Of what is not shown: tells whether it is another one, and leaves the process nowhere.
pub(super) type Digest = [u8; 32];

pub(super) fn digest(secret: &str) -> Digest {
    Sha256::digest(secret.as_bytes()).into()
}

/// What can be made, changed and removed by its name. As a body it is the whole of it.
pub(crate) trait Kept: Sized + Send + Sync + 'static {
    /// What it is called in errors.
    const KIND: &'static str;
    /// The body's field that is the name.
    const NAME: &'static str;
    /// Fields that a mask may name.
    const FIELDS: &'static [&'static str];

    /// As it is shown.
    type View: Serialize + JsonSchema + Send;
    /// A change to it.
    type Patch: From<Self> + Send;

    fn name(&self) -> &str;

    /// The name that a change says it is for, if it says one.
    fn name_of(patch: &Self::Patch) -> Option<&str>;

    fn find(
        app: &App,
        name: &str,
    ) -> impl Future<Output = Result<Option<Self::View>, ApiError>> + Send;

    /// Makes it, or replaces it.
    fn put(&self, app: &App) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Changes one that there is.
    fn change(
        app: &App,
        name: &str,
        patch: Self::Patch,
        mask: &Mask,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// As the audit log has it, beside how it was; of what is secret it says whether it has changed.
    fn recorded(now: &Self::View, before: Option<&Self::View>) -> Value;

    /// Why one of this name can be neither made nor changed nor removed, if so.
    fn fixed(_: &str) -> Option<ApiError> {
        None
    }

    /// False: there is none.
    fn remove(app: &App, name: &str) -> impl Future<Output = Result<bool, ApiError>> + Send;
}

pub(super) async fn get<K: Kept>(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<K::View>, ApiError> {
    Ok(Json(shown::<K>(&app, &name).await?))
}

pub(super) async fn post<K: Kept>(
    State(app): State<App>,
    trail: Trail,
    Json(body): Json<K>,
) -> Result<Created<Json<K::View>>, ApiError> {
    if K::find(&app, body.name()).await?.is_some() {
        return Err(exists::<K>(body.name()));
    }
    body.put(&app).await?;
    let made = shown::<K>(&app, body.name()).await?;
    trail.made(K::KIND, body.name());
    trail.after(K::recorded(&made, None));
    Ok(Created(Json(made)))
}

/// Changes what the mask names, or, without one, what the body has.
pub(super) async fn patch<K: Kept>(
    State(app): State<App>,
    trail: Trail,
    Path(name): Path<String>,
    Query(mask): Query<Mask>,
    Json(patch): Json<K::Patch>,
) -> Result<Json<K::View>, ApiError> {
    let before = K::find(&app, &name).await?;
    change::<K>(&app, &name, patch, &mask).await?;
    let changed = shown::<K>(&app, &name).await?;
    trail.after(K::recorded(&changed, before.as_ref()));
    trail.before(before.map(|before| K::recorded(&before, None)));
    Ok(Json(changed))
}

pub(super) async fn delete<K: Kept>(
    State(app): State<App>,
    trail: Trail,
    Path(name): Path<String>,
) -> Result<NoContent, ApiError> {
    trail.before(before_removal::<K>(&app, &name).await?);
    match K::remove(&app, &name).await? {
        true => Ok(NoContent),
        false => Err(missing::<K>(&name)),
    }
}

/// How one is before it is removed, for the audit log. One that cannot be decrypted may go, too.
pub(crate) async fn before_removal<K: Kept>(
    app: &App,
    name: &str,
) -> Result<Option<Value>, ApiError> {
    match K::find(app, name).await {
        Ok(found) => Ok(found.map(|before| K::recorded(&before, None))),
        Err(ApiError::Sealed(_)) => Ok(Some(json!({ K::NAME: name }))),
        Err(error) => Err(error),
    }
}

/// Several at once.
pub(super) async fn bulk<K: Kept>(
    State(app): State<App>,
    trail: Trail,
    Json(bulk): Json<Bulk<K>>,
) -> Result<Json<Answer>, ApiError> {
    Ok(Json(bulk.run(&app, &trail).await?))
}

/// Changes one, if there is one.
pub(super) async fn change<K: Kept>(
    app: &App,
    name: &str,
    patch: K::Patch,
    mask: &Mask,
) -> Result<(), ApiError> {
    mask.check(K::FIELDS)?;
    if K::name_of(&patch).is_some_and(|said| said != name) {
        return Err(invalid(K::NAME, format!("differs from the {}'s name, `{name}`", K::KIND)));
    }
    if K::find(app, name).await?.is_none() {
        return Err(missing::<K>(name));
    }
    K::change(app, name, patch, mask).await
}

/// Tells of one that a page has made, changed or removed.
pub(crate) async fn tell<K: Kept>(
    app: &App,
    trail: &Trail,
    name: &str,
    before: Option<K::View>,
) -> Result<(), ApiError> {
    let now = K::find(app, name).await?;
    trail.made(K::KIND, name);
    trail.after(now.map(|now| K::recorded(&now, before.as_ref())));
    trail.before(before.map(|before| K::recorded(&before, None)));
    Ok(())
}

pub(super) fn missing<K: Kept>(name: &str) -> ApiError {
    ApiError::NotFound(format!("{} {name}", K::KIND))
}

pub(super) fn exists<K: Kept>(name: &str) -> ApiError {
    let exists = || format!("{} `{name}` is there already: PATCH changes it", K::KIND);
    K::fixed(name).unwrap_or_else(|| ApiError::Conflict(exists()))
}

pub(super) fn invalid(field: &str, msg: impl Into<String>) -> ApiError {
    ApiError::Invalid(vec![FieldProblem::body(field, msg)])
}

/// The same of what people may read in their language.
pub(super) fn wrong(field: &str, problem: Problem) -> ApiError {
    ApiError::Invalid(vec![FieldProblem::of(field, problem)])
}

/// Teams are Airflow's.
pub(super) fn no_team(team: Option<&str>) -> Result<(), ApiError> {
    match team {
        Some(_) => Err(invalid("team_name", "is not supported yet: leave it out")),
        None => Ok(()),
    }
}

async fn shown<K: Kept>(app: &App, name: &str) -> Result<K::View, ApiError> {
    K::find(app, name).await?.ok_or_else(|| missing::<K>(name))
}
