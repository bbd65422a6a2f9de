//! Ranges of topics for tries without a server: kept as long as the runner.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use subak_core::range::{Answer, Operation, Origin, Range};
use subak_task::{Ranges, TaskError};

/// Ranges by their ids, which are their places. The ledgers alone say what was loaded before.
#[derive(Debug, Default)]
pub(crate) struct LocalRanges(Mutex<Vec<Range>>);

#[async_trait]
impl Ranges for LocalRanges {
    async fn ask(&self, operation: Operation) -> Result<Answer, TaskError> {
        let mut ranges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match operation {
            Operation::Take { cluster, topic, .. } => {
                let is_of = |range: &&Range| range.cluster == cluster && range.topic == topic;
                let last = ranges.iter().rev().find(is_of).cloned();
                let newest = i64::try_from(ranges.len()).unwrap_or(i64::MAX);
                Answer::None { newest, last, is_active: false }
            }
            Operation::Cut { newest, cluster, topic, partitions, sinks } => {
                let sequence = newest + 1;
                let id = sequence;
                let range =
                    Range { id, sequence, cluster, topic, partitions, records: None, bytes: None };
                ranges.push(range.clone());
                Answer::Range { range, sinks, origin: Origin::Cut, skipped: None }
            }
            Operation::Waits { .. } => Answer::Waits { run_id: None, is_left: false },
            Operation::Read { .. } | Operation::Commit { .. } => Answer::Done,
            Operation::Replay => Answer::Replay { replay: None },
            Operation::Letters { .. } => Answer::Letters { letters: Vec::new() },
        })
    }
}
