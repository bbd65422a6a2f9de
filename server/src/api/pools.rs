//! Pools, in Airflow's shapes.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subak_core::dag::model::DEFAULT_POOL;
use subak_store::Pool;
use subak_store::read::directed;

use super::kept::{Kept, missing, no_team};
use super::mask::{Mask, clearable};
use super::paging::{List, Listed, Listing, text};
use crate::app::App;
use crate::extract::{Json, Query};
use crate::problem::ApiError;

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    pool_name_pattern: Option<String>,
    pool_name_prefix_pattern: Option<String>,
}

/// Airflow's `PoolBody`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    name: String,
    slots: i32,
    #[serde(default, deserialize_with = "clearable")]
    #[schemars(with = "Option<String>")]
    description: Option<Option<String>>,
    #[serde(default)]
    include_deferred: bool,
    team_name: Option<String>,
}

/// Airflow's `PoolPatchBody`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchBody {
    pool: Option<String>,
    slots: Option<i32>,
    #[serde(default, deserialize_with = "clearable")]
    #[schemars(with = "Option<String>")]
    description: Option<Option<String>>,
    include_deferred: Option<bool>,
    team_name: Option<String>,
}

/// Airflow's `PoolResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PoolResponse")]
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

/// What pools are ordered by.
const ORDERS: &[(&str, Order)] =
    &[("name", Order::Name), ("id", Order::Name), ("pool", Order::Name), ("slots", Order::Slots)];

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Name,
    Slots,
}

pub(super) async fn list(
    State(app): State<App>,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let mut all = app.store.pools_and_default().await?;
    let wanted = text(query.pool_name_pattern, query.pool_name_prefix_pattern);
    all.retain(|pool| wanted.takes(&pool.name));
    listing.orders(ORDERS)?.sort(&mut all, |order, descending, a, b| match order {
        Order::Name => directed(Some(&a.name), Some(&b.name), descending),
        Order::Slots => directed(Some(a.slots), Some(b.slots), descending),
    });
    Ok(Json(List::part(all, listing.part).map(View::from)))
}

impl Kept for Body {
    const KIND: &'static str = "pool";
    const NAME: &'static str = "name";
    const FIELDS: &'static [&'static str] =
        &["name", "pool", "slots", "description", "include_deferred", "team_name"];

    type View = View;
    type Patch = PatchBody;

    fn name(&self) -> &str {
        &self.name
    }

    fn name_of(patch: &PatchBody) -> Option<&str> {
        patch.pool.as_deref()
    }

    async fn find(app: &App, name: &str) -> Result<Option<View>, ApiError> {
        Ok(pool(app, name).await?.map(View::from))
    }

    async fn put(&self, app: &App) -> Result<(), ApiError> {
        no_team(self.team_name.as_deref())?;
        let description = self.description.as_ref().map(|text| text.as_deref().unwrap_or_default());
        app.actions.pool_put(&self.name, self.slots, self.include_deferred, description).await
    }

    async fn change(app: &App, name: &str, patch: PatchBody, mask: &Mask) -> Result<(), ApiError> {
        if let Some(why) = Self::fixed(name) {
            return Err(why);
        }
        let known = pool(app, name).await?.ok_or_else(|| missing::<Self>(name))?;
        let deferred = patch.include_deferred.filter(|_| mask.has("include_deferred"));
        let changed = Self {
            slots: patch.slots.filter(|_| mask.has("slots")).unwrap_or(known.slots),
            description: patch.description.filter(|_| mask.has("description")),
            include_deferred: deferred.unwrap_or(known.include_deferred),
            team_name: patch.team_name,
            name: known.name,
        };
        changed.put(app).await
    }

    fn recorded(now: &View, _: Option<&View>) -> Value {
        json!(now)
    }

    fn fixed(name: &str) -> Option<ApiError> {
        let why =
            "`default_pool` is always there, without a limit: give the tasks a pool of their own";
        (name == DEFAULT_POOL).then(|| ApiError::Conflict(why.to_owned()))
    }

    async fn remove(app: &App, name: &str) -> Result<bool, ApiError> {
        if let Some(why) = Self::fixed(name) {
            return Err(why);
        }
        match app.actions.pool_remove(name).await {
            Err(ApiError::NotFound(_)) => Ok(false),
            done => done.map(|()| true),
        }
    }
}

impl From<Body> for PatchBody {
    fn from(body: Body) -> Self {
        Self {
            pool: Some(body.name),
            slots: Some(body.slots),
            description: body.description,
            include_deferred: Some(body.include_deferred),
            team_name: body.team_name,
        }
    }
}

async fn pool(app: &App, name: &str) -> Result<Option<Pool>, ApiError> {
    Ok(app.store.pools_and_default().await?.into_iter().find(|pool| pool.name == name))
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
