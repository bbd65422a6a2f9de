//! Topics: the list of a connection's, and one of them.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use axum::response::sse::{Event, Sse};
use chrono::{DateTime, Utc};
use futures::Stream;
use serde::Deserialize;
use subak_core::topic::{Content, PartitionMarks, TopicHead, TopicMarks, TopicRecord};
use subak_web::format::{Stamp, bytes, count};
use subak_web::pager::Pager;
use subak_web::pieces::Pieces;
use subak_web::text::Text;
use subak_web::topics::{
    GroupRow, PartitionRow, PipelineRow, PositionRow, Reader, RecordRow, TopicPage, TopicRow,
    TopicsLive, TopicsPage,
};
use subak_web::url;

use super::listing::{NameQuery, part};
use super::viewer::Viewer;
use super::watch::{FAR_APART, Part, Shown, watch};
use crate::app::App;
use crate::clock;
use crate::extract::{Path, Query};
use crate::problem::ApiError;
use crate::topics::{GroupLag, PartitionLag, PipelineLag};

/// Records that the page of a topic shows.
const RECORDS: u32 = 20;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    #[serde(default)]
    connection: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    offset: i64,
    /// The same of the pipelines.
    #[serde(default)]
    pipelines: i64,
}

/// From where on the lists of a topic are shown.
#[derive(Deserialize, Clone, Copy)]
pub(super) struct Offsets {
    #[serde(default)]
    pipelines: i64,
    #[serde(default)]
    partitions: i64,
    #[serde(default)]
    positions: i64,
    #[serde(default)]
    groups: i64,
}

impl Offsets {
    /// The topic's page with its lists from there on, at one of them.
    fn address(self, href: &str, list: &str) -> String {
        let Self { pipelines, partitions, positions, groups } = self;
        format!(
            "{href}?pipelines={pipelines}&partitions={partitions}&positions={positions}&groups={groups}#{list}"
        )
    }
}

pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Html<String>, ApiError> {
    let connections = app.probes.of_type("kafka").await?;
    let connection = match query.connection.as_str() {
        "" => connections.first().cloned().unwrap_or_default(),
        id if connections.iter().any(|known| known == id) => id.to_owned(),
        id => return Err(ApiError::NotFound(format!("connections/{id}"))),
    };
    let query = ListQuery { connection, ..query };
    let live = live(&app, &viewer, &query).await?;
    let print = Part::of(Pieces::cut(&live.markup())).print;
    let events = query.address("/live/topics", query.offset, query.pipelines);
    let page = TopicsPage {
        frame: viewer.frame(),
        connections,
        events: viewer.events(&events, print),
        live,
        name: query.name.trim().to_owned(),
        connection: query.connection,
    };
    Ok(Html(page.page()))
}

/// Sends the list anew whenever it has changed: workers are asked while somebody looks, and seldom.
pub(super) async fn events(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<ListQuery>,
    shown: Shown,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    // Of what is no connection to a broker no worker is asked.
    let connections = app.probes.of_type("kafka").await?;
    if !query.connection.is_empty() && !connections.contains(&query.connection) {
        return Err(ApiError::NotFound(format!("connections/{}", query.connection)));
    }
    let (stop, shared) = (app.stop.clone(), Arc::new((app, viewer, query)));
    Ok(watch(stop, FAR_APART, shown, move || {
        let shared = Arc::clone(&shared);
        async move {
            let (app, viewer, query) = &*shared;
            let markup = live(app, viewer, query).await?.markup();
            let Part { print, drawn } = Part::of(Pieces::cut(&markup));
            Ok((print, move || drawn))
        }
    }))
}

impl ListQuery {
    /// The lists at these offsets, below an address.
    fn address(&self, at: &str, offset: i64, pipelines: i64) -> String {
        let [connection, name] = [self.connection.as_str(), self.name.trim()].map(url::encode);
        let (offset, pipelines) = (offset.max(0), pipelines.max(0));
        format!("{at}?connection={connection}&name={name}&offset={offset}&pipelines={pipelines}")
    }
}

