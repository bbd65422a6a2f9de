//! Assets and their events, in Airflow's shapes.

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use subak_core::text as texts;
use subak_store::read::{
    AssetEventFilter, AssetEventOrder, AssetEventRecord, AssetFilter, AssetOrder, AssetRecord,
    AssetReference, Side,
};

use super::kept::invalid;
use super::paging::{List, Listed, Listing, text};
use super::time;
use crate::app::App;
use crate::audit::Trail;
use crate::auth::Caller;
use crate::extract::{Json, Query};
use crate::problem::{ApiError, FieldProblem};

/// Airflow's filters.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    name_pattern: Option<String>,
    name_prefix_pattern: Option<String>,
    uri_pattern: Option<String>,
    uri_prefix_pattern: Option<String>,
    #[serde(default)]
    dag_ids: Vec<String>,
    /// Those that a task of a DAG reads or makes now; true if it is left out.
    only_active: Option<bool>,
}

/// What assets are ordered by.
const ORDERS: &[(&str, AssetOrder)] = &[
    ("id", AssetOrder::Id),
    ("name", AssetOrder::Name),
    ("uri", AssetOrder::Uri),
    ("created_at", AssetOrder::Created),
    ("updated_at", AssetOrder::Updated),
];

/// Airflow's filters of events.
#[derive(Deserialize, JsonSchema)]
pub(super) struct EventsQuery {
    asset_id: Option<i64>,
    source_dag_id: Option<String>,
    source_task_id: Option<String>,
    source_run_id: Option<String>,
    source_map_index: Option<i32>,
    name_pattern: Option<String>,
    name_prefix_pattern: Option<String>,
    timestamp_gte: Option<String>,
    timestamp_gt: Option<String>,
    timestamp_lte: Option<String>,
    timestamp_lt: Option<String>,
}

/// What events are ordered by.
const EVENT_ORDERS: &[(&str, AssetEventOrder)] = &[
    ("timestamp", AssetEventOrder::Created),
    ("source_dag_id", AssetEventOrder::DagId),
    ("source_task_id", AssetEventOrder::TaskId),
    ("source_run_id", AssetEventOrder::RunId),
    ("source_map_index", AssetEventOrder::MapIndex),
];

/// Airflow's `CreateAssetEventsBody`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventBody {
    asset_id: i64,
    partition_key: Option<String>,
    #[serde(default)]
    extra: Map<String, Value>,
    access_control: Option<Map<String, Value>>,
}

/// Airflow's `AssetResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AssetResponse")]
pub(super) struct View {
    id: i64,
    name: String,
    uri: String,
    group: String,
    extra: Value,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// Empty: schedules by assets are not built yet.
    scheduled_dags: Vec<Value>,
    producing_tasks: Vec<TaskView>,
    consuming_tasks: Vec<TaskView>,
    aliases: Vec<Value>,
    watchers: Vec<Value>,
    last_asset_event: Option<LastEvent>,
}

impl Listed for View {
    const PLURAL: &'static str = "assets";
}

