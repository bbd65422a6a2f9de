//! DAGs.

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};
use subak_core::dag::model::{Param, Schedule};
use subak_core::ids::DagId;
use subak_core::schedule;
use subak_core::state::RunState;
use subak_store::Kept;
use subak_store::read::{DagFilter, DagOrder, DagRecord, TextFilter};

use super::bounds::NewestRunBounds;
use super::mask::Mask;
use super::paging::{List, Listed, Listing, text};
use super::runs::DagVersionView;
use crate::app::App;
use crate::audit::Trail;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::{ApiError, FieldProblem};

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    #[serde(default)]
    tags: Vec<String>,
    tags_match_mode: Option<Match>,
    #[serde(default)]
    owners: Vec<String>,
    dag_id_pattern: Option<String>,
    dag_id_prefix_pattern: Option<String>,
    dag_display_name_pattern: Option<String>,
    dag_display_name_prefix_pattern: Option<String>,
    paused: Option<bool>,
    exclude_stale: Option<bool>,
    has_import_errors: Option<bool>,
    last_dag_run_state: Option<String>,
    #[serde(default)]
    dag_run_state: Vec<String>,
    /// Airflow's class for the schedule, such as `airflow.timetables.trigger.CronTriggerTimetable`.
    #[serde(default)]
    timetable_type: Vec<String>,
    /// There are no bundles: no DAG is of one.
    bundle_name: Option<String>,
    bundle_version: Option<String>,
    /// No DAG has one.
    has_asset_schedule: Option<bool>,
    asset_dependency: Option<String>,
    /// Nobody has favourites.
    is_favorite: Option<bool>,
}

impl ListQuery {
    /// Whether it asks for what no DAG here is or has.
    fn is_of_none(&self) -> bool {
        let of = [&self.bundle_name, &self.bundle_version, &self.asset_dependency];
        of.iter().any(|it| it.is_some())
            || self.has_asset_schedule == Some(true)
            || self.is_favorite == Some(true)
    }
}

/// Whether a DAG has any of the tags, or all.
#[derive(Deserialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Match {
    Any,
    All,
}

/// What DAGs are ordered by.
const ORDERS: &[(&str, DagOrder)] = &[
    ("dag_id", DagOrder::Id),
    ("dag_display_name", DagOrder::Id),
    ("next_dagrun", DagOrder::NextRun),
    ("state", DagOrder::LastState),
    ("start_date", DagOrder::LastStart),
    ("last_run_state", DagOrder::LastState),
    ("last_run_start_date", DagOrder::LastStart),
];

impl Listed for View {
    const PLURAL: &'static str = "dags";
}