/// The part that lives, of a connection that there is, or of none.
async fn live<'a>(
    app: &App,
    viewer: &'a Viewer,
    query: &ListQuery,
) -> Result<TopicsLive<'a>, ApiError> {
    let t = viewer.t;
    let mut page = TopicsLive {
        frame: viewer.frame(),
        connection: query.connection.clone(),
        name: query.name.trim().to_owned(),
        pager: Pager::default(),
        about: String::new(),
        rows: Vec::new(),
        more: None,
        missing: None,
        pipelines: Vec::new(),
        pipelines_pager: Pager::default(),
    };
    if page.connection.is_empty() {
        return Ok(page);
    }
    let (heads, lags) = tokio::join!(app.topics.heads(&page.connection), app.topics.lags());
    let lags = lags?;
    let all = lags.pipelines.iter().filter(|it| it.record.connection == page.connection);
    let all: Vec<&PipelineLag> = all.collect();
    match &*heads {
        Err(why) => page.missing = Some(why.clone()),
        Ok(heads) => {
            let cluster = heads.cluster.clone().unwrap_or_default();
            page.about = t.fill(&t.fill(t.cluster_about, cluster), heads.brokers);
            page.more = (heads.more > 0).then(|| t.fill(t.more_topics, heads.more));
            let names = NameQuery::new(&query.name, query.offset);
            let found = names.part(heads.topics.iter().collect(), |it| &it.name);
            page.pager = names.pager(found.items.len(), found.total, |offset| {
                query.address("/topics", offset, query.pipelines)
            });
            let row = |head: &TopicHead| topic(head, &page.connection, &all, t);
            page.rows = found.items.into_iter().map(row).collect();
        }
    }
    let names = NameQuery::new(&query.name, query.pipelines);
    let found = names.part(all, |it| &it.record.topic);
    page.pipelines_pager = names.pager(found.items.len(), found.total, |pipelines| {
        query.address("/topics", query.offset, pipelines) + "#pipelines"
    });
    page.pipelines = found.items.into_iter().map(|it| pipeline(it, t)).collect();
    Ok(page)
}

/// A topic, and who of the pipelines reads it.
fn topic(head: &TopicHead, connection: &str, all: &[&PipelineLag], t: &Text) -> TopicRow {
    let readers = all.iter().filter(|it| it.record.topic == head.name);
    TopicRow {
        href: url::topic(connection, &head.name),
        partitions: head.partitions.to_string(),
        replicas: head.replicas.to_string(),
        readers: readers.map(|it| reader(it, it.total(), t)).collect(),
        name: head.name.clone(),
    }
}

pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path((connection, name)): Path<(String, String)>,
    Query(at): Query<Offsets>,
) -> Result<Html<String>, ApiError> {
    let (now, t) = (clock::now(), viewer.t);
    let not_found = || ApiError::NotFound(format!("topics/{connection}/{name}"));
    if app.probes.conn_type(&connection).await?.ok_or_else(not_found)? != "kafka" {
        return Err(not_found());
    }
    let (look, lags) =
        tokio::join!(app.topics.look(&connection, &name, RECORDS), app.topics.lags());
    let lags = lags?;
    let readers = lags.pipelines.iter();
    let readers =
        readers.filter(|it| it.record.connection == connection && it.record.topic == name);
    let readers: Vec<&PipelineLag> = readers.collect();
    let href = url::topic(&connection, &name);
    let positions = readers.iter().copied();
    let positions = positions.flat_map(|it| it.partitions.iter().map(move |one| (it, one)));
    let positions: Vec<(&PipelineLag, &PartitionLag)> = positions.collect();
    let (positions, positions_pager) = part(positions, at.positions, |positions| {
        Offsets { positions, ..at }.address(&href, "positions")
    });
    let positions = positions.into_iter().map(|(it, one)| position(it, one, t)).collect();
    let (readers, pipelines_pager) = part(readers, at.pipelines, |pipelines| {
        Offsets { pipelines, ..at }.address(&href, "pipelines")
    });
    let mut page = TopicPage {
        frame: viewer.frame(),
        connection_href: url::topics(&connection),
        connection,
        name,
        partitions: Vec::new(),
        partitions_pager: Pager::default(),
        positions,
        positions_pager,
        pipelines: readers.into_iter().map(|it| pipeline(it, t)).collect(),
        pipelines_pager,
        groups: Vec::new(),
        groups_pager: Pager::default(),
        groups_missing: None,
        records: Vec::new(),
        records_missing: None,
        missing: None,
    };
    match &*look {
        Err(why) => page.missing = Some(why.clone()),
        Ok(look) => {
            let all: Vec<&PartitionMarks> = look.marks.partitions.iter().collect();
            let (partitions, pager) = part(all, at.partitions, |partitions| {
                Offsets { partitions, ..at }.address(&href, "partitions")
            });
            page.partitions = partitions.into_iter().map(|it| partition(it, t)).collect();
            page.partitions_pager = pager;
            (page.groups, page.groups_pager) = part(groups(&look.marks, t), at.groups, |groups| {
                Offsets { groups, ..at }.address(&href, "groups")
            });
            page.groups_missing.clone_from(&look.marks.groups_missing);
            page.records = look.records.iter().map(|it| record(it, now, t)).collect();
            page.records_missing.clone_from(&look.missing);
        }
    }
    Ok(Html(page.page()))
}

