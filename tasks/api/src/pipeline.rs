//! What connects the tasks of a pipeline from a topic to its sinks: ranges, and the sinks' ledgers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subak_core::dag::model::Sink;
use subak_core::letter::{Letter, Replay};
use subak_core::range::{Answer, Operation, Partition, Range};

use crate::{DatasetRef, TaskContext, TaskError};

/// What a try knows of its pipeline.
#[derive(Clone)]
pub struct Pipeline {
    /// The loads below a task that reads a topic.
    pub sinks: Vec<Sink>,
    /// Records ranges through the server.
    pub ranges: Arc<dyn Ranges>,
    /// Reads the ledgers of sinks; the worker injects the one that knows databases.
    pub ledgers: Arc<dyn Ledgers>,
    /// The run was made to replay dead letters: its sources read nothing.
    pub is_replay: bool,
}

/// Records ranges, fenced by the try's token.
#[async_trait]
pub trait Ranges: Send + Sync {
    /// Asks, and waits for the answer however long no server is there.
    async fn ask(&self, operation: Operation) -> Result<Answer, TaskError>;
}

/// Reads how far sinks are.
#[async_trait]
pub trait Ledgers: Send + Sync {
    /// The next offset by partition; empty if the sink has never loaded from the topic.
    async fn read(
        &self,
        sink: &Sink,
        topic: &LedgerTopic,
        ctx: &TaskContext,
    ) -> Result<BTreeMap<i32, i64>, TaskError>;

    /// Moves a sink's ledger behind a range that is not loaded into it; it may be there already.
    async fn pass(&self, sink: &Sink, range: &RangeRef, ctx: &TaskContext)
    -> Result<(), TaskError>;
}

/// Which rows of a ledger are a pipeline's, but for the sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerTopic {
    /// The task that reads the topic.
    pub consume_task: String,
    pub cluster: String,
    pub topic: String,
}

/// A range that a dataset carries, one entry of its provenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeRef {
    /// Its id at the server.
    pub range: i64,
    pub sequence: i64,
    pub dag_id: String,
    /// The task that read it.
    pub task: String,
    pub cluster: String,
    pub topic: String,
    pub partitions: Vec<RangePart>,
    /// Records that were read, and those of them that are not in the dataset.
    pub records: u64,
    pub rejected: u64,
    pub filtered: u64,
    /// The connection that it was read through.
    #[serde(default)]
    pub connection: String,
}

/// Of one partition, what a ledger is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangePart {
    pub partition: i32,
    pub after: i64,
    pub from: i64,
    pub to: i64,
}

/// The word by which an entry of a provenance is known as a range.
const KIND: &str = "range";

impl RangeRef {
    /// What a dataset carries of a range that was read.
    #[must_use]
    pub fn new(range: &Range, dag_id: &str, task: &str) -> Self {
        let part = |part: &Partition| RangePart {
            partition: part.partition,
            after: part.after,
            from: part.from,
            to: part.to,
        };
        Self {
            range: range.id,
            sequence: range.sequence,
            dag_id: dag_id.to_owned(),
            task: task.to_owned(),
            cluster: range.cluster.clone(),
            topic: range.topic.clone(),
            partitions: range.partitions.iter().filter(|it| it.moves()).map(part).collect(),
            records: 0,
            rejected: 0,
            filtered: 0,
            connection: String::new(),
        }
    }

    /// As an entry of a provenance.
    pub fn to_provenance(&self) -> Value {
        let mut value = json!(self);
        value["kind"] = json!(KIND);
        value
    }

    /// The ranges that a dataset carries.
    pub fn of(dataset: &DatasetRef) -> Result<Vec<Self>, TaskError> {
        let ranges = dataset.provenance.iter().filter(|entry| entry["kind"] == KIND);
        ranges
            .map(|entry| {
                Self::deserialize(entry).map_err(|error| {
                    TaskError::permanent(format!("a range of dataset {}: {error}", dataset.name))
                })
            })
            .collect()
    }

    /// Which rows of a ledger it is held against.
    #[must_use]
    pub fn ledger_topic(&self) -> LedgerTopic {
        LedgerTopic {
            consume_task: self.task.clone(),
            cluster: self.cluster.clone(),
            topic: self.topic.clone(),
        }
    }
}

impl fmt::Display for RangeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "range {} of topic {} ({})", self.sequence, self.topic, Parts(&self.partitions))
    }
}

/// `0: 5–9, 1: 0–4`, the first few.
struct Parts<'a>(&'a [RangePart]);

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (number, part) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(f, "{comma}{}: {}–{}", part.partition, part.from, part.to)?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more partitions"),
        }
    }
}

/// A try outside of any pipeline: it asks for nothing.
#[derive(Debug)]
pub struct NoPipeline;

impl Pipeline {
    /// What the run replays; `None`: it is an ordinary run.
    pub async fn replay(&self) -> Result<Option<Replay>, TaskError> {
        if !self.is_replay {
            return Ok(None);
        }
        match self.ranges.ask(Operation::Replay).await? {
            Answer::Replay { replay: Some(replay) } => Ok(Some(replay)),
            Answer::Replay { replay: None } => Err(TaskError::permanent(
                "what this run was to replay belongs to another run, or is gone: see `subak deadletters \
                 list` and `subak ranges list`",
            )),
            other => Err(unexpected(&other)),
        }
    }

    /// The next dead letters of a replay, behind the one with this id; none: there are no more.
    pub async fn letters(&self, replay: &Replay, after: i64) -> Result<Vec<Letter>, TaskError> {
        match self.ranges.ask(Operation::Letters { replay: replay.range.id, after }).await? {
            Answer::Letters { letters } => Ok(letters),
            other => Err(unexpected(&other)),
        }
    }

    /// That of a try which reads no topic and loads no range.
    #[must_use]
    pub fn none() -> Arc<Self> {
        let none = Arc::new(NoPipeline);
        Arc::new(Self {
            sinks: Vec::new(),
            ranges: Arc::clone(&none) as _,
            ledgers: none,
            is_replay: false,
        })
    }
}

fn unexpected(answer: &Answer) -> TaskError {
    TaskError::permanent(format!("unexpected answer {answer:?}"))
}

#[async_trait]
impl Ranges for NoPipeline {
    async fn ask(&self, _: Operation) -> Result<Answer, TaskError> {
        Err(TaskError::permanent("ranges of topics cannot be recorded here"))
    }
}

#[async_trait]
impl Ledgers for NoPipeline {
    async fn read(
        &self,
        sink: &Sink,
        _: &LedgerTopic,
        _: &TaskContext,
    ) -> Result<BTreeMap<i32, i64>, TaskError> {
        Err(TaskError::permanent(format!("the ledger of `{}` cannot be read here", sink.task_id)))
    }

    async fn pass(&self, sink: &Sink, _: &RangeRef, _: &TaskContext) -> Result<(), TaskError> {
        Err(TaskError::permanent(format!("the ledger of `{}` cannot be moved here", sink.task_id)))
    }
}
