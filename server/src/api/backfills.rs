//! Backfills, in Airflow's shapes.

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use subak_core::ids::DagId;
use subak_store::access::Role;
use subak_store::read::{BackfillFilter, BackfillRecord};

use super::kept::invalid;
use super::paging::{List, Listed, Listing};
use super::time;
use crate::app::App;
use crate::audit::Trail;
use crate::auth::Caller;
use crate::engine::{Backfill, Reprocess};
use crate::extract::{Json, Path, Query};
use crate::problem::ApiError;

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    /// Left out: those of all DAGs.
    dag_id: Option<String>,
}

/// Airflow's `BackfillPostBody`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    dag_id: String,
    #[serde(deserialize_with = "time::required")]
    from_date: DateTime<Utc>,
    #[serde(deserialize_with = "time::required")]
    to_date: DateTime<Utc>,
    #[serde(default)]
    run_backwards: bool,
    dag_run_conf: Option<Map<String, Value>>,
    #[serde(default)]
    reprocess_behavior: Behaviour,
    #[serde(default = "ten")]
    #[schemars(range(min = 1))]
    max_active_runs: i32,
    run_on_latest_version: Option<bool>,
}

/// Airflow's `ReprocessBehavior`.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Behaviour {
    #[default]
    None,
    Failed,
    Completed,
}

/// Airflow's `BackfillResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BackfillResponse")]
pub(super) struct View {
    id: i64,
    dag_id: String,
    from_date: DateTime<Utc>,
    to_date: DateTime<Utc>,
    dag_run_conf: Option<Value>,
    is_paused: bool,
    reprocess_behavior: String,
    max_active_runs: i32,
    created_at: DateTime<Utc>,
    completed_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
    dag_display_name: String,
}

impl Listed for View {
    const PLURAL: &'static str = "backfills";
}

/// Airflow's `DryRunBackfillResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DryRunBackfillResponse")]
pub(super) struct DryRun {
    logical_date: Option<DateTime<Utc>>,
    partition_key: Option<String>,
    partition_date: Option<DateTime<Utc>>,
}

impl Listed for DryRun {
    const PLURAL: &'static str = "backfills";
}

fn ten() -> i32 {
    10
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    if let Some(dag_id) = &query.dag_id {
        caller.must(dag_id, Role::Viewer)?;
        let known = app.store.dag_get(dag_id).await?;
        known.ok_or_else(|| ApiError::DagNotFound(dag_id.clone()))?;
    }
    let filter = BackfillFilter {
        dag_id: query.dag_id,
        within: caller.sight(),
        descending: listing.descending(&["id"])?,
    };
    let page = app.store.backfill_list(&filter, listing.part.limit, listing.part.offset).await?;
    Ok(Json(List::of(page)))
}

pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<View>, ApiError> {
    Ok(Json(find(&app, &caller, id, Role::Viewer).await?.into()))
}

pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Json(body): Json<Body>,
) -> Result<Json<View>, ApiError> {
    let wanted = body.wanted(&caller)?;
    let id = app.actions.backfill_create(&wanted).await?;
    let made = View::from(find(&app, &caller, id, Role::User).await?);
    trail.made("backfill", id);
    trail.after(&made);
    Ok(Json(made))
}

pub(super) async fn dry_run(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<Body>,
) -> Result<Json<List<DryRun>>, ApiError> {
    let dates = app.actions.backfill_dry_run(&body.wanted(&caller)?).await?;
    let run = |date| DryRun { logical_date: Some(date), partition_key: None, partition_date: None };
    Ok(Json(List::all(dates.into_iter().map(run).collect())))
}

pub(super) async fn pause(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Path(id): Path<i64>,
) -> Result<Json<View>, ApiError> {
    set_paused(&app, &caller, &trail, id, true).await
}

pub(super) async fn unpause(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Path(id): Path<i64>,
) -> Result<Json<View>, ApiError> {
    set_paused(&app, &caller, &trail, id, false).await
}

/// Its runs that have not started are cancelled; those that run go on.
pub(super) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Path(id): Path<i64>,
) -> Result<Json<View>, ApiError> {
    trail.before(recorded(&find(&app, &caller, id, Role::User).await?));
    app.actions.backfill_cancel(id, caller.name()).await?;
    let cancelled = find(&app, &caller, id, Role::User).await?;
    trail.after(recorded(&cancelled));
    Ok(Json(cancelled.into()))
}

async fn set_paused(
    app: &App,
    caller: &Caller,
    trail: &Trail,
    id: i64,
    paused: bool,
) -> Result<Json<View>, ApiError> {
    trail.before(recorded(&find(app, caller, id, Role::User).await?));
    app.actions.backfill_pause(id, paused).await?;
    let changed = find(app, caller, id, Role::User).await?;
    trail.after(recorded(&changed));
    Ok(Json(changed.into()))
}

/// How a backfill stands, for the audit log.
fn recorded(it: &BackfillRecord) -> Value {
    json!({"dag_id": it.dag_id, "is_paused": it.is_paused, "completed_at": it.completed_at})
}

/// A backfill of a DAG with which the caller may do what `role` may.
async fn find(app: &App, caller: &Caller, id: i64, role: Role) -> Result<BackfillRecord, ApiError> {
    let found = app.store.backfill_get(id).await?;
    let seen = found.filter(|it| caller.may_with(&it.dag_id, Role::Viewer));
    let found = seen.ok_or_else(|| ApiError::NotFound(format!("backfill {id}")))?;
    caller.must(&found.dag_id, role)?;
    Ok(found)
}

impl Body {
    fn wanted(self, caller: &Caller) -> Result<Backfill, ApiError> {
        caller.must(&self.dag_id, Role::User)?;
        let reprocess = match self.reprocess_behavior {
            Behaviour::None => Reprocess::None,
            Behaviour::Failed => Reprocess::Failed,
            Behaviour::Completed => Reprocess::Completed,
        };
        if self.run_on_latest_version == Some(true) && reprocess != Reprocess::None {
            let msg = "a run that goes again keeps its version: only new runs have the latest one";
            return Err(invalid("run_on_latest_version", msg));
        }
        Ok(Backfill {
            dag_id: DagId(self.dag_id),
            from_date: self.from_date,
            to_date: self.to_date,
            run_backwards: self.run_backwards,
            conf: self.dag_run_conf.map(Value::Object),
            reprocess,
            max_active_runs: self.max_active_runs,
            user: Some(caller.name().to_owned()),
        })
    }
}

impl From<BackfillRecord> for View {
    fn from(backfill: BackfillRecord) -> Self {
        Self {
            id: backfill.id,
            dag_display_name: backfill.dag_id.clone(),
            dag_id: backfill.dag_id,
            from_date: backfill.from_date,
            to_date: backfill.to_date,
            dag_run_conf: backfill.conf,
            is_paused: backfill.is_paused,
            reprocess_behavior: backfill.reprocess,
            max_active_runs: backfill.max_active_runs,
            created_at: backfill.created_at,
            completed_at: backfill.completed_at,
            updated_at: backfill.updated_at,
        }
    }
}
