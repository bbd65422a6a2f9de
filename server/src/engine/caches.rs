//! What never changes once it is made, kept in memory: compiled DAG versions and facts of runs.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use serde_json::Value;
use subak_core::decide::{Plan, PlanTask};
use subak_core::ids::{RunKey, TaskId, TaskNo};
use subak_core::template::references_of;
use subak_store::{RunFacts, Store};

/// Entries that a generation of a cache may have.
const GENERATION: usize = 8_192;

/// A cache of two generations: what was not used for a whole generation is dropped.
#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, Arc<V>>,
    old: HashMap<K, Arc<V>>,
}

impl<K: Hash + Eq + Copy, V> Generations<K, V> {
    fn new() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }

    fn get(&mut self, key: K) -> Option<Arc<V>> {
        if let Some(value) = self.young.get(&key) {
            return Some(value.clone());
        }
        let value = self.old.remove(&key)?;
        self.put(key, value.clone());
        Some(value)
    }

    fn put(&mut self, key: K, value: Arc<V>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

/// A run's facts with its parameters worked out.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) run: RunFacts,
    pub(crate) plan: Arc<Plan>,
    /// Defaults of the DAG's params overlaid by the run's conf, as JSON.
    pub(crate) params: Value,
}

/// What a hand-over of a task carries, the same for every run of its version.
#[derive(Debug)]
pub(crate) struct Needs {
    /// The task as JSON.
    pub(crate) json: Bytes,
    /// Tasks whose XComs or datasets its templates name.
    pub(crate) tasks: Vec<TaskNo>,
}

/// All caches.
#[derive(Debug)]
pub(crate) struct Caches {
    store: Store,
    plans: Mutex<Generations<(i32, i32), Plan>>,
    facts: Mutex<Generations<RunKey, Facts>>,
    needs: Mutex<Generations<(i32, i32, TaskNo), Needs>>,
}

impl Caches {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            plans: Mutex::new(Generations::new()),
            facts: Mutex::new(Generations::new()),
            needs: Mutex::new(Generations::new()),
        }
    }

    /// The compiled version of a DAG.
    pub(crate) async fn plan(&self, dag: i32, version: i32) -> anyhow::Result<Arc<Plan>> {
        let known = lock(&self.plans).get((dag, version));
        if let Some(plan) = known {
            return Ok(plan);
        }
        let loaded = self.store.version_load(dag, version).await?;
        let loaded = loaded
            .with_context(|| format!("DAG {dag} has no version {version} in the database"))?;
        let plan = Arc::new(Plan::new(Arc::new(loaded.model), loaded.numbers)?);
        lock(&self.plans).put((dag, version), plan.clone());
        Ok(plan)
    }

    /// What handing over a task of a run takes.
    pub(crate) fn needs(&self, facts: &Facts, task: TaskNo) -> anyhow::Result<Arc<Needs>> {
        let key = (facts.run.dag, facts.run.version, task);
        let known = lock(&self.needs).get(key);
        if let Some(needs) = known {
            return Ok(needs);
        }
        let planned = facts.plan.task(task).context("the DAG's version has no such task")?;
        let made = Arc::new(needs(&facts.plan, planned)?);
        lock(&self.needs).put(key, made.clone());
        Ok(made)
    }

    /// Remembers the facts of a run that was just made.
    pub(crate) fn remember(&self, run: RunFacts, plan: Arc<Plan>) -> Arc<Facts> {
        // Checked when the run was made; a later version of this program may be stricter.
        let params = plan.dag.params_with(&run.conf).unwrap_or_else(|_| run.conf.clone());
        let key = RunKey(run.run_key);
        let facts = Arc::new(Facts { run, plan, params });
        lock(&self.facts).put(key, facts.clone());
        facts
    }

    /// The facts of a run, if they are in memory.
    pub(crate) fn known(&self, run: RunKey) -> Option<Arc<Facts>> {
        lock(&self.facts).get(run)
    }

    /// The facts of runs, from memory or the database.
    pub(crate) async fn facts(
        &self,
        runs: impl IntoIterator<Item = RunKey>,
    ) -> anyhow::Result<HashMap<RunKey, Arc<Facts>>> {
        let (mut found, mut missing) = (HashMap::new(), Vec::new());
        for run in runs {
            match self.known(run) {
                Some(facts) => {
                    found.insert(run, facts);
                }
                None => missing.push(run),
            }
        }
        if !missing.is_empty() {
            missing.sort_unstable();
            missing.dedup();
            for run in self.store.run_facts(&missing).await? {
                let plan = self.plan(run.dag, run.version).await?;
                found.insert(RunKey(run.run_key), self.remember(run, plan));
            }
        }
        Ok(found)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What handing over a task takes.
fn needs(plan: &Plan, planned: &PlanTask) -> anyhow::Result<Needs> {
    let task = plan.spec(planned);
    let named = references_of(task).needed_xcoms();
    let ids: BTreeSet<TaskId> = named.into_iter().map(|key| TaskId(key.task_id)).collect();
    let tasks = ids.iter().filter_map(|id| plan.number(id)).collect();
    Ok(Needs { json: serde_json::to_vec(task)?.into(), tasks })
}
