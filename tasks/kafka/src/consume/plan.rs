//! What the next range is, from what is known of the topic and of the pipeline. Pure.

use std::collections::BTreeMap;

use subak_core::operators::kafka::{KafkaConsume, OnLost, OnRecreated, Start};
use subak_core::range::{LastRecord, Partition, Range, SinkPositions};
use subak_task::TaskError;

/// Bytes that a record is taken for as long as none was read.
const RECORD_BYTES: u64 = 1_024;

/// What a pipeline has read so far.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// The newest range of the same topic.
    pub(super) last: Option<Range>,
    /// Where the next range begins.
    pub(super) positions: BTreeMap<i32, i64>,
    /// The last record read.
    pub(super) records: BTreeMap<i32, LastRecord>,
}

/// How large a range may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) span: i64,
}

/// A partition as the broker has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watermarks {
    pub(super) partition: i32,
    /// The oldest offset that is there.
    pub(super) low: i64,
    /// The one behind the newest committed record.
    pub(super) high: i64,
}

/// What is found out of the record that was read last, where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Same,
    /// Another record has its offset.
    Other,
    /// Compacted or expired.
    Absent,
}

/// The parameters that decide about lost records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choices {
    pub(super) start: Start,
    pub(super) on_lost: OnLost,
    pub(super) on_recreated: OnRecreated,
}

/// A partition's part of the next range, as far as limits allow, and what the log says of it.
pub(super) struct Next {
    pub(super) part: Partition,
    pub(super) note: Option<String>,
}

impl Before {
    /// While somebody works on the newest range, the next one begins behind it. Otherwise the ledgers
    /// say where: they are the truth.
    pub(super) fn new(last: Option<Range>, is_active: bool, sinks: &[SinkPositions]) -> Self {
        let mut positions = BTreeMap::new();
        let mut records = BTreeMap::new();
        for part in last.iter().flat_map(|range| &range.partitions) {
            positions.insert(part.partition, part.to);
            records.extend(part.last.map(|last| (part.partition, last)));
        }
        if !is_active {
            let mut ledger: BTreeMap<i32, i64> = BTreeMap::new();
            for (partition, next) in sinks.iter().flat_map(|sink| &sink.positions) {
                let furthest = ledger.entry(*partition).or_insert(*next);
                *furthest = (*furthest).max(*next);
            }
            positions.extend(ledger);
        }
        Self { last, positions, records }
    }

    /// Whether the pipeline has read anything, so that partitions unknown to it were added.
    pub(super) fn has_begun(&self) -> bool {
        !self.positions.is_empty()
    }
}

impl Limits {
    pub(super) fn new(params: &KafkaConsume, last: Option<&Range>) -> Self {
        let average = last.and_then(|range| {
            let records = u64::try_from(range.records?).ok().filter(|records| *records > 0)?;
            Some((u64::try_from(range.bytes?).ok()? / records).max(1))
        });
        let by_bytes =
            params.max_bytes.map(|bytes| (bytes / average.unwrap_or(RECORD_BYTES)).max(1));
        let span = params.max_messages.into_iter().chain(by_bytes).min();
        Self { span: span.map_or(i64::MAX, |span| i64::try_from(span).unwrap_or(i64::MAX)) }
    }

    /// Cuts parts down to what is allowed, so that small backlogs are read whole.
    pub(super) fn apply(self, parts: &mut [Partition]) {
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|place| parts[*place].to - parts[*place].from);
        let mut left = self.span;
        for (done, place) in order.iter().enumerate() {
            let part = &mut parts[*place];
            let others = i64::try_from(order.len() - done).unwrap_or(i64::MAX);
            // Rounded up: a limit below the number of partitions still moves on.
            let share = left / others + i64::from(left % others > 0);
            let span = (part.to - part.from).max(0).min(share);
            part.to = part.from + span;
            left -= span;
        }
    }
}

/// Where a partition is read from and to. `begin` is where the first range of the pipeline begins.
pub(super) fn next(
    before: &Before,
    marks: Watermarks,
    begin: i64,
    found: Option<Found>,
    choices: Choices,
) -> Result<Next, TaskError> {
    let Watermarks { partition, low, high } = marks;
    let last = before.records.get(&partition).copied();
    let part =
        |after: i64, from: i64| Partition { partition, after, from, to: high.max(from), last };
    let Some(&position) = before.positions.get(&partition) else {
        // A partition that was added belongs to the pipeline from its beginning.
        let from = if before.has_begun() { low } else { begin.clamp(low, high) };
        return Ok(Next { part: part(from, from), note: None });
    };
    if position > high || found == Some(Found::Other) {
        return recreated(marks, position, choices.on_recreated);
    }
    if position < low {
        let lost = low - position;
        let said = format!(
            "partition {partition}: the broker has dropped up to {lost} records before they were \
             read ({position}–{low})"
        );
        return match choices.on_lost {
            OnLost::Fail => Err(TaskError::permanent(format!(
                "{said}: lengthen the topic's retention; to go on without them set `on_lost: skip`"
            ))),
            OnLost::Skip => Ok(Next {
                part: part(position, low),
                note: Some(format!("{said}; they are left behind")),
            }),
        };
    }
    let note = (found == Some(Found::Absent)).then(|| {
        format!(
            "partition {partition}: the record read last is not there any more (compacted or \
             expired), so it cannot be told whether the topic is still the same"
        )
    });
    Ok(Next { part: part(position, position), note })
}

