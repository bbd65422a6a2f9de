//! What runs of one DAG mean for each other, for a random DAG: tasks that wait for the run before, and
//! tasks of which only so many run at once.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use subak_core::dag::model::{Dag, Task};

use super::Sample;

/// Lets some tasks wait for the run before, and limits some; its own seed decides.
pub(super) fn add(sample: &mut Sample) {
    let mut rng = StdRng::seed_from_u64(sample.seed ^ 0xbe5);
    for task in &mut sample.dag.tasks {
        // A cancel lets teardowns go on: one that waits for a run that failed would wait for ever.
        let waits = rng.random_range(0..100);
        if !task.setup && task.teardown.is_none() {
            task.depends_on_past = waits < 30;
            task.wait_for_downstream = (30..42).contains(&waits);
        }
        if rng.random_bool(0.25) {
            task.max_active_tis_per_dag = Some(rng.random_range(1..4));
        }
        if rng.random_bool(0.2) {
            task.max_active_tis_per_dagrun = Some(rng.random_range(1..3));
        }
    }
    // What another task's failure stops is a matter of one run.
    sample.dag.fail_fast = false;
}

impl Sample {
    /// The DAG in which no task waits for the run before: an older version of it.
    #[must_use]
    pub fn without_past(&self) -> Dag {
        let forget = |task: &Task| Task {
            depends_on_past: false,
            wait_for_downstream: false,
            ..task.clone()
        };
        Dag { tasks: self.dag.tasks.iter().map(forget).collect(), ..self.dag.clone() }
    }

    /// The tasks of the run before that the one at this place waits for.
    #[must_use]
    pub fn waits_for(&self, place: usize) -> Vec<usize> {
        let task = &self.dag.tasks[place];
        let below = |other: &usize| self.dag.tasks[*other].upstream.contains(&task.task_id);
        let below = (0..self.dag.tasks.len()).filter(below);
        below.filter(|_| task.wait_for_downstream).chain([place]).collect()
    }
}
