//! Mapped tasks for a random DAG: over lists that are written out, over what tasks return, crossed and
//! zipped; and groups of tasks that are mapped together.

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use subak_core::dag::model::{Expand, Source, TaskGroup};
use subak_core::decide::TriggerRule;

use super::Sample;
use crate::model::{ModelSays, TryEnd};

/// The most items of a list.
const ITEMS: usize = 5;

/// The one mapped group of a sample.
const GROUP: &str = "g";

/// Maps some tasks of a sample; its own seed decides.
pub(super) fn add(sample: &mut Sample) {
    let mut rng = StdRng::seed_from_u64(sample.seed ^ 0x3a95);
    sample.feeds = vec![None; sample.dag.tasks.len()];
    let members = group(sample, &mut rng);
    for place in 0..sample.dag.tasks.len() {
        let is_plain = sample.model.tasks[place].says == ModelSays::Nothing;
        if is_plain && !members.contains(&place) && rng.random_bool(0.3) {
            let expand = expand(sample, &mut rng, place, place);
            let above = expand.tasks().cloned().collect::<Vec<_>>();
            let task = &mut sample.dag.tasks[place];
            task.upstream.extend(above);
            task.upstream.sort();
            task.upstream.dedup();
            task.expand = Some(expand);
            if rng.random_bool(0.2) {
                task.max_active_tis_per_dagrun = Some(rng.random_range(1..4));
            }
        }
    }
    // What is mapped over a setup comes right below it.
    super::flow::obey(sample);
}

/// Makes some tasks that follow each other a mapped group.
fn group(sample: &mut Sample, rng: &mut StdRng) -> Vec<usize> {
    let count = sample.dag.tasks.len();
    if count < 3 || !rng.random_bool(0.4) {
        return Vec::new();
    }
    let first = rng.random_range(0..count - 1);
    let last = (first + rng.random_range(1..5)).min(count - 1);
    let members: Vec<usize> = (first..=last)
        .filter(|place| sample.model.tasks[*place].says == ModelSays::Nothing)
        .collect();
    let expand = expand(sample, rng, first, first);
    let above: Vec<_> = expand.tasks().cloned().collect();
    let ids: Vec<_> = members.iter().map(|it| sample.dag.tasks[*it].task_id.clone()).collect();
    for place in &members {
        let task = &mut sample.dag.tasks[*place];
        task.task_group = Some(GROUP.to_owned());
        if task.trigger_rule == TriggerRule::Always {
            task.trigger_rule = TriggerRule::AllDone;
        }
        if !task.upstream.iter().any(|up| ids.contains(up)) {
            task.upstream.extend(above.iter().cloned());
            task.upstream.sort();
            task.upstream.dedup();
        }
        task.expand = Some(expand.clone());
    }
    let group = TaskGroup { expand: Some(expand), ..TaskGroup::default() };
    sample.dag.task_groups.insert(GROUP.to_owned(), group);
    members
}

/// What the task at this place is mapped over, by tasks before `limit`.
fn expand(sample: &mut Sample, rng: &mut StdRng, place: usize, limit: usize) -> Expand {
    let factors = if rng.random_bool(0.2) { 2 } else { 1 };
    let name = |n: usize| format!("argument_{place}_{n}");
    let arguments = (0..factors).map(|n| (name(n), source(sample, rng, limit)));
    Expand { arguments: arguments.collect() }
}

fn source(sample: &mut Sample, rng: &mut StdRng, limit: usize) -> Source {
    match rng.random_range(0..10) {
        0..4 => list(rng),
        4..6 => Source::Zip {
            of: vec![one(sample, rng, limit), one(sample, rng, limit)],
            fill: rng.random_bool(0.5).then_some(json!("none")),
        },
        _ => one(sample, rng, limit),
    }
}

fn list(rng: &mut StdRng) -> Source {
    Source::Literal((0..rng.random_range(0..=ITEMS)).collect())
}

/// What an earlier task returns, if there is one that returns anything.
fn one(sample: &mut Sample, rng: &mut StdRng, limit: usize) -> Source {
    let returns = |place: &usize| sample.model.tasks[*place].says == ModelSays::Nothing;
    let Some(task) = (0..limit).filter(returns).choose(rng) else { return list(rng) };
    let items = rng.random_range(0..=ITEMS);
    sample.feeds[task].get_or_insert(items);
    Source::Task { task_id: sample.dag.tasks[task].task_id.clone(), key: "return_value".to_owned() }
}

impl Sample {
    /// What an instance of the task at this place returns: of a mapped one sometimes nothing.
    #[must_use]
    pub fn result_of(&self, task: usize, map_index: i32) -> Value {
        match self.feeds.get(task).copied().flatten() {
            Some(items) if map_index < 0 => (0..items).collect(),
            Some(_) if self.dice(task, map_index, 0) < 20 => Value::Null,
            Some(_) => Value::from(map_index),
            None => self.result(task),
        }
    }

    /// How a try of an instance of the task at this place ends.
    #[must_use]
    pub fn outcome_of(&self, task: usize, map_index: i32, try_number: u32) -> TryEnd {
        if map_index < 0 {
            return self.outcome(task, try_number);
        }
        match self.dice(task, map_index, try_number) {
            0..70 => TryEnd::Success,
            70..78 => TryEnd::Skipped,
            78..90 => TryEnd::Failed,
            90..94 => TryEnd::WorkerLost,
            _ => TryEnd::FailedForGood,
        }
    }

    /// 0 to 99, the same for the same instance and try.
    fn dice(&self, task: usize, map_index: i32, try_number: u32) -> u32 {
        let place = (task as u64) << 40 | u64::from(map_index.unsigned_abs()) << 16;
        let seed = self.seed.wrapping_mul(0x9e37_79b9) ^ place ^ u64::from(try_number);
        StdRng::seed_from_u64(seed).random_range(0..100)
    }
}
