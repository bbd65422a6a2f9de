//! The audit log, in the shape of Airflow's event logs.

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use subak_store::read::Orders;
use subak_store::{Audit, AuditFilter, AuditOrder, AuditText};

use super::paging::{List, Listed, Listing, text};
use super::time;
use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::problem::ApiError;

/// Airflow's filters. Records have no number of a try: asking for one finds nothing.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    dag_id: Option<String>,
    task_id: Option<String>,
    run_id: Option<String>,
    map_index: Option<i32>,
    try_number: Option<i32>,
    owner: Option<String>,
    event: Option<String>,
    #[serde(default)]
    excluded_events: Vec<String>,
    #[serde(default)]
    included_events: Vec<String>,
    #[serde(default, deserialize_with = "time::optional")]
    before: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "time::optional")]
    after: Option<DateTime<Utc>>,
    dag_id_pattern: Option<String>,
    dag_id_prefix_pattern: Option<String>,
    task_id_pattern: Option<String>,
    task_id_prefix_pattern: Option<String>,
    run_id_pattern: Option<String>,
    run_id_prefix_pattern: Option<String>,
    owner_pattern: Option<String>,
    owner_prefix_pattern: Option<String>,
    event_pattern: Option<String>,
    event_prefix_pattern: Option<String>,
}

/// Airflow's `EventLogResponse`. `extra` is JSON: `via` (web, api, cli), and what is known of `subject`,
/// `request_id`, `before`, `after` and `request`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventLogResponse")]
pub(super) struct View {
    event_log_id: i64,
    when: DateTime<Utc>,
    dag_id: Option<String>,
    task_id: Option<String>,
    run_id: Option<String>,
    map_index: Option<i32>,
    try_number: Option<i32>,
    event: String,
    logical_date: Option<DateTime<Utc>>,
    owner: String,
    extra: String,
    dag_display_name: Option<String>,
    task_display_name: Option<String>,
}

/// What records are ordered by.
const ORDERS: &[(&str, AuditOrder)] = &[
    ("id", AuditOrder::Id),
    ("event_log_id", AuditOrder::Id),
    ("when", AuditOrder::Id),
    ("dttm", AuditOrder::Id),
    ("dag_id", AuditOrder::DagId),
    ("task_id", AuditOrder::TaskId),
    ("run_id", AuditOrder::RunId),
    ("event", AuditOrder::Event),
    ("owner", AuditOrder::Username),
    ("extra", AuditOrder::Extra),
    ("logical_date", AuditOrder::Nothing),
];

impl Listed for View {
    const PLURAL: &'static str = "event_logs";
}

pub(super) async fn list(
    State(app): State<App>,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let mut orders = listing.orders(ORDERS)?;
    if orders.is_empty() {
        // Airflow's come in the order of their numbers.
        orders = Orders::new(vec![(AuditOrder::Id, false)]);
    }
    if query.try_number.is_some() {
        return Ok(Json(List::empty()));
    }
    let filter = AuditFilter { orders, ..query.filter() };
    let page = app.store.audit_list(&filter, listing.part.limit, listing.part.offset).await?;
    Ok(Json(List::of(page)))
}

pub(super) async fn get(
    State(app): State<App>,
    Path(id): Path<i64>,
) -> Result<Json<View>, ApiError> {
    let found = app.store.audit_get(id).await?;
    found
        .map(|audit| Json(View::from(audit)))
        .ok_or_else(|| ApiError::NotFound(format!("/api/v2/eventLogs/{id}")))
}

impl ListQuery {
    fn filter(self) -> AuditFilter {
        let patterns = [
            (AuditText::DagId, self.dag_id_pattern, self.dag_id_prefix_pattern),
            (AuditText::TaskId, self.task_id_pattern, self.task_id_prefix_pattern),
            (AuditText::RunId, self.run_id_pattern, self.run_id_prefix_pattern),
            (AuditText::Username, self.owner_pattern, self.owner_prefix_pattern),
            (AuditText::Event, self.event_pattern, self.event_prefix_pattern),
        ];
        let texts = patterns.map(|(column, pattern, prefix)| (column, text(pattern, prefix)));
        AuditFilter {
            dag_id: self.dag_id,
            run_id: self.run_id,
            task_id: self.task_id,
            map_index: self.map_index,
            username: self.owner,
            event: self.event,
            included: self.included_events,
            excluded: self.excluded_events,
            before: self.before,
            after: self.after,
            texts: texts.into(),
            orders: Orders::default(),
        }
    }
}

impl From<Audit> for View {
    fn from(audit: Audit) -> Self {
        let mut extra = Map::new();
        extra.insert("via".to_owned(), Value::from(audit.via));
        let parts = [
            ("subject", audit.subject.map(Value::from)),
            ("request_id", audit.request_id.map(Value::from)),
            ("before", audit.before),
            ("after", audit.after),
            ("request", audit.extra),
        ];
        for (name, value) in parts {
            extra.extend(value.map(|value| (name.to_owned(), value)));
        }
        Self {
            event_log_id: audit.audit_id,
            when: audit.at,
            dag_display_name: audit.dag_id.clone(),
            task_display_name: audit.task_id.clone(),
            dag_id: audit.dag_id,
            task_id: audit.task_id,
            run_id: audit.run_id,
            map_index: audit.map_index,
            try_number: None,
            event: audit.event,
            logical_date: None,
            owner: audit.username,
            extra: Value::Object(extra).to_string(),
        }
    }
}
