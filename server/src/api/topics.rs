//! Topics and the lag of pipelines. Airflow has neither: ours, beside its resources.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subak_core::topic::{Content, PartitionMarks};
use subak_store::access::Role;
use subak_store::read::PipelineRecord;

use super::paging::{List, Listed, Listing};
use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::{ApiError, FieldProblem};
use crate::topics::{GroupLag, GroupPartition, PartitionLag, PipelineLag, RECORDS_MOST};

/// Records that are shown if nobody says how many.
const RECORDS: u32 = 20;

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    connection: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct PipelineQuery {
    dag_id: Option<String>,
    connection: Option<String>,
    topic: Option<String>,
}

impl PipelineQuery {
    fn takes(&self, it: &PipelineRecord) -> bool {
        let pairs = [
            (&self.dag_id, &it.dag_id),
            (&self.connection, &it.connection),
            (&self.topic, &it.topic),
        ];
        pairs.into_iter().all(|(wanted, has)| wanted.as_ref().is_none_or(|wanted| wanted == has))
    }
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct LookQuery {
    records: Option<u32>,
}

/// The topics of a connection.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TopicCollection")]
pub(super) struct Collection {
    connection_id: String,
    cluster: Option<String>,
    brokers: u32,
    topics: Vec<TopicView>,
    total_entries: usize,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Topic")]
struct TopicView {
    topic: String,
    partitions: u32,
    replicas: u32,
    pipelines: Vec<PipelineView>,
}

impl Listed for PipelineView {
    const PLURAL: &'static str = "pipelines";
}

/// A task that reads a topic. What is not known is null, and `missing` says why.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Pipeline")]
pub(super) struct PipelineView {
    dag_id: String,
    task_id: String,
    connection_id: String,
    topic: String,
    /// Offsets of all partitions together that are not in every sink yet.
    lag: Option<i64>,
    open_ranges: i64,
    partitions: Vec<LagView>,
    missing: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Lag")]
struct LagView {
    partition: i32,
    /// Behind the last record that was read, or that a range spans.
    position: Option<i64>,
    /// Up to here every sink has it.
    loaded: Option<i64>,
    high_watermark: Option<i64>,
    lag: Option<i64>,
}

/// A topic, looked at closely.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TopicLook")]
pub(super) struct Look {
    connection_id: String,
    topic: String,
    cluster: Option<String>,
    partitions: Vec<PartitionView>,
    records: Vec<RecordView>,
    /// Why there may be more records.
    missing: Option<String>,
    pipelines: Vec<PipelineView>,
    /// The consumer groups that have committed offsets of it, whoever they belong to.
    groups: Vec<GroupView>,
    /// Why there may be more groups.
    groups_missing: Option<String>,
}

/// A consumer group, as brokers know it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConsumerGroup")]
struct GroupView {
    group: String,
    /// Offsets of all its partitions together that it has not read yet.
    lag: Option<i64>,
    partitions: Vec<GroupPartitionView>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConsumerGroupPartition")]
struct GroupPartitionView {
    partition: i32,
    committed_offset: i64,
    lag: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Partition")]
struct PartitionView {
    partition: i32,
    leader: Option<i32>,
    replicas: u32,
    in_sync: u32,
    low_watermark: Option<i64>,
    high_watermark: Option<i64>,
    missing: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Record")]
struct RecordView {
    partition: i32,
    offset: i64,
    timestamp: Option<chrono::DateTime<chrono::Utc>>,
    key: Option<ContentView>,
    value: Option<ContentView>,
}

/// Bytes as people see them: as text, or in hexadecimal digits; cut if they are long.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Content")]
struct ContentView {
    text: Option<String>,
    hex: Option<String>,
    size_bytes: u64,
}

pub(super) async fn list(
    State(app): State<App>,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<Collection>, ApiError> {
    let Some(connection_id) = query.connection else {
        let msg = "say which: the id of a connection of type kafka";
        return Err(ApiError::Invalid(vec![FieldProblem::query("connection", msg)]));
    };
    kafka(&app, &connection_id).await?;
    let (heads, lags) = (app.topics.heads(&connection_id).await, app.topics.lags().await?);
    let heads = heads.as_ref().as_ref().map_err(unavailable)?;
    let topics = listing.part.of_list(heads.topics.clone()).into_iter().map(|head| TopicView {
        pipelines: lags
            .pipelines
            .iter()
            .filter(|it| it.record.connection == connection_id && it.record.topic == head.name)
            .map(PipelineView::from)
            .collect(),
        topic: head.name,
        partitions: head.partitions,
        replicas: head.replicas,
    });
    Ok(Json(Collection {
        cluster: heads.cluster.clone(),
        brokers: heads.brokers,
        topics: topics.collect(),
        total_entries: heads.topics.len() + heads.more as usize,
        connection_id,
    }))
}

pub(super) async fn get(
    State(app): State<App>,
    Path((connection_id, topic)): Path<(String, String)>,
    Query(query): Query<LookQuery>,
) -> Result<Json<Look>, ApiError> {
    kafka(&app, &connection_id).await?;
    let records = query.records.unwrap_or(RECORDS);
    if records > RECORDS_MOST {
        let msg = format!("is above {RECORDS_MOST}");
        return Err(ApiError::Invalid(vec![FieldProblem::query("records", msg)]));
    }
    let look = app.topics.look(&connection_id, &topic, records).await;
    let look = look.as_ref().as_ref().map_err(unavailable)?;
    let lags = app.topics.lags().await?;
    let pipelines = lags
        .pipelines
        .iter()
        .filter(|it| it.record.connection == connection_id && it.record.topic == topic);
    Ok(Json(Look {
        pipelines: pipelines.map(PipelineView::from).collect(),
        cluster: look.cluster.clone(),
        partitions: look.marks.partitions.iter().map(PartitionView::from).collect(),
        missing: look.missing.clone(),
        groups: GroupLag::of(&connection_id, &look.marks).iter().map(GroupView::from).collect(),
        groups_missing: look.marks.groups_missing.clone(),
        records: look
            .records
            .iter()
            .map(|record| RecordView {
                partition: record.partition,
                offset: record.offset,
                timestamp: record.timestamp.and_then(chrono::DateTime::from_timestamp_millis),
                key: record.key.as_ref().map(ContentView::from),
                value: record.value.as_ref().map(ContentView::from),
            })
            .collect(),
        connection_id,
        topic,
    }))
}

/// Every pipeline with its lag: one answer is kept for all, of which each sees their part.
pub(super) async fn lags(
    State(app): State<App>,
    caller: Caller,
    listing: Listing,
    Query(query): Query<PipelineQuery>,
) -> Result<Json<List<PipelineView>>, ApiError> {
    let lags = app.topics.lags().await?;
    let seen = lags.pipelines.iter().filter(|it| caller.may_with(&it.record.dag_id, Role::Viewer));
    let wanted = seen.filter(|it| query.takes(&it.record));
    Ok(Json(List::part(wanted.collect(), listing.part).map(PipelineView::from)))
}

/// Refuses what is no connection to brokers.
async fn kafka(app: &App, id: &str) -> Result<(), ApiError> {
    match app.probes.conn_type(id).await? {
        None => Err(ApiError::NotFound(format!("connections/{id}"))),
        Some(conn_type) if conn_type == "kafka" => Ok(()),
        Some(other) => Err(ApiError::Invalid(vec![FieldProblem::query(
            "connection",
            format!("`{id}` is of type `{other}`, but a `kafka` one is needed"),
        )])),
    }
}

fn unavailable(why: &String) -> ApiError {
    ApiError::Unavailable(format!("the brokers' topics are not known: {why}"))
}

impl From<&PipelineLag> for PipelineView {
    fn from(it: &PipelineLag) -> Self {
        let lag = |it: &PartitionLag| LagView {
            partition: it.partition,
            position: it.position,
            loaded: it.loaded,
            high_watermark: it.high,
            lag: it.lag,
        };
        Self {
            dag_id: it.record.dag_id.clone(),
            task_id: it.record.task_id.clone(),
            connection_id: it.record.connection.clone(),
            topic: it.record.topic.clone(),
            lag: it.total(),
            open_ranges: it.record.open_ranges,
            partitions: it.partitions.iter().map(lag).collect(),
            missing: it.missing.clone(),
        }
    }
}

impl From<&GroupLag> for GroupView {
    fn from(it: &GroupLag) -> Self {
        let part = |it: &GroupPartition| GroupPartitionView {
            partition: it.partition,
            committed_offset: it.committed,
            lag: it.lag,
        };
        Self {
            group: it.group.clone(),
            lag: it.total(),
            partitions: it.partitions.iter().map(part).collect(),
        }
    }
}

impl From<&PartitionMarks> for PartitionView {
    fn from(it: &PartitionMarks) -> Self {
        Self {
            partition: it.partition,
            leader: it.leader,
            replicas: it.replicas,
            in_sync: it.in_sync,
            low_watermark: it.low,
            high_watermark: it.high,
            missing: it.missing.clone(),
        }
    }
}

impl From<&Content> for ContentView {
    fn from(it: &Content) -> Self {
        let shown = Some(it.shown.clone());
        let (text, hex) = if it.is_text { (shown, None) } else { (None, shown) };
        Self { text, hex, size_bytes: it.size_bytes }
    }
}
