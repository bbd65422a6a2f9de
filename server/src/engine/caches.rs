//! What never changes once it is made, kept in memory: compiled DAG versions and facts of runs.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use serde_json::Value;
use subak_core::dag::model::Task;
use subak_core::decide::{Plan, PlanTask};
use subak_core::ids::{RunKey, TaskId, TaskNo};
use subak_core::template::{XComKey, XComOf, references_of};
use subak_store::{RunFacts, Store};

use super::gather::Sources;

/// Entries that a generation of a cache may have.
const GENERATION: usize = 8_192;
/// Bytes that they may have together, about.
const GENERATION_BYTES: usize = 16 << 20;

/// A cache of two generations: what was not used for a whole generation is dropped.
#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, Arc<V>>,
    old: HashMap<K, Arc<V>>,
    /// Of the young ones.
    bytes: usize,
}

/// How large something is in memory, about.
trait Weight {
    fn bytes(&self) -> usize;
}

impl Weight for Plan {
    fn bytes(&self) -> usize {
        // A task's parameters may be long: its DAG file is 4 MiB at most.
        1_024 * self.len() + self.dag.tasks.iter().map(|task| json_bytes(&task.with)).sum::<usize>()
    }
}

impl Weight for Facts {
    fn bytes(&self) -> usize {
        1_024 + json_bytes(&self.run.conf) + json_bytes(&self.params)
    }
}

impl Weight for Sources {
    fn bytes(&self) -> usize {
        256 + self.values().map(json_bytes).sum::<usize>()
    }
}

impl Weight for Needs {
    fn bytes(&self) -> usize {
        let base = self.base.as_ref().map_or(0, |task| json_bytes(&task.with));
        256 + self.json.len() + base
    }
}

/// What a value takes in memory, about.
fn json_bytes(value: &Value) -> usize {
    let own = size_of::<Value>();
    own + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(json_bytes).sum(),
        Value::Object(members) => {
            members.iter().map(|(key, value)| 64 + key.len() + json_bytes(value)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

impl<K: Hash + Eq + Copy, V: Weight> Generations<K, V> {
    fn new() -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), bytes: 0 }
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
        if self.young.len() >= GENERATION || self.bytes >= GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += value.bytes();
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
    /// Of a mapped task: what all its instances have in common.
    pub(crate) base: Option<Task>,
    /// Tasks whose XComs or datasets its templates name.
    pub(crate) tasks: Vec<TaskNo>,
    /// XComs of mapped tasks that they name.
    pub(crate) gathered: Vec<(TaskNo, String)>,
    /// XComs of single instances, and of earlier runs.
    pub(crate) single: Vec<(TaskNo, XComKey)>,
    /// Variables that they name.
    pub(crate) variables: Vec<String>,
    /// Whether they name the last successful run.
    pub(crate) previous: bool,
}

/// All caches.
#[derive(Debug)]
pub(crate) struct Caches {
    store: Store,
    plans: Mutex<Generations<(i32, i32), Plan>>,
    facts: Mutex<Generations<RunKey, Facts>>,
    needs: Mutex<Generations<(i32, i32, TaskNo), Needs>>,
    /// By the token of the expansion.
    sources: Mutex<Generations<i64, Sources>>,
}

impl Caches {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            plans: Mutex::new(Generations::new()),
            facts: Mutex::new(Generations::new()),
            needs: Mutex::new(Generations::new()),
            sources: Mutex::new(Generations::new()),
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
        // Weighing a large graph takes a moment, in which this thread would serve nobody.
        let weigh = move || Plan::new(Arc::new(loaded.model), loaded.numbers);
        let plan = Arc::new(tokio::task::spawn_blocking(weigh).await??);
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

    /// What an expansion is made of, if it is in memory.
    pub(crate) fn sources(&self, expansion: i64) -> Option<Arc<Sources>> {
        lock(&self.sources).get(expansion)
    }

    /// Remembers what an expansion is made of.
    pub(crate) fn keep_sources(&self, expansion: i64, sources: Sources) -> Arc<Sources> {
        let kept = Arc::new(sources);
        lock(&self.sources).put(expansion, kept.clone());
        kept
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

    /// Gets what is to be known of runs that are about to be locked: it may take a moment, in which
    /// nobody waits for them.
    pub(crate) async fn warm(&self, runs: &[RunKey]) -> anyhow::Result<()> {
        let missing: Vec<RunKey> =
            runs.iter().copied().filter(|run| self.known(*run).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.facts(missing).await.map(drop)
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
    let found = references_of(task);
    let named = found.needed_xcoms();
    let (mut tasks, mut gathered, mut single) = (BTreeSet::new(), Vec::new(), Vec::new());
    for key in named {
        let Some(no) = plan.number(&TaskId(key.task_id.clone())) else { continue };
        match plan.task(no).is_some_and(PlanTask::is_mapped) {
            _ if key.of != XComOf::Run => single.push((no, key)),
            true => gathered.push((no, key.key)),
            false => drop(tasks.insert(no)),
        }
    }
    let tasks = tasks.into_iter().collect();
    // Each instance of a mapped task is sent as a task of its own.
    let base = planned.is_mapped().then(|| task.without_map());
    let json = match base {
        Some(_) => Bytes::new(),
        None => serde_json::to_vec(task)?.into(),
    };
    let previous = found.previous;
    let variables = found.variables.into_keys().collect();
    Ok(Needs { json, base, tasks, gathered, single, variables, previous })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Large;

    impl Weight for Large {
        fn bytes(&self) -> usize {
            5 << 20
        }
    }

    #[test]
    fn large_values_make_generations_short() {
        let mut cache = Generations::new();
        for key in 0..100 {
            cache.put(key, Arc::new(Large));
            assert!(cache.young.len() + cache.old.len() <= 8);
        }
        assert!(cache.get(99).is_some() && cache.get(0).is_none());
    }

    #[test]
    fn a_value_weighs_what_it_holds() {
        let long = "x".repeat(1_000);
        for value in [json!(long), json!([long]), json!({"a": {"b": long}}), json!({&long: 1})] {
            let bytes = json_bytes(&value);
            assert!((1_000..1_500).contains(&bytes), "{bytes}");
        }
    }
}
