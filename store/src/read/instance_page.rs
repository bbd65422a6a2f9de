//! A page of a run's task instances: its rows alone are read, however many instances the run has.

use std::collections::BTreeMap;
use std::ops::Range;

use subak_core::dag::model::Task;
use subak_core::ids::TaskId;

use super::instances::{InstanceRecord, Row};
use super::maps::{filled, indexes};
use super::{Page, RunRecord, VersionRecord};
use crate::{Store, StoreError};

/// Which instances of a list are meant.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub limit: i64,
    pub offset: i64,
    /// Counted from the end, and in that order.
    pub descending: bool,
}

/// Instances of one task that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch<'v> {
    task_id: &'v TaskId,
    task: i32,
    indexes: Range<i32>,
}

impl Store {
    /// Returns a page of the instances of some tasks of a run, in the order of its version, those to
    /// which nothing has happened too.
    pub async fn instance_page(
        &self,
        run: &RunRecord,
        version: &VersionRecord,
        is_meant: impl Fn(&Task) -> bool,
        window: Window,
    ) -> Result<Page<InstanceRecord>, StoreError> {
        let sizes = self.map_sizes(run, version).await?;
        let all: Vec<Stretch<'_>> = version
            .model
            .tasks
            .iter()
            .filter(|task| is_meant(task))
            .map(|task| {
                let number = version.numbers.get(&task.task_id).copied().unwrap_or(-1);
                let indexes = indexes(sizes.get(&number).copied());
                Stretch { task_id: &task.task_id, task: number, indexes }
            })
            .collect();
        let total = all.iter().map(Stretch::length).sum();
        let shown = cut(all, window.range(total));
        let mut rows = self.rows_in(run, &shown).await?;
        let instances = shown.into_iter().flat_map(|stretch| {
            let rows = rows.remove(&stretch.task).unwrap_or_default();
            filled(stretch.task_id, stretch.task, stretch.indexes, rows)
        });
        let mut items: Vec<InstanceRecord> = instances.collect();
        if window.descending {
            items.reverse();
        }
        Ok(Page { items, total })
    }

    /// The rows of stretches, by task. Stretches of the same indexes are read together: a page has few
    /// others.
    async fn rows_in(
        &self,
        run: &RunRecord,
        stretches: &[Stretch<'_>],
    ) -> Result<BTreeMap<i32, Vec<Row>>, StoreError> {
        let mut alike: BTreeMap<(i32, i32), Vec<i32>> = BTreeMap::new();
        for Stretch { task, indexes, .. } in stretches {
            alike.entry((indexes.start, indexes.end - 1)).or_default().push(*task);
        }
        let mut by_task: BTreeMap<i32, Vec<Row>> = BTreeMap::new();
        for ((first, last), tasks) in alike {
            for row in self.rows_of(run, Some(&tasks), first..=last).await? {
                by_task.entry(row.task).or_default().push(row);
            }
        }
        Ok(by_task)
    }
}

impl Window {
    /// Where it lies in the ascending list.
    fn range(self, total: i64) -> Range<i64> {
        let from = self.offset.clamp(0, total);
        let to = from.saturating_add(self.limit.max(0)).min(total);
        if self.descending { total - to..total - from } else { from..to }
    }
}

impl Stretch<'_> {
    fn length(&self) -> i64 {
        i64::from(self.indexes.end) - i64::from(self.indexes.start)
    }
}

/// What lies in a range of all instances, counted over the stretches.
fn cut(stretches: Vec<Stretch<'_>>, range: Range<i64>) -> Vec<Stretch<'_>> {
    let mut before = 0;
    let mut within = Vec::new();
    for stretch in stretches {
        let (start, length) = (stretch.indexes.start, stretch.length());
        let at = |place: i64| {
            let skipped = (place - before).clamp(0, length);
            start + i32::try_from(skipped).unwrap_or(i32::MAX)
        };
        let indexes = at(range.start)..at(range.end);
        before += length;
        if !indexes.is_empty() {
            within.push(Stretch { indexes, ..stretch });
        }
    }
    within
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `task[index]` of every instance.
    fn each(stretches: &[Stretch<'_>]) -> Vec<(i32, i32)> {
        stretches.iter().flat_map(|it| it.indexes.clone().map(|index| (it.task, index))).collect()
    }

    #[test]
    fn a_part_is_what_lies_there_in_the_whole() {
        let id = TaskId::from("t");
        let sizes = [None, Some(3), None, Some(1), Some(7), None];
        let all: Vec<Stretch<'_>> = (0..)
            .zip(sizes)
            .map(|(task, size)| Stretch { task_id: &id, task, indexes: indexes(size) })
            .collect();
        let whole = each(&all);
        let total = i64::try_from(whole.len()).unwrap();
        for (offset, limit) in (0..=total + 1).flat_map(|o| (0..=total + 1).map(move |l| (o, l))) {
            let slice = |of: &[(i32, i32)]| -> Vec<(i32, i32)> {
                let skip = usize::try_from(offset).unwrap();
                of.iter().copied().skip(skip).take(usize::try_from(limit).unwrap()).collect()
            };
            let up = Window { limit, offset, descending: false };
            assert_eq!(each(&cut(all.clone(), up.range(total))), slice(&whole), "{up:?}");
            let down = Window { descending: true, ..up };
            let mut shown = each(&cut(all.clone(), down.range(total)));
            shown.reverse();
            let backwards: Vec<(i32, i32)> = whole.iter().rev().copied().collect();
            assert_eq!(shown, slice(&backwards), "{down:?}");
        }
    }
}