/// Airflow's `TaskOutletAssetReference` and `TaskInletAssetReference`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TaskAssetReference")]
struct TaskView {
    dag_id: String,
    task_id: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// Airflow's `LastAssetEventResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LastAssetEventResponse")]
struct LastEvent {
    id: i64,
    timestamp: DateTime<Utc>,
}

/// Airflow's `AssetEventResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AssetEventResponse")]
pub(super) struct EventView {
    id: i64,
    asset_id: i64,
    uri: String,
    name: String,
    group: String,
    extra: Value,
    source_task_id: Option<String>,
    source_dag_id: Option<String>,
    source_run_id: Option<String>,
    source_map_index: i32,
    /// Empty: schedules by assets are not built yet.
    created_dagruns: Vec<Value>,
    timestamp: DateTime<Utc>,
    partition_key: Option<String>,
}

impl Listed for EventView {
    const PLURAL: &'static str = "asset_events";
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let filter = AssetFilter {
        name: text(query.name_pattern, query.name_prefix_pattern),
        uri: text(query.uri_pattern, query.uri_prefix_pattern),
        dag_ids: query.dag_ids,
        within: caller.sight(),
        only_active: query.only_active.unwrap_or(true),
        orders: listing.orders(ORDERS)?,
    };
    let page = app.store.asset_list(&filter, listing.part.limit, listing.part.offset).await?;
    Ok(Json(List::of(page)))
}

pub(super) async fn events(
    State(app): State<App>,
    caller: Caller,
    listing: Listing,
    Query(query): Query<EventsQuery>,
) -> Result<Json<List<EventView>>, ApiError> {
    let filter = AssetEventFilter {
        bounds: query.bounds()?,
        id: None,
        asset_id: query.asset_id,
        dag_id: query.source_dag_id,
        within: caller.sight(),
        task_id: query.source_task_id,
        run_id: query.source_run_id,
        map_index: query.source_map_index,
        name: text(query.name_pattern, query.name_prefix_pattern),
        orders: listing.orders(EVENT_ORDERS)?,
    };
    let part = listing.part;
    let page = app.store.asset_event_list(&filter, part.limit, part.offset).await?;
    Ok(Json(List::of(page)))
}

/// Says that an asset was made outside of Subak.
pub(super) async fn create_event(
    State(app): State<App>,
    trail: Trail,
    Json(body): Json<EventBody>,
) -> Result<Json<EventView>, ApiError> {
    for (field, is_given) in [
        ("partition_key", body.partition_key.is_some()),
        ("access_control", body.access_control.is_some()),
    ] {
        if is_given {
            return Err(invalid(field, "is not supported yet: leave it out"));
        }
    }
    let mut extra = body.extra;
    // As Airflow marks them.
    extra.insert("from_rest_api".to_owned(), Value::Bool(true));
    let extra = Value::Object(extra);
    if texts::json_has_nul(&extra) {
        return Err(invalid("extra", "holds the character NUL (\\u0000), which cannot be kept"));
    }
    let absent = || ApiError::NotFound(format!("asset {}", body.asset_id));
    let id = app.store.asset_event_add(body.asset_id, &extra).await?.ok_or_else(absent)?;
    let filter = AssetEventFilter { id: Some(id), ..AssetEventFilter::default() };
    let made = app.store.asset_event_list(&filter, 1, 0).await?.items.pop().ok_or_else(absent)?;
    let made = EventView::from(made);
    trail.made("asset", &made.name);
    trail.after(&made);
    Ok(Json(made))
}

impl EventsQuery {
    fn bounds(&self) -> Result<Vec<(Side, DateTime<Utc>)>, ApiError> {
        let all = [
            ("timestamp_gte", Side::AtLeast, &self.timestamp_gte),
            ("timestamp_gt", Side::Above, &self.timestamp_gt),
            ("timestamp_lte", Side::AtMost, &self.timestamp_lte),
            ("timestamp_lt", Side::Below, &self.timestamp_lt),
        ];
        let mut bounds = Vec::new();
        for (name, side, written) in all {
            let Some(written) = written else { continue };
            let at = time::parse(written).ok_or_else(|| {
                let msg = format!("`{written}` is not an instant as RFC 3339 writes it");
                ApiError::Invalid(vec![FieldProblem::query(name, msg)])
            })?;
            bounds.push((side, at));
        }
        Ok(bounds)
    }
}

impl From<AssetRecord> for View {
    fn from(asset: AssetRecord) -> Self {
        let (made, read): (Vec<_>, Vec<_>) =
            asset.references.into_iter().partition(|reference| reference.is_outlet);
        Self {
            id: asset.id,
            name: asset.name,
            uri: asset.uri,
            group: asset.group,
            extra: asset.extra,
            created_at: asset.created_at,
            updated_at: asset.updated_at,
            scheduled_dags: Vec::new(),
            producing_tasks: made.into_iter().map(TaskView::from).collect(),
            consuming_tasks: read.into_iter().map(TaskView::from).collect(),
            aliases: Vec::new(),
            watchers: Vec::new(),
            last_asset_event: asset.last_event.map(|(id, timestamp)| LastEvent { id, timestamp }),
        }
    }
}

impl From<AssetReference> for TaskView {
    fn from(reference: AssetReference) -> Self {
        let AssetReference { dag_id, task_id, created_at, updated_at, .. } = reference;
        Self { dag_id, task_id, created_at, updated_at }
    }
}

impl From<AssetEventRecord> for EventView {
    fn from(event: AssetEventRecord) -> Self {
        Self {
            id: event.id,
            asset_id: event.asset_id,
            uri: event.uri,
            name: event.name,
            group: event.asset_group,
            extra: event.extra,
            source_task_id: event.task_id,
            source_dag_id: event.dag_id,
            source_run_id: event.run_id,
            source_map_index: event.map_index,
            created_dagruns: Vec::new(),
            timestamp: event.created_at,
            partition_key: None,
        }
    }
}
