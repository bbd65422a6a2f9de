//! Random DAGs with scripted outcomes. The same seed gives the same DAG, for ever.

mod flow;
mod maps;
mod past;

pub use flow::POOLS;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{Rng, SeedableRng};
use serde_json::Value;
use subak_core::dag::model::{Dag, Task};
use subak_core::decide::TriggerRule;

use crate::model::{ModelDag, ModelSays, TryEnd};

/// A DAG and how each try of each task ends.
#[derive(Debug, Clone)]
pub struct Sample {
    pub seed: u64,
    pub dag: Dag,
    pub model: ModelDag,
    /// Per task, in the DAG's order; the last outcome repeats.
    script: Vec<Vec<TryEnd>>,
    /// Of tasks that others are mapped over: how many items they return.
    feeds: Vec<Option<usize>>,
}

/// Bounds of the generator.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub max_tasks: usize,
    /// Whether `max_active_tasks` may hold tasks back.
    pub limited: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { max_tasks: 200, limited: true }
    }
}

impl Sample {
    /// Makes the DAG of this seed.
    #[must_use]
    pub fn new(seed: u64, shape: Shape) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = task_count(&mut rng, shape.max_tasks);
        let reach = rng.random_range(1..=count.max(2));
        let fan_in = *[1, 2, 3, 6].choose(&mut rng).expect("the list has entries");
        let tame = rng.random_bool(0.3);
        let tasks: Vec<Task> =
            (0..count).map(|place| task(&mut rng, place, reach, fan_in, tame)).collect();
        let script = tasks.iter().map(|task| outcomes(&mut rng, task.retries, tame)).collect();
        let limit = if shape.limited && rng.random_bool(0.3) { rng.random_range(1..6) } else { 64 };
        let dag = Dag { max_active_tasks: limit, ..Dag::new(&format!("random_{seed}"), tasks) };
        Self { seed, model: ModelDag::from(&dag), dag, script, feeds: Vec::new() }
    }

    /// The same with branches, short circuits, setups, teardowns, and now and then `fail_fast`.
    #[must_use]
    pub fn with_flow(seed: u64, shape: Shape) -> Self {
        let mut sample = Self::new(seed, shape);
        if !shape.limited {
            sample.dag.max_active_tasks = u32::MAX;
        }
        flow::add(&mut sample);
        sample
    }

    /// The same with setups and teardowns, and nothing that decides about tasks below.
    #[must_use]
    pub fn with_guards(seed: u64, shape: Shape) -> Self {
        let mut sample = Self::new(seed, shape);
        flow::add_guards(&mut sample);
        sample
    }

    /// The same with some tasks mapped, for which the model does not speak.
    #[must_use]
    pub fn mapped(mut self) -> Self {
        maps::add(&mut self);
        self.dag.dag_id = format!("mapped_{}", self.seed).as_str().into();
        self
    }

    /// The same with some tasks in pools.
    #[must_use]
    pub fn in_pools(mut self) -> Self {
        flow::add_pools(&mut self);
        self
    }

    /// The same for several runs beside each other, some of whose tasks wait for the run before or are
    /// limited; the model does not speak for it.
    #[must_use]
    pub fn beside(mut self) -> Self {
        past::add(&mut self);
        self.dag.dag_id = format!("beside_{}", self.seed).as_str().into();
        self
    }

    /// What the task at this place returns.
    #[must_use]
    pub fn result(&self, task: usize) -> Value {
        let id = |place: &usize| Value::from(self.model.tasks[*place].id.as_str());
        match &self.model.tasks[task].says {
            ModelSays::Nothing => Value::Null,
            ModelSays::Follow(places) => places.iter().map(id).collect(),
            ModelSays::Stop { .. } => Value::Bool(false),
        }
    }

    /// How try number `try_number` (from 1) of the task at this place ends.
    #[must_use]
    pub fn outcome(&self, task: usize, try_number: u32) -> TryEnd {
        let script = &self.script[task];
        let index = usize::try_from(try_number.saturating_sub(1)).unwrap_or(usize::MAX);
        *script.get(index).or(script.last()).expect("every task has an outcome")
    }
}

/// Mostly small: a fifth of the DAGs is larger than a third of the maximum.
fn task_count(rng: &mut StdRng, max: usize) -> usize {
    let bound = match rng.random_range(0..10) {
        0..5 => 12,
        5..8 => max / 3,
        _ => max,
    };
    rng.random_range(1..=bound.clamp(1, max))
}

fn task(rng: &mut StdRng, place: usize, reach: usize, fan_in: usize, tame: bool) -> Task {
    let earliest = place.saturating_sub(reach);
    let fan_in = if rng.random_bool(0.02) { place } else { fan_in };
    let wanted = rng.random_range(0..=fan_in);
    let mut upstream = (earliest..place).choose_multiple(rng, wanted);
    upstream.sort_unstable();
    let keeps_default = rng.random_bool(if tame { 0.7 } else { 0.2 });
    let rule = *TriggerRule::ALL.choose(rng).expect("there are thirteen");
    Task {
        upstream: upstream.into_iter().map(|up| name(up).as_str().into()).collect(),
        trigger_rule: if keeps_default { TriggerRule::AllSuccess } else { rule },
        retries: if rng.random_bool(0.3) { rng.random_range(1..4) } else { 0 },
        retry_delay: Duration::ZERO,
        priority_weight: rng.random_range(1..5),
        ..Task::new(&name(place), "noop")
    }
}

/// Numbers with leading zeros, so that the order of names is the DAG's.
fn name(place: usize) -> String {
    format!("t{place:03}")
}

fn outcomes(rng: &mut StdRng, retries: u32, tame: bool) -> Vec<TryEnd> {
    let calm = if tame { 85 } else { 55 };
    (0..=retries)
        .map(|_| match rng.random_range(0..100) {
            n if n < calm => TryEnd::Success,
            n if n < calm + (100 - calm) / 3 => TryEnd::Skipped,
            n if n < 94 => TryEnd::Failed,
            n if n < 96 => TryEnd::WorkerLost,
            _ => TryEnd::FailedForGood,
        })
        .collect()
}
