//! The tasks of a DAG's newest version.

use std::time::Duration;

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use subak_core::dag::model::Task;
use subak_core::ids::TaskId;
use subak_store::read::{VersionRecord, directed};

use super::paging::{List, Listed, Ordering};
use crate::app::App;
use crate::extract::{Json, Path};
use crate::problem::ApiError;

/// Airflow's `TaskResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TaskResponse")]
pub(super) struct View {
    task_id: String,
    task_display_name: String,
    owner: String,
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
    trigger_rule: Value,
    depends_on_past: bool,
    wait_for_downstream: bool,
    retries: u32,
    queue: String,
    pool: String,
    pool_slots: u32,
    execution_timeout: Option<Value>,
    retry_delay: Value,
    /// The factor; 0: the delay does not grow.
    retry_exponential_backoff: f64,
    priority_weight: i32,
    weight_rule: Value,
    ui_color: &'static str,
    ui_fgcolor: &'static str,
    template_fields: Vec<String>,
    downstream_task_ids: Vec<String>,
    doc_md: Option<String>,
    operator_name: String,
    params: Map<String, Value>,
    class_ref: Value,
    is_mapped: bool,
    extra_links: Vec<String>,
}

impl Listed for View {
    const PLURAL: &'static str = "tasks";
}

/// What tasks are ordered by.
const ORDERS: &[(&str, Order)] = &[
    ("task_id", Order::Id),
    ("task_display_name", Order::Id),
    ("priority_weight", Order::Weight),
    ("operator_name", Order::Operator),
];

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Id,
    Weight,
    Operator,
}

/// All tasks: a DAG's list has no parts, as in Airflow.
pub(super) async fn list(
    State(app): State<App>,
    Path(dag_id): Path<String>,
    ordering: Ordering,
) -> Result<Json<List<View>>, ApiError> {
    let version = newest(&app, &dag_id).await?;
    let orders = ordering.orders(ORDERS)?;
    let mut tasks: Vec<&Task> = version.model.tasks.iter().collect();
    tasks.sort_by(|a, b| a.task_id.0.cmp(&b.task_id.0));
    orders.sort(&mut tasks, |order, descending, a, b| match order {
        Order::Id => directed(Some(&a.task_id), Some(&b.task_id), descending),
        Order::Weight => directed(Some(a.priority_weight), Some(b.priority_weight), descending),
        Order::Operator => directed(Some(&a.operator), Some(&b.operator), descending),
    });
    Ok(Json(List::all(tasks.into_iter().map(|task| View::new(&version, task)).collect())))
}

pub(super) async fn get(
    State(app): State<App>,
    Path((dag_id, task_id)): Path<(String, String)>,
) -> Result<Json<View>, ApiError> {
    let version = newest(&app, &dag_id).await?;
    let task = version.model.task(&TaskId::from(task_id.as_str()));
    let task = task.ok_or_else(|| ApiError::NotFound(format!("task {task_id} of DAG {dag_id}")))?;
    Ok(Json(View::new(&version, task)))
}

async fn newest(app: &App, dag_id: &str) -> Result<VersionRecord, ApiError> {
    let missing = || ApiError::DagNotFound(dag_id.to_owned());
    let dag = app.store.dag_get(dag_id).await?.ok_or_else(missing)?;
    app.store.version_get(dag.dag, dag.version).await?.ok_or_else(missing)
}

/// Airflow's `TimeDelta`.
fn delta(time: Duration) -> Value {
    let (days, seconds) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    json!({
        "__type": "TimeDelta",
        "days": days,
        "seconds": seconds,
        "microseconds": time.subsec_micros(),
    })
}

impl View {
    fn new(version: &VersionRecord, task: &Task) -> Self {
        let below = version.model.tasks.iter().filter(|it| it.upstream.contains(&task.task_id));
        Self {
            task_id: task.task_id.0.clone(),
            task_display_name: task.task_id.0.clone(),
            owner: task.owner.clone(),
            start_date: version.model.start_date,
            end_date: version.model.end_date,
            trigger_rule: json!(task.trigger_rule),
            depends_on_past: task.depends_on_past,
            wait_for_downstream: task.wait_for_downstream,
            retries: task.retries,
            queue: task.queue.clone(),
            pool: task.pool.clone(),
            pool_slots: task.pool_slots,
            execution_timeout: task.execution_timeout.map(delta),
            retry_delay: delta(task.retry_delay),
            retry_exponential_backoff: match task.retry_exponential_backoff {
                true => task.backoff_factor(),
                false => 0.0,
            },
            priority_weight: task.priority_weight,
            weight_rule: json!(task.weight_rule),
            ui_color: "#fff",
            ui_fgcolor: "#000",
            template_fields: vec!["with".to_owned()],
            downstream_task_ids: below.map(|it| it.task_id.0.clone()).collect(),
            doc_md: None,
            operator_name: task.operator.clone(),
            params: Map::new(),
            class_ref: json!({ "module_path": "subak", "class_name": task.operator }),
            is_mapped: task.expand.is_some(),
            extra_links: Vec::new(),
        }
    }
}
