//! Ranges of a topic: which records a pipeline reads, as workers and servers speak of them.
//!
//! A range is recorded before its first record is read and never cut anew. Which of its records are
//! in a sink the sink's own ledger says; what is kept here is a mirror of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::letter::{Letter, Replay};

/// A range that is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub id: i64,
    /// 1, 2, 3, … within its pipeline.
    pub sequence: i64,
    pub cluster: String,
    pub topic: String,
    /// Every partition that the topic had, also those of which nothing is read.
    pub partitions: Vec<Partition>,
    /// Records that were read of it, once all of them were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<i64>,
    /// Bytes of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
}

/// A range's part of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    pub partition: i32,
    /// The position that the ledger of a sink has before it. Beyond it begins a gap, if `from` is
    /// larger: records that were lost, and left behind by somebody's choice.
    pub after: i64,
    pub from: i64,
    /// The position behind the last record.
    pub to: i64,
    /// The last record that the pipeline has read of the partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastRecord>,
}

/// Where a ledger's position stands to a range's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The part comes next.
    Next,
    /// The part is in the sink.
    Committed,
    /// A range before it is not in the sink yet.
    Behind,
    /// In the middle of it: somebody else has moved the position.
    Inside,
}

impl Place {
    /// Where `position` stands to the part that leads from `after`, by records `from..to`.
    #[must_use]
    pub fn of(position: i64, after: i64, from: i64, to: i64) -> Self {
        // Of a topic that was made anew `from` is before `after`, and `to` may be.
        let goes_back = from < after && to < after;
        if position == after {
            Self::Next
        } else if goes_back {
            if (to..after).contains(&position) { Self::Committed } else { Self::Behind }
        } else if position >= to {
            Self::Committed
        } else if position < after {
            Self::Behind
        } else {
            Self::Inside
        }
    }
}

/// What tells a record from that of another topic with the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRecord {
    pub offset: i64,
    /// Milliseconds since the Unix epoch; -1: none.
    pub timestamp: i64,
    pub hash: i64,
}

/// A sink's positions by partition, as its ledger has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkPositions {
    /// The task that loads.
    pub sink: String,
    pub positions: BTreeMap<i32, i64>,
}