/// Airflow's `DAGResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DAGResponse")]
pub(super) struct View {
    dag_id: String,
    dag_display_name: String,
    is_paused: bool,
    is_stale: bool,
    last_parsed_time: DateTime<Utc>,
    last_parse_duration: Option<f64>,
    last_expired: Option<DateTime<Utc>>,
    bundle_name: Option<String>,
    bundle_version: Option<String>,
    relative_fileloc: String,
    fileloc: String,
    description: Option<String>,
    timetable_summary: Option<String>,
    timetable_description: String,
    timetable_partitioned: bool,
    timetable_periodic: bool,
    tags: Vec<Tag>,
    max_active_tasks: u32,
    max_active_runs: u32,
    max_consecutive_failed_dag_runs: u32,
    has_task_concurrency_limits: bool,
    has_import_errors: bool,
    next_dagrun_logical_date: Option<DateTime<Utc>>,
    next_dagrun_data_interval_start: Option<DateTime<Utc>>,
    next_dagrun_data_interval_end: Option<DateTime<Utc>>,
    next_dagrun_run_after: Option<DateTime<Utc>>,
    allowed_run_types: Option<Vec<String>>,
    owners: Vec<String>,
    is_backfillable: bool,
    file_token: String,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DagTagResponse")]
struct Tag {
    name: String,
    dag_id: String,
    dag_display_name: String,
}

/// What `DAGDetailsResponse` has more.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DAGDetailsResponse")]
pub(super) struct Details {
    #[serde(flatten)]
    dag: View,
    catchup: bool,
    dag_run_timeout: Option<String>,
    asset_expression: Option<Value>,
    doc_md: Option<String>,
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
    is_paused_upon_creation: bool,
    #[schemars(with = "Map<String, Value>")]
    params: Params,
    render_template_as_native_obj: bool,
    template_search_path: Option<Vec<String>>,
    timezone: String,
    last_parsed: DateTime<Utc>,
    default_args: Option<Value>,
    /// Nothing is said of it: a cleared run keeps its version.
    rerun_with_latest_version: Option<bool>,
    owner_links: Map<String, Value>,
    is_favorite: bool,
    active_runs_count: i64,
    concurrency: u32,
    latest_dag_version: DagVersionView,
}

/// By name, in the file's order.
struct Params(Vec<(String, Value)>);

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|it| (&it.0, &it.1)))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    is_paused: bool,
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    listing: Listing,
    NewestRunBounds(newest_run): NewestRunBounds,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let part = listing.part;
    let orders = listing.orders(ORDERS)?;
    let is_of_none = query.is_of_none();
    let state = |field: &str, text: &str| {
        let msg = format!("`{text}` is not one of `queued`, `running`, `success`, `failed`");
        let bad = ApiError::Invalid(vec![FieldProblem::query(field, msg)]);
        RunState::parse(text).ok_or(bad)
    };
    for text in &query.dag_run_state {
        state("dag_run_state", text)?;
    }
    let last = query.last_dag_run_state.as_deref();
    let filter = DagFilter {
        text: text(query.dag_id_pattern, query.dag_id_prefix_pattern),
        // A DAG's name is its id.
        name: text(query.dag_display_name_pattern, query.dag_display_name_prefix_pattern),
        tags: query.tags,
        every_tag: query.tags_match_mode == Some(Match::All),
        owners: query.owners,
        owner_text: TextFilter::default(),
        paused: query.paused,
        import_error: query.has_import_errors,
        last_state: last.map(|text| state("last_dag_run_state", text)).transpose()?,
        run_states: query.dag_run_state,
        newest_run,
        only: caller.sight(),
        with_stale: !query.exclude_stale.unwrap_or(true),
        orders,
        timetables: query.timetable_type,
    };
    if is_of_none {
        return Ok(Json(List::empty()));
    }
    let page = app.store.dag_list(&filter, part.limit, part.offset).await?;
    Ok(Json(List::of(page)))
}

pub(super) async fn get(
    State(app): State<App>,
    Path(dag_id): Path<String>,
) -> Result<Json<View>, ApiError> {
    Ok(Json(find(&app, &dag_id).await?.into()))
}

pub(super) async fn details(
    State(app): State<App>,
    Path(dag_id): Path<String>,
) -> Result<Json<Details>, ApiError> {
    Ok(Json(find(&app, &dag_id).await?.into()))
}

pub(super) async fn patch(
    State(app): State<App>,
    trail: Trail,
    Path(dag_id): Path<String>,
    Query(mask): Query<Mask>,
    Json(Patch { is_paused }): Json<Patch>,
) -> Result<Json<View>, ApiError> {
    mask.check(&["is_paused"])?;
    trail.before(json!({"is_paused": find(&app, &dag_id).await?.is_paused}));
    trail.after(json!({"is_paused": is_paused}));
    app.actions.dag_pause(&DagId(dag_id.clone()), is_paused).await?;
    get(State(app), Path(dag_id)).await
}

pub(super) async fn delete(
    State(app): State<App>,
    trail: Trail,
    Path(dag_id): Path<String>,
) -> Result<Json<Option<String>>, ApiError> {
    remove(&app, &trail, &dag_id).await?;
    Ok(Json(None))
}

