//! Topics: the list of a connection's, and one of them.

use askama::Template;

use crate::format::Stamp;
use crate::frame::Frame;
use crate::pager::Pager;
use crate::render;

/// The list.
#[derive(Debug, Template)]
#[template(path = "topics.html")]
pub struct TopicsPage<'a> {
    pub frame: Frame<'a>,
    /// Connections to choose from.
    pub connections: Vec<String>,
    /// The one that is shown; empty: there is none.
    pub connection: String,
    /// What is looked for.
    pub name: String,
    /// Where its changes come from.
    pub events: String,
    pub live: TopicsLive<'a>,
}

/// The part that lives.
#[derive(Debug, Template)]
#[template(path = "topics_live.html")]
pub struct TopicsLive<'a> {
    pub frame: Frame<'a>,
    /// The connection; empty: there is none.
    pub connection: String,
    /// What is looked for.
    pub name: String,
    pub pager: Pager,
    /// Cluster and brokers.
    pub about: String,
    pub rows: Vec<TopicRow>,
    /// How many more there are.
    pub more: Option<String>,
    /// Why there is no list.
    pub missing: Option<String>,
    pub pipelines: Vec<PipelineRow>,
    pub pipelines_pager: Pager,
}

/// A topic in the list.
#[derive(Debug, Clone)]
pub struct TopicRow {
    pub name: String,
    pub href: String,
    pub partitions: String,
    pub replicas: String,
    /// Those who read it, with their lag.
    pub readers: Vec<Reader>,
}

/// A pipeline that reads a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    pub name: String,
    pub href: String,
    /// `1,204 behind`, or that it is not known.
    pub lag: String,
    pub is_behind: bool,
}

/// A pipeline in full.
#[derive(Debug, Clone)]
pub struct PipelineRow {
    pub reader: Reader,
    pub topic: String,
    pub topic_href: String,
    /// Ranges that are not in all of their sinks.
    pub open_ranges: String,
    /// Why something is not known.
    pub missing: String,
}

/// The page of one.
#[derive(Debug, Template)]
#[template(path = "topic.html")]
pub struct TopicPage<'a> {
    pub frame: Frame<'a>,
    pub connection: String,
    pub connection_href: String,
    pub name: String,
    pub partitions: Vec<PartitionRow>,
    pub partitions_pager: Pager,
    pub positions: Vec<PositionRow>,
    pub positions_pager: Pager,
    pub pipelines: Vec<PipelineRow>,
    pub pipelines_pager: Pager,
    /// Consumer groups and partitions.
    pub groups: Vec<GroupRow>,
    pub groups_pager: Pager,
    /// Why there may be more groups.
    pub groups_missing: Option<String>,
    pub records: Vec<RecordRow>,
    /// Why there may be more records.
    pub records_missing: Option<String>,
    /// Why nothing is known.
    pub missing: Option<String>,
}

/// A partition; what is not known is said to be.
#[derive(Debug, Clone)]
pub struct PartitionRow {
    pub number: i32,
    pub low: String,
    pub high: String,
    pub records: String,
    pub leader: String,
    pub in_sync: String,
    pub missing: String,
}

/// How far a pipeline is in a partition.
#[derive(Debug, Clone)]
pub struct PositionRow {
    pub reader: Reader,
    pub partition: i32,
    pub position: String,
    pub loaded: String,
}

/// How far a consumer group is in a partition.
#[derive(Debug, Clone)]
pub struct GroupRow {
    pub group: String,
    pub partition: i32,
    pub committed: String,
    pub lag: String,
}

/// A record.
#[derive(Debug, Clone)]
pub struct RecordRow {
    pub place: String,
    pub when: Option<Stamp>,
    pub key: String,
    pub value: String,
    /// What is not shown of it, or that it is a tombstone.
    pub note: String,
}

impl TopicsPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

impl TopicsLive<'_> {
    /// Returns the markup.
    #[must_use]
    pub fn markup(&self) -> String {
        render(self)
    }
}

impl TopicPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}