/// What a worker asks of the server. Each may arrive twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Which range is this task instance to read? Its own, or the oldest open one whose owner has
    /// ended; that becomes its own. `may_skip` are the sinks whose skipped loads count as done.
    Take {
        cluster: String,
        topic: String,
        sinks: Vec<SinkPositions>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        may_skip: Vec<String>,
    },
    /// Records a new range, provided that `newest` is still the pipeline's newest sequence (0: none).
    Cut {
        newest: i64,
        cluster: String,
        topic: String,
        partitions: Vec<Partition>,
        sinks: Vec<String>,
    },
    /// All records of a range were read; some of them were rejected or left out.
    Read {
        range: i64,
        partitions: Vec<Partition>,
        records: i64,
        bytes: i64,
        rejected: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filtered: Option<i64>,
    },
    /// A sink has committed a range, as so many rows, if that is known.
    Commit {
        range: i64,
        sink: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rows: Option<i64>,
    },
    /// Which range before this one is not in a sink yet? With `partitions` only one with records of
    /// these counts.
    Waits {
        range: i64,
        sink: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        partitions: Vec<i32>,
    },
    /// Which dead letters is this run to take?
    Replay,
    /// The next ones of a replay, behind the one with this id.
    Letters { replay: i64, after: i64 },
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Operation::Take`] and [`Operation::Cut`]: the range to read.
    Range {
        range: Range,
        sinks: Vec<String>,
        origin: Origin,
        /// Runs in a row whose branches left out a load that lacks the range, and such a load.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        skipped: Option<Skipped>,
    },
    /// To [`Operation::Take`]: the loads of these sinks were skipped by the run that has left the range,
    /// which is to be done about first.
    Skipped { range: Range, sinks: Vec<String>, run_id: String },
    /// To [`Operation::Take`]: a sink has a range by another version of the DAG than the run's, which
    /// is the one that finishes it; `open` are the sinks that lack it.
    Begun {
        range: Range,
        version: i32,
        run_id: Option<String>,
        #[serde(default)]
        open: Vec<String>,
    },
    /// To [`Operation::Take`]: there is none to read; the newest one of the same topic, and whether
    /// somebody still works on it or on one before it.
    None { newest: i64, last: Option<Range>, is_active: bool },
    /// To [`Operation::Cut`]: another range was cut meanwhile.
    Changed,
    /// Noted.
    Done,
    /// To [`Operation::Waits`]: the run that works on an earlier range; none: nobody does, and there may
    /// be one that somebody has left.
    Waits {
        run_id: Option<String>,
        #[serde(default)]
        is_left: bool,
    },
    /// To [`Operation::Replay`]; none: another run has taken them over.
    Replay { replay: Option<Replay> },
    /// To [`Operation::Letters`]; none: there are no more.
    Letters { letters: Vec<Letter> },
}

/// A load that branches leave out again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub sink: String,
    /// In so many runs, one after another.
    pub runs: i32,
}

/// How a task instance came by its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was cut now.
    Cut,
    /// An earlier try of the same task instance had it.
    Own,
    /// A run that has ended left it open.
    Left,
}

impl Partition {
    /// Whether a ledger's position changes by it.
    #[must_use]
    pub fn moves(&self) -> bool {
        self.after != self.to
    }

    /// Ends before a position that the ledger had before it, as of a topic made anew: the two could
    /// not be told apart.
    pub fn keep_apart(&mut self) {
        if self.from < self.after && self.to == self.after {
            self.to -= 1;
        }
    }

    fn is_committed(&self, position: i64) -> bool {
        Place::of(position, self.after, self.from, self.to) == Place::Committed
    }
}

impl Range {
    /// Whether nothing is to be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partitions.iter().all(|part| part.from >= part.to)
    }

    /// Offsets that it spans: at least as many as there are records.
    #[must_use]
    pub fn span(&self) -> i64 {
        self.partitions.iter().map(|part| (part.to - part.from).max(0)).sum()
    }

    /// Whether a sink of these positions has it.
    #[must_use]
    pub fn is_committed_by(&self, positions: &BTreeMap<i32, i64>) -> bool {
        self.partitions
            .iter()
            .filter(|part| part.moves())
            .all(|part| positions.get(&part.partition).is_some_and(|next| part.is_committed(*next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(parts: &[(i32, i64, i64)]) -> Range {
        let part =
            |&(partition, from, to)| Partition { partition, after: from, from, to, last: None };
        Range {
            id: 1,
            sequence: 1,
            cluster: "c".to_owned(),
            topic: "t".to_owned(),
            partitions: parts.iter().map(part).collect(),
            records: None,
            bytes: None,
        }
    }

    #[test]
    fn a_sink_has_a_range_once_it_is_past_every_end() {
        let check = |positions: &[(i32, i64)], expected: bool| {
            let range = range(&[(0, 5, 9), (1, 3, 3), (2, 0, 4)]);
            let positions = positions.iter().copied().collect();
            assert_eq!(range.is_committed_by(&positions), expected, "{positions:?}");
        };
        check(&[], false);
        check(&[(0, 9)], false);
        check(&[(0, 9), (2, 3)], false);
        check(&[(0, 9), (2, 4)], true);
        check(&[(0, 12), (1, 8), (2, 4)], true);
    }

    #[test]
    fn a_position_is_before_at_or_behind_a_part() {
        let check = |(after, from, to): (i64, i64, i64), places: &[(i64, Place)]| {
            for (position, expected) in places {
                assert_eq!(Place::of(*position, after, from, to), *expected, "{position}");
            }
        };
        let (next, committed, behind) = (Place::Next, Place::Committed, Place::Behind);
        check(
            (5, 5, 9),
            &[(4, behind), (5, next), (6, Place::Inside), (9, committed), (12, committed)],
        );
        check((5, 7, 9), &[(5, next), (7, Place::Inside), (9, committed)]);
        // Made anew: shorter, and longer.
        check(
            (90, 0, 9),
            &[(80, committed), (90, next), (9, committed), (8, behind), (95, behind)],
        );
        check((5, 0, 9), &[(4, behind), (5, next), (9, committed)]);
        let mut part = Partition { partition: 0, after: 9, from: 0, to: 9, last: None };
        part.keep_apart();
        assert_eq!(part.to, 8);
    }

    #[test]
    fn what_is_said_reads_as_it_was_written() {
        let waits = Operation::Waits { range: 7, sink: "load".to_owned(), partitions: Vec::new() };
        let text = serde_json::to_string(&waits).unwrap();
        assert_eq!(text, r#"{"waits":{"range":7,"sink":"load"}}"#);
        assert_eq!(serde_json::from_str::<Operation>(&text).unwrap(), waits);
        let positions = BTreeMap::from([(0, 7), (12, 9)]);
        let sinks = vec![SinkPositions { sink: "load".to_owned(), positions }];
        let may_skip = vec!["load".to_owned()];
        let (cluster, topic) = ("c".to_owned(), "t".to_owned());
        let take = Operation::Take { cluster, topic, sinks, may_skip };
        let text = serde_json::to_string(&take).unwrap();
        assert_eq!(serde_json::from_str::<Operation>(&text).unwrap(), take);
        // As a worker of an earlier release says it.
        let commit = r#"{"commit":{"range":7,"sink":"load"}}"#;
        let sink = "load".to_owned();
        let expected = Operation::Commit { range: 7, sink, rows: None };
        assert_eq!(serde_json::from_str::<Operation>(commit).unwrap(), expected);
        let answer = Answer::Range {
            range: range(&[(0, 1, 2)]),
            sinks: vec![],
            origin: Origin::Left,
            skipped: None,
        };
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
    }
}