/// The topic is another one than that of the last range.
fn recreated(marks: Watermarks, position: i64, choice: OnRecreated) -> Result<Next, TaskError> {
    let Watermarks { partition, low, high } = marks;
    let said = format!(
        "partition {partition}: the topic was removed and made anew since it was read last (up to \
         {position}; now it has {low}–{high})"
    );
    match choice {
        OnRecreated::Fail => Err(TaskError::permanent(format!(
            "{said}: its records are not those that the sinks have; to read the new topic from its \
             beginning set `on_recreated: restart`"
        ))),
        OnRecreated::Restart => Ok(Next {
            part: Partition { partition, after: position, from: low, to: high, last: None },
            note: Some(format!("{said}; it is read from its beginning")),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAREFUL: Choices =
        Choices { start: Start::Earliest, on_lost: OnLost::Fail, on_recreated: OnRecreated::Fail };
    const CARELESS: Choices = Choices {
        start: Start::Earliest,
        on_lost: OnLost::Skip,
        on_recreated: OnRecreated::Restart,
    };

    fn before(positions: &[(i32, i64)]) -> Before {
        Before { positions: positions.iter().copied().collect(), ..Before::default() }
    }

    fn marks(low: i64, high: i64) -> Watermarks {
        Watermarks { partition: 0, low, high }
    }

    #[test]
    fn a_range_begins_where_the_last_one_ended() {
        let check = |before: &Before, low, high, begin, expected: (i64, i64, i64)| {
            let next = next(before, marks(low, high), begin, None, CAREFUL).unwrap().part;
            assert_eq!((next.after, next.from, next.to), expected);
        };
        check(&before(&[]), 3, 10, 3, (3, 3, 10));
        check(&before(&[]), 3, 10, 10, (10, 10, 10));
        check(&before(&[]), 3, 10, 0, (3, 3, 10));
        check(&before(&[(0, 7)]), 3, 10, 3, (7, 7, 10));
        check(&before(&[(0, 10)]), 10, 10, 3, (10, 10, 10));
        // A partition that was added, whatever `start` says.
        check(&before(&[(1, 7)]), 0, 4, 4, (0, 0, 4));
    }

    #[test]
    fn lost_records_are_an_error_or_a_gap() {
        let error = next(&before(&[(0, 3)]), marks(5, 9), 0, None, CAREFUL).err().unwrap();
        assert!(error.message.contains("up to 2 records"), "{error}");
        let next = next(&before(&[(0, 3)]), marks(5, 9), 0, None, CARELESS).unwrap();
        assert_eq!((next.part.after, next.part.from, next.part.to), (3, 5, 9));
        assert!(next.note.unwrap().contains("left behind"));
    }

    #[test]
    fn a_topic_made_anew_is_an_error_or_read_from_its_beginning() {
        for (high, found) in [(4, None), (50, Some(Found::Other))] {
            let error = next(&before(&[(0, 9)]), marks(0, high), 0, found, CAREFUL).err().unwrap();
            assert!(error.message.contains("made anew"), "{error}");
            let next = next(&before(&[(0, 9)]), marks(0, high), 0, found, CARELESS).unwrap();
            assert_eq!((next.part.after, next.part.from, next.part.to), (9, 0, high));
        }
        let absent =
            next(&before(&[(0, 9)]), marks(0, 20), 0, Some(Found::Absent), CAREFUL).unwrap();
        assert!(absent.note.unwrap().contains("cannot be told"));
    }

    #[test]
    fn a_limit_is_shared_and_small_backlogs_are_read_whole() {
        let check = |span: i64, backlogs: &[i64], expected: &[i64]| {
            let part = |(number, backlog): (usize, &i64)| Partition {
                partition: i32::try_from(number).unwrap(),
                after: 5,
                from: 5,
                to: 5 + backlog,
                last: None,
            };
            let mut parts: Vec<Partition> = backlogs.iter().enumerate().map(part).collect();
            Limits { span }.apply(&mut parts);
            let spans: Vec<i64> = parts.iter().map(|part| part.to - part.from).collect();
            assert_eq!(spans, expected, "{span} of {backlogs:?}");
        };
        check(i64::MAX, &[3, 7], &[3, 7]);
        check(10, &[100, 0, 2], &[8, 0, 2]);
        check(10, &[100, 100], &[5, 5]);
        check(3, &[100, 100, 100, 100], &[1, 1, 1, 0]);
        check(11, &[100, 100], &[6, 5]);
    }

    #[test]
    fn the_ledger_decides_unless_somebody_is_at_work() {
        let part = |partition, to| Partition { partition, after: 0, from: 0, to, last: None };
        let last = || {
            Some(Range {
                id: 1,
                sequence: 1,
                cluster: String::new(),
                topic: String::new(),
                partitions: vec![part(0, 10), part(1, 20)],
                records: None,
                bytes: None,
            })
        };
        let sink = |positions: &[(i32, i64)]| SinkPositions {
            sink: String::new(),
            positions: positions.iter().copied().collect(),
        };
        let sinks = [sink(&[(0, 8)]), sink(&[])];
        assert_eq!(Before::new(last(), true, &sinks).positions, BTreeMap::from([(0, 10), (1, 20)]));
        assert_eq!(Before::new(last(), false, &sinks).positions, BTreeMap::from([(0, 8), (1, 20)]));
        assert_eq!(Before::new(None, false, &sinks).positions, BTreeMap::from([(0, 8)]));
    }
}
