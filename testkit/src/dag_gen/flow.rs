//! Branches, short circuits, setups and teardowns for a random DAG.

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;
use subak_core::dag::model::Teardown;
use subak_core::decide::TriggerRule;

use super::Sample;
use crate::model::{ModelDag, ModelSays};

/// Pools that tasks of random DAGs name, and their slots.
pub const POOLS: [(&str, i32); 3] = [("narrow", 1), ("middle", 3), ("wide", 6)];

/// Lets some tasks take slots of pools; sometimes more than there may be at once with others.
pub(super) fn add_pools(sample: &mut Sample) {
    let mut rng = StdRng::seed_from_u64(sample.seed ^ 0x9001);
    if !rng.random_bool(0.3) {
        return;
    }
    for task in &mut sample.dag.tasks {
        if rng.random_bool(0.2)
            && let Some((name, slots)) = POOLS.iter().choose(&mut rng)
        {
            task.pool = (*name).to_owned();
            task.pool_slots = rng.random_range(1..=*slots).unsigned_abs();
        }
    }
}

/// Makes some tasks of a sample setups and teardowns; its own seed decides.
pub(super) fn add_guards(sample: &mut Sample) {
    let mut rng = StdRng::seed_from_u64(sample.seed ^ 0x6a4d);
    for place in 0..sample.dag.tasks.len() {
        guard(sample, &mut rng, place, 4);
    }
    obey(sample);
    sample.model = ModelDag::from(&sample.dag);
}

/// Changes some tasks of a sample; its own seed decides.
pub(super) fn add(sample: &mut Sample) {
    let mut rng = StdRng::seed_from_u64(sample.seed ^ 0xf10);
    let count = sample.dag.tasks.len();
    let mut says = vec![ModelSays::Nothing; count];
    let places: Vec<usize> = (0..count).collect();
    for (place, says) in says.iter_mut().enumerate() {
        match rng.random_range(0..100) {
            0..12 => *says = branch(sample, &mut rng, place),
            12..18 => *says = short_circuit(sample, &mut rng, place),
            _ => {}
        }
    }
    if rng.random_bool(0.4) {
        for &place in places.iter().filter(|place| says[**place] == ModelSays::Nothing) {
            guard(sample, &mut rng, place, 10);
        }
    }
    sample.dag.fail_fast = rng.random_bool(0.1);
    obey(sample);
    sample.model = ModelDag::from(&sample.dag);
    for (task, says) in sample.model.tasks.iter_mut().zip(says) {
        task.says = says;
    }
}

/// Follows some of the later tasks, mostly those right below.
fn branch(sample: &mut Sample, rng: &mut StdRng, place: usize) -> ModelSays {
    let id = sample.dag.tasks[place].task_id.clone();
    sample.dag.tasks[place].operator = "branch".to_owned();
    let right_below = (place..sample.dag.tasks.len())
        .filter(|other| sample.dag.tasks[*other].upstream.contains(&id));
    let wanted = rng.random_range(0..3);
    let mut followed = right_below.choose_multiple(rng, wanted);
    if rng.random_bool(0.1) {
        followed.extend((place + 1..sample.dag.tasks.len()).choose(rng));
    }
    ModelSays::Follow(followed)
}

fn short_circuit(sample: &mut Sample, rng: &mut StdRng, place: usize) -> ModelSays {
    let everything = rng.random();
    let task = &mut sample.dag.tasks[place];
    task.operator = "short_circuit".to_owned();
    task.with = json!({ "ignore_downstream_trigger_rules": everything });
    ModelSays::Stop { everything }
}

/// Makes the task a setup, or the teardown of an earlier one, each once in `of` times.
fn guard(sample: &mut Sample, rng: &mut StdRng, place: usize, of: i32) {
    let setups = (0..place).filter(|other| sample.dag.tasks[*other].setup).choose(rng);
    match (rng.random_range(0..of), setups) {
        (0, _) => sample.dag.tasks[place].setup = true,
        (1, Some(setup)) => {
            let setup = sample.dag.tasks[setup].task_id.clone();
            let task = &mut sample.dag.tasks[place];
            task.teardown = Some(Teardown { on_failure_fail_dagrun: rng.random_bool(0.3) });
            task.upstream.push(setup);
            task.upstream.sort();
            task.upstream.dedup();
        }
        _ => {}
    }
}

/// Sets the rules that Airflow asks for.
pub(super) fn obey(sample: &mut Sample) {
    let setups: Vec<_> = sample
        .dag
        .tasks
        .iter()
        .filter(|task| task.setup)
        .map(|task| task.task_id.clone())
        .collect();
    let fails_fast = sample.dag.fail_fast;
    for task in &mut sample.dag.tasks {
        if task.teardown.is_some() {
            task.trigger_rule = TriggerRule::AllDoneSetupSuccess;
        } else if fails_fast || task.upstream.iter().any(|up| setups.contains(up)) {
            task.trigger_rule = TriggerRule::AllSuccess;
        }
    }
}