/// Deletes a DAG whose file is gone, with its runs. One whose file is there would come back.
pub(crate) async fn remove(app: &App, trail: &Trail, dag_id: &str) -> Result<(), ApiError> {
    let DagRecord { file, version, is_paused, .. } = find(app, dag_id).await?;
    trail.before(json!({"file": file, "version": version, "is_paused": is_paused}));
    let why = match app.store.dag_delete(dag_id).await? {
        None => return Ok(()),
        Some(Kept::Unknown) => return Err(ApiError::DagNotFound(dag_id.to_owned())),
        Some(Kept::HasFile) => "its file is there: remove that first, or the DAG comes back",
        Some(Kept::HasRuns) => "runs of it go on: cancel them first",
        Some(Kept::HasRanges) => "ranges of topics are open: load or abandon them first",
    };
    Err(ApiError::Conflict(format!("DAG `{dag_id}` cannot be deleted: {why}")))
}

async fn find(app: &App, dag_id: &str) -> Result<DagRecord, ApiError> {
    app.store.dag_get(dag_id).await?.ok_or_else(|| ApiError::DagNotFound(dag_id.to_owned()))
}

impl From<DagRecord> for View {
    fn from(dag: DagRecord) -> Self {
        let tag = |name: String| Tag {
            name,
            dag_id: dag.dag_id.clone(),
            dag_display_name: dag.dag_id.clone(),
        };
        let summary = dag.head.schedule.as_ref().map(schedule::summary);
        let periodic = !matches!(
            dag.head.schedule,
            None | Some(Schedule::Once | Schedule::Continuous | Schedule::Dates(_))
        );
        let description = dag.head.schedule.as_ref().map_or_else(
            || "Never, external triggers only".to_owned(),
            |written| schedule::in_words(written, dag.head.timezone),
        );
        Self {
            tags: dag.head.tags.into_iter().map(tag).collect(),
            dag_display_name: dag.dag_id.clone(),
            dag_id: dag.dag_id,
            is_paused: dag.is_paused,
            is_stale: dag.is_stale,
            last_parsed_time: dag.parsed_at,
            last_parse_duration: None,
            last_expired: None,
            bundle_name: None,
            bundle_version: None,
            relative_fileloc: dag.file.clone(),
            fileloc: dag.file.clone(),
            description: dag.head.description,
            timetable_description: description,
            timetable_partitioned: false,
            timetable_periodic: periodic,
            timetable_summary: summary,
            max_active_tasks: dag.head.max_active_tasks,
            max_active_runs: dag.head.max_active_runs,
            max_consecutive_failed_dag_runs: dag.head.max_consecutive_failed_dag_runs,
            has_task_concurrency_limits: dag.has_task_limits,
            has_import_errors: dag.has_import_error,
            next_dagrun_logical_date: dag.next_interval_start,
            next_dagrun_data_interval_start: dag.next_interval_start,
            next_dagrun_data_interval_end: dag.next_interval_end,
            next_dagrun_run_after: dag.next_run_at,
            allowed_run_types: None,
            owners: dag.owners,
            is_backfillable: periodic || matches!(dag.head.schedule, Some(Schedule::Dates(_))),
            file_token: dag.file,
        }
    }
}

impl From<DagRecord> for Details {
    fn from(dag: DagRecord) -> Self {
        let version = DagVersionView::new(&dag.dag_id, dag.version, dag.version_created_at);
        let head = dag.head.clone();
        let param = |(name, it): (&String, &Param)| {
            let has_default = it.default.is_some();
            let shown =
                json!({"value": it.default, "schema": it.schema, "has_default": has_default});
            (name.clone(), shown)
        };
        let params = Params(head.params_in_order().map(param).collect());
        let timeout = head.dagrun_timeout.map(|timeout| format!("PT{}S", timeout.as_secs_f64()));
        Self {
            catchup: head.catchup,
            dag_run_timeout: timeout,
            asset_expression: None,
            doc_md: head.doc_md,
            start_date: head.start_date,
            end_date: head.end_date,
            is_paused_upon_creation: head.is_paused_upon_creation,
            params,
            render_template_as_native_obj: false,
            template_search_path: None,
            timezone: head.timezone.to_string(),
            last_parsed: dag.parsed_at,
            default_args: None,
            rerun_with_latest_version: None,
            owner_links: Map::new(),
            is_favorite: false,
            active_runs_count: dag.runs_active,
            concurrency: head.max_active_tasks,
            latest_dag_version: version,
            dag: dag.into(),
        }
    }
}
