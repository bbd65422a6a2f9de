//! Pools, in Airflow's shapes.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use subak_store::Pool;

use super::bulk::{Bulk, Entity, Kind};
use super::paging::{List, Listed, Listing, pattern};
use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::problem::{ApiError, FieldProblem};

#[derive(Deserialize)]
pub(super) struct ListQuery {
    pool_name_pattern: Option<String>,
    pool_name_prefix_pattern: Option<String>,
}

/// Airflow's `PoolBody`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    name: String,
    slots: i32,
    description: Option<String>,
    #[serde(default)]
    include_deferred: bool,
    team_name: Option<String>,
}

/// Airflow's `PoolPatchBody`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchBody {
    pool: Option<String>,
    slots: Option<i32>,
    description: Option<String>,
    include_deferred: Option<bool>,
    team_name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct PatchQuery {
    #[serde(default)]
    update_mask: Vec<String>,
}

/// Airflow's `PoolResponse`.
#[derive(Serialize)]
pub(super) struct View {
    name: String,
    slots: i32,
    description: String,
    include_deferred: bool,
    occupied_slots: i32,
    running_slots: i32,
    queued_slots: i32,
    scheduled_slots: i64,
    open_slots: i32,
    deferred_slots: i32,
    team_name: Option<String>,
}

impl Listed for View {
    const PLURAL: &'static str = "pools";
}

pub(super) async fn list(
    State(app): State<App>,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let mut all = app.store.pools().await?;
    if let Some(part) = pattern(query.pool_name_pattern) {
        all.retain(|pool| pool.name.contains(&part));
    }
    if let Some(prefix) = query.pool_name_prefix_pattern {
        all.retain(|pool| pool.name.starts_with(&prefix));
    }
    match listing.order(&[("name", false), ("id", false), ("pool", false), ("slots", true)])? {
        None => {}
        Some((by_slots, descending)) => {
            if by_slots {
                all.sort_by_key(|pool| pool.slots);
            }
            if descending {
                all.reverse();
            }
        }
    }
    Ok(Json(List::part(all, listing.part).map(View::from)))
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
    if exists(&app, &body.name).await? {
        let why = format!("pool `{}` is there already: PATCH changes it", body.name);
        return Err(ApiError::Conflict(why));
    }
    body.put(&app).await?;
    Ok((StatusCode::CREATED, Json(find(&app, &body.name).await?.into())))
}

pub(super) async fn patch(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(query): Query<PatchQuery>,
    Json(body): Json<PatchBody>,
) -> Result<Json<View>, ApiError> {
    let has = |field: &str| {
        query.update_mask.is_empty() || query.update_mask.iter().any(|it| it == field)
    };
    let known = find(&app, &name).await?;
    if body.pool.as_ref().is_some_and(|pool| *pool != name) {
        return Err(invalid("pool", format!("differs from the pool's name, `{name}`")));
    }
    let changed = Body {
        slots: body.slots.filter(|_| has("slots")).unwrap_or(known.slots),
        description: body.description.filter(|_| has("description")),
        include_deferred: body
            .include_deferred
            .filter(|_| has("include_deferred"))
            .unwrap_or(known.include_deferred),
        team_name: body.team_name,
        name,
    };
    changed.put(&app).await?;
    Ok(Json(find(&app, &changed.name).await?.into()))
}

pub(super) async fn delete(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    app.actions.pool_remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Several at once.
pub(super) async fn bulk(
    State(app): State<App>,
    Json(bulk): Json<Bulk<Body>>,
) -> Result<Json<super::bulk::Answer>, ApiError> {
    Ok(Json(bulk.run(&app).await?))
}

impl Entity for Body {
    const KIND: Kind = Kind::Pool;

    fn name(&self) -> &str {
        &self.name
    }

    async fn exists(app: &App, name: &str) -> Result<bool, ApiError> {
        exists(app, name).await
    }

    async fn put(&self, app: &App) -> Result<(), ApiError> {
        if self.team_name.is_some() {
            return Err(invalid("team_name", "is not supported yet: leave it out".to_owned()));
        }
        app.actions
            .pool_put(&self.name, self.slots, self.include_deferred, self.description.as_deref())
            .await
    }

    async fn remove(app: &App, name: &str) -> Result<(), ApiError> {
        app.actions.pool_remove(name).await
    }
}

fn invalid(field: &str, msg: String) -> ApiError {
    ApiError::Invalid(vec![FieldProblem::body(field, msg)])
}

async fn exists(app: &App, name: &str) -> Result<bool, ApiError> {
    Ok(app.store.pools().await?.iter().any(|pool| pool.name == name))
}

async fn find(app: &App, name: &str) -> Result<Pool, ApiError> {
    let found = app.store.pools().await?.into_iter().find(|pool| pool.name == name);
    found.ok_or_else(|| ApiError::NotFound(format!("pool {name}")))
}

impl From<Pool> for View {
    fn from(pool: Pool) -> Self {
        // Without a limit Airflow's clients are told of as many slots as a number has.
        let open = if pool.slots < 0 { i32::MAX } else { (pool.slots - pool.used).max(0) };
        Self {
            name: pool.name,
            slots: pool.slots,
            description: pool.description,
            include_deferred: pool.include_deferred,
            occupied_slots: pool.used,
            running_slots: pool.used,
            queued_slots: 0,
            scheduled_slots: pool.wanted,
            open_slots: open,
            deferred_slots: 0,
            team_name: None,
        }
    }
}
