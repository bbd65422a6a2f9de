//! A range's turn at a sink: after the ranges before it, and once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use subak_core::range::{Answer, Operation, Place};
use tokio::time::{sleep, timeout};

use crate::{RangeRef, TaskContext, TaskError};

/// How long a sink waits for the range before its own, and between two looks.
const PREDECESSOR: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a server has to note that a range is committed.
const TELL: Duration = Duration::from_secs(5);

/// How messages name a sink's ledger.
#[derive(Debug, Clone)]
pub struct LedgerName {
    /// The database or cluster.
    pub target: String,
    /// The table or group.
    pub ledger: String,
}

/// Reads the ledger of a sink again and again.
#[async_trait]
pub trait Positions: Send {
    /// The next offset by partition, of the topic of a range.
    async fn read(&mut self, range: &RangeRef) -> Result<BTreeMap<i32, i64>, TaskError>;
}

impl RangeRef {
    /// Waits until the ranges before this one are in the sink. One that nobody works on is an error.
    pub async fn await_turn(
        &self,
        sink: &str,
        name: &LedgerName,
        ctx: &TaskContext,
        positions: &mut dyn Positions,
    ) -> Result<(), TaskError> {
        let began = Instant::now();
        loop {
            let Some((partition, position)) = self.behind(&positions.read(self).await?) else {
                return Ok(());
            };
            let waits = Operation::Waits { range: self.range, sink: sink.to_owned() };
            let Answer::Waits { run_id: Some(run) } = ctx.pipeline.ranges.ask(waits).await? else {
                // It may have been committed between the two questions.
                return match self.behind(&positions.read(self).await?) {
                    None => Ok(()),
                    Some(_) => Err(self.gap(name, partition, position)),
                };
            };
            if began.elapsed() > PREDECESSOR {
                return Err(TaskError::transient(format!(
                    "{self} waits for the range before it, which run `{run}` has not brought there yet"
                )));
            }
            if began.elapsed() < LOOK_EVERY {
                ctx.log(format!("waiting for run `{run}`, which has the range before this one"));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Whether all of the range is in the sink, by its ledger; some of it is an error.
    pub fn is_committed(
        &self,
        name: &LedgerName,
        positions: &BTreeMap<i32, i64>,
    ) -> Result<bool, TaskError> {
        let mut committed = 0;
        for (place, partition, position) in self.places(positions) {
            match place {
                Place::Next => {}
                Place::Committed => committed += 1,
                Place::Behind | Place::Inside => return Err(self.gap(name, partition, position)),
            }
        }
        match committed {
            0 => Ok(false),
            all if all == self.partitions.len() => Ok(true),
            _ => Err(TaskError::permanent(format!(
                "{}: some partitions of {self} are there and others are not: somebody has changed {}",
                name.target, name.ledger
            ))),
        }
    }

    /// Tells the server that the range is in the sink. The next reader finds it out by itself, if no
    /// server hears it.
    pub async fn tell_committed(&self, sink: &str, ctx: &TaskContext) {
        let commit = Operation::Commit { range: self.range, sink: sink.to_owned() };
        let told = timeout(TELL, ctx.pipeline.ranges.ask(commit)).await;
        if !matches!(told, Ok(Ok(_))) {
            ctx.log("no server has noted that the range is committed: the ledger has it");
        }
    }

    /// Where the ledger stands to each part; a partition that it lacks is at the part's beginning.
    fn places<'a>(
        &'a self,
        positions: &'a BTreeMap<i32, i64>,
    ) -> impl Iterator<Item = (Place, i32, i64)> + 'a {
        self.partitions.iter().map(|part| {
            let position = positions.get(&part.partition).copied().unwrap_or(part.after);
            (Place::of(position, part.after, part.from, part.to), part.partition, position)
        })
    }

    /// The first partition for which a range before this one is missing.
    fn behind(&self, positions: &BTreeMap<i32, i64>) -> Option<(i32, i64)> {
        self.places(positions)
            .find(|(place, ..)| *place == Place::Behind)
            .map(|(_, partition, position)| (partition, position))
    }

    fn gap(&self, name: &LedgerName, partition: i32, position: i64) -> TaskError {
        let expected = self.partitions.iter().find(|part| part.partition == partition);
        let expected = expected.map_or(0, |part| part.after);
        let LedgerName { target, ledger } = name;
        TaskError::permanent(format!(
            "{target}: {self} would leave a gap: by {ledger} the next offset of partition {partition} \
             is {position}, but the range begins at {expected}, and no run works on what lies between\
             \nwhat to do: clear the run that read the range before, or trigger the DAG: it reads on \
             from what the ledger says"
        ))
    }
}
