//! A range's turn at a sink: after the ranges before it, and once.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use subak_core::range::{Answer, Operation, Place};
use tokio::time::{sleep, timeout};

use crate::{RangeRef, TaskContext, TaskError};

/// Between two looks at the range before one's own.
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

impl LedgerName {
    /// The ledger says what no load has written.
    fn changed(&self, what: &str) -> TaskError {
        let Self { target, ledger } = self;
        TaskError::permanent(format!(
            "{target}: {what}: somebody has changed {ledger}\
             \nwhat to do: put back what it was; a restore must bring back rows and ledger of the same \
             moment"
        ))
    }
}

/// Reads the ledger of a sink again and again.
#[async_trait]
pub trait Positions: Send {
    /// The next offset by partition, of the topic of a range.
    async fn read(&mut self, range: &RangeRef) -> Result<BTreeMap<i32, i64>, TaskError>;
}

impl RangeRef {
    /// Waits, without a slot, until the ranges before this one are in the sink. One that nobody works on
    /// is an error.
    pub async fn await_turn(
        &self,
        sink: &str,
        name: &LedgerName,
        ctx: &TaskContext,
        positions: &mut dyn Positions,
    ) -> Result<(), TaskError> {
        let found = positions.read(self).await?;
        if self.behind(&found).is_none() && self.unknown(&found).is_empty() {
            return Ok(());
        }
        ctx.without_slot(self.await_others(sink, name, ctx, positions)).await
    }

    async fn await_others(
        &self,
        sink: &str,
        name: &LedgerName,
        ctx: &TaskContext,
        positions: &mut dyn Positions,
    ) -> Result<(), TaskError> {
        let mut is_said = false;
        loop {
            let found = positions.read(self).await?;
            let (behind, unknown) = (self.behind(&found), self.unknown(&found));
            if behind.is_none() && unknown.is_empty() {
                return Ok(());
            }
            // A ledger that has nothing of a partition does not say whether an earlier range does.
            let partitions = if behind.is_none() { unknown } else { Vec::new() };
            let waits = Operation::Waits { range: self.range, sink: sink.to_owned(), partitions };
            let answer = ctx.pipeline.ranges.ask(waits).await?;
            let run = match (answer, behind) {
                (Answer::Waits { run_id: Some(run), .. }, _) => run,
                (Answer::Waits { is_left: false, .. }, None) => return Ok(()),
                // It may have been committed between the two questions.
                (_, Some(_)) => {
                    return match self.behind(&positions.read(self).await?) {
                        None => Ok(()),
                        Some((partition, position)) => Err(self.gap(name, partition, position)),
                    };
                }
                (_, None) => {
                    let Some(partition) =
                        self.unknown(&positions.read(self).await?).first().copied()
                    else {
                        continue;
                    };
                    return Err(self.overtakes(name, partition));
                }
            };
            if !std::mem::replace(&mut is_said, true) {
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
                Place::Behind => return Err(self.gap(name, partition, position)),
                Place::Inside => {
                    let where_it_is = format!("offset {position} of partition {partition}");
                    return Err(name.changed(&format!("{where_it_is} is in the middle of {self}")));
                }
            }
        }
        match committed {
            0 => Ok(false),
            all if all == self.partitions.len() => Ok(true),
            _ => {
                Err(name
                    .changed(&format!("some partitions of {self} are there and others are not")))
            }
        }
    }

    /// Tells the server that the range is in the sink, as so many rows, if that is known. The next
    /// reader finds out by itself that it is, if no server hears it.
    pub async fn tell_committed(&self, sink: &str, rows: Option<i64>, ctx: &TaskContext) {
        let commit = Operation::Commit { range: self.range, sink: sink.to_owned(), rows };
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

    /// The partitions of which the ledger says nothing.
    fn unknown(&self, positions: &BTreeMap<i32, i64>) -> Vec<i32> {
        let partitions = self.partitions.iter().map(|part| part.partition);
        partitions.filter(|partition| !positions.contains_key(partition)).collect()
    }

    fn overtakes(&self, name: &LedgerName, partition: i32) -> TaskError {
        let LedgerName { target, ledger } = name;
        TaskError::permanent(format!(
            "{target}: {self} would overtake the range before it, which no run works on: {ledger} has \
             nothing of partition {partition} yet\
             \nwhat to do: clear the run that read the range before, or trigger the DAG: it takes that \
             range first"
        ))
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

#[cfg(test)]
mod tests {
    use crate::RangePart;

    use super::*;

    fn range() -> RangeRef {
        let part = |partition, after, to| RangePart { partition, after, from: after, to };
        RangeRef {
            range: 1,
            sequence: 7,
            dag_id: "drain".to_owned(),
            task: "read".to_owned(),
            cluster: "c".to_owned(),
            topic: "orders".to_owned(),
            partitions: vec![part(0, 10, 50), part(1, 0, 5)],
            records: 0,
            rejected: 0,
            filtered: 0,
            connection: String::new(),
        }
    }

    #[test]
    fn a_range_is_in_its_sink_or_comes_next_and_all_else_is_an_error() {
        let name =
            LedgerName { target: "db".to_owned(), ledger: "public.subak_offsets".to_owned() };
        let found = |positions: &[(i32, i64)]| {
            let found = range().is_committed(&name, &positions.iter().copied().collect());
            found.map_err(|error| error.message)
        };
        assert_eq!(found(&[]), Ok(false));
        assert_eq!(found(&[(0, 10), (1, 0)]), Ok(false));
        assert_eq!(found(&[(0, 50), (1, 5)]), Ok(true));
        assert_eq!(found(&[(0, 90), (1, 5), (2, 3)]), Ok(true));
        let refused = |positions: &[(i32, i64)], words: &str| {
            let said = found(positions).unwrap_err();
            assert!(said.contains(words), "{said}");
        };
        let torn = "db: some partitions of range 7 of topic orders (0: 10–50, 1: 0–5) are there and \
                    others are not: somebody has changed public.subak_offsets";
        refused(&[(0, 50)], torn);
        refused(&[(0, 20), (1, 0)], "offset 20 of partition 0 is in the middle of range 7");
        let gap = "would leave a gap: by public.subak_offsets the next offset of partition 0 is 5, but \
                   the range begins at 10";
        refused(&[(0, 5), (1, 0)], gap);
    }
}