fn reader(it: &PipelineLag, lag: Option<i64>, t: &Text) -> Reader {
    Reader {
        name: format!("{} / {}", it.record.dag_id, it.record.task_id),
        href: url::dag(&it.record.dag_id),
        lag: match lag {
            None if it.record.newest.is_empty() => t.not_begun.to_owned(),
            None => t.lag_unknown.to_owned(),
            Some(0) => t.no_lag.to_owned(),
            Some(lag) => t.fill(t.behind, count(lag.unsigned_abs())),
        },
        is_behind: lag.is_some_and(|lag| lag > 0),
    }
}

fn pipeline(it: &PipelineLag, t: &Text) -> PipelineRow {
    PipelineRow {
        reader: reader(it, it.total(), t),
        topic: it.record.topic.clone(),
        topic_href: url::topic(&it.record.connection, &it.record.topic),
        open_ranges: it.record.open_ranges.to_string(),
        missing: it.missing.clone().unwrap_or_default(),
    }
}

fn position(it: &PipelineLag, part: &PartitionLag, t: &Text) -> PositionRow {
    PositionRow {
        reader: reader(it, part.lag, t),
        partition: part.partition,
        position: offset(part.position, t),
        loaded: offset(part.loaded, t),
    }
}

fn groups(marks: &TopicMarks, t: &Text) -> Vec<GroupRow> {
    let groups = GroupLag::of("", marks);
    let rows = groups.iter().flat_map(|it| {
        it.partitions.iter().map(|part| GroupRow {
            group: it.group.clone(),
            partition: part.partition,
            committed: offset(Some(part.committed), t),
            lag: offset(part.lag, t),
        })
    });
    rows.collect()
}

fn partition(it: &PartitionMarks, t: &Text) -> PartitionRow {
    let records = it.high.zip(it.low).map(|(high, low)| high - low);
    PartitionRow {
        number: it.partition,
        low: offset(it.low, t),
        high: offset(it.high, t),
        records: offset(records, t),
        leader: it.leader.map_or_else(|| t.missing.to_owned(), |leader| leader.to_string()),
        in_sync: format!("{} / {}", it.in_sync, it.replicas),
        missing: it.missing.clone().unwrap_or_default(),
    }
}

/// An offset, or that it is not known.
fn offset(offset: Option<i64>, t: &Text) -> String {
    offset.map_or_else(|| t.missing.to_owned(), |offset| count(offset.unsigned_abs()))
}

fn record(it: &TopicRecord, now: DateTime<Utc>, t: &Text) -> RecordRow {
    let when = it.timestamp.and_then(DateTime::from_timestamp_millis);
    let shown =
        |content: &Option<Content>| content.as_ref().map(|it| it.shown.clone()).unwrap_or_default();
    let note = match &it.value {
        None => t.tombstone.to_owned(),
        Some(value) if !value.is_text => t.fill(t.bytes_of, bytes(value.size_bytes)),
        Some(value) if value.is_cut() => t.fill(t.first_of, bytes(value.size_bytes)),
        Some(_) => String::new(),
    };
    RecordRow {
        place: format!("{}:{}", it.partition, it.offset),
        when: when.map(|at| Stamp::new(at, now, t)),
        key: shown(&it.key),
        value: shown(&it.value),
        note,
    }
}
