//! A consumer group's offsets, for whoever watches groups: the pipeline itself goes by ledgers.

use std::collections::BTreeMap;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use subak_core::range::SinkPositions;

use super::topic::Topic;

impl Topic {
    /// Commits how far every sink is to the pipeline's group. Nobody waits for it, and what becomes of it
    /// changes nothing.
    pub(super) fn tell_observers(&self, sinks: &[SinkPositions]) {
        let mut offsets = TopicPartitionList::new();
        for (partition, position) in least(sinks) {
            if offsets
                .add_partition_offset(&self.name, partition, Offset::Offset(position))
                .is_err()
            {
                return;
            }
        }
        if offsets.count() > 0 {
            let _ = self.client.commit(&offsets, CommitMode::Async);
        }
    }
}

/// The position of the sink that is furthest behind, of partitions that all of them have.
fn least(sinks: &[SinkPositions]) -> BTreeMap<i32, i64> {
    let mut sinks = sinks.iter().map(|sink| &sink.positions);
    let mut least = sinks.next().cloned().unwrap_or_default();
    for positions in sinks {
        least.retain(|partition, position| {
            let other = positions.get(partition);
            *position = other.map_or(*position, |other| (*position).min(*other));
            other.is_some()
        });
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_as_far_as_the_last_of_its_sinks() {
        let sink = |positions: &[(i32, i64)]| SinkPositions {
            sink: String::new(),
            positions: positions.iter().copied().collect(),
        };
        let check = |sinks: &[SinkPositions], expected: &[(i32, i64)]| {
            assert_eq!(least(sinks).into_iter().collect::<Vec<_>>(), expected);
        };
        check(&[], &[]);
        check(&[sink(&[(0, 5), (1, 2)])], &[(0, 5), (1, 2)]);
        check(&[sink(&[(0, 5), (1, 2)]), sink(&[(0, 7), (2, 9)])], &[(0, 5)]);
        check(&[sink(&[(0, 5)]), sink(&[])], &[]);
    }
}
