//! Versions of DAGs, kept: they never change, and a page asks for one several times a second.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use subak_core::decide::{Plan, PlanError};
use subak_store::read::{RunRecord, VersionRecord};
use subak_store::{Store, StoreError};
use subak_web::graph::{Layout, Sight, layout};

/// How many versions are kept; the one used longest ago goes first.
const KEPT: usize = 64;
/// And so many bytes of their files.
const KEPT_BYTES: usize = 2 << 20;
/// Layouts of a version that are kept beside the one that is seen at first.
const LAYOUTS_KEPT: usize = 4;

/// A version with the layouts of its graph.
pub(crate) struct Version {
    pub(crate) record: VersionRecord,
    /// The one that is seen at first.
    layout: OnceLock<Arc<Layout>>,
    /// Those with something chosen, the last one first.
    chosen: Mutex<VecDeque<(Sight, Arc<Layout>)>>,
    plan: OnceLock<Arc<Plan>>,
}

impl Version {
    /// Returns the compiled version, compiled when it is first asked for.
    pub(crate) fn plan(&self) -> Result<Arc<Plan>, PlanError> {
        if let Some(plan) = self.plan.get() {
            return Ok(plan.clone());
        }
        let plan = Arc::new(self.record.plan()?);
        Ok(self.plan.get_or_init(|| plan).clone())
    }

    /// Returns the layout of what is chosen of the graph, computed when it is first asked for.
    pub(crate) fn layout(&self, sight: &Sight) -> Arc<Layout> {
        let new = || Arc::new(layout(&self.record.model, sight));
        if *sight == Sight::default() {
            return Arc::clone(self.layout.get_or_init(new));
        }
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        let at = chosen.iter().position(|(known, _)| known == sight);
        let known = at.and_then(|at| chosen.remove(at));
        let found = known.unwrap_or_else(|| (sight.clone(), new()));
        let layout = Arc::clone(&found.1);
        chosen.push_front(found);
        chosen.truncate(LAYOUTS_KEPT);
        layout
    }
}

/// The versions asked for last.
pub(crate) struct Versions {
    store: Store,
    kept: Mutex<VecDeque<Arc<Version>>>,
    /// One is read at a time: many who open a run at once want the same, and a large one in memory is
    /// fifty times its file.
    reads: tokio::sync::Mutex<()>,
}

impl Versions {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, kept: Mutex::default(), reads: tokio::sync::Mutex::default() }
    }

    /// Returns the version that a run is pinned to.
    pub(crate) async fn of_run(&self, run: &RunRecord) -> Result<Arc<Version>, StoreError> {
        self.get(run.dag, run.version).await
    }

    /// Returns a version of a DAG.
    pub(crate) async fn get(&self, dag: i32, version: i32) -> Result<Arc<Version>, StoreError> {
        if let Some(known) = self.known(dag, version) {
            return Ok(known);
        }
        let _reads = self.reads.lock().await;
        if let Some(known) = self.known(dag, version) {
            return Ok(known);
        }
        let record =
            self.store.version_get(dag, version).await?.ok_or_else(|| StoreError::Corrupt {
                what: format!("version {version} of DAG {dag}"),
                source: serde::de::Error::custom("there is no such row"),
            })?;
        let (layout, chosen, plan) = (OnceLock::new(), Mutex::default(), OnceLock::new());
        let made = Arc::new(Version { record, layout, chosen, plan });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front(made.clone());
        let bytes = |kept: &VecDeque<Arc<Version>>| -> usize {
            kept.iter().map(|it| it.record.source.len()).sum()
        };
        while kept.len() > KEPT || kept.len() > 1 && bytes(&kept) > KEPT_BYTES {
            kept.pop_back();
        }
        Ok(made)
    }

    fn known(&self, dag: i32, version: i32) -> Option<Arc<Version>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|it| it.record.dag == dag && it.record.version == version)?;
        let found = kept.remove(at)?;
        kept.push_front(found.clone());
        Some(found)
    }
}
