//! Versions of DAGs, kept: they never change, and a page asks for one several times a second.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use subak_core::decide::{Plan, PlanError};
use subak_store::read::{RunRecord, VersionRecord};
use subak_store::{Store, StoreError};
use subak_web::graph::{Layout, layout};

/// How many versions are kept; the one used longest ago goes first.
const KEPT: usize = 64;
/// And so many bytes of their files.
const KEPT_BYTES: usize = 2 << 20;

/// A version with the layout of its graph.
pub(crate) struct Version {
    pub(crate) record: VersionRecord,
    layout: OnceLock<Layout>,
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

    /// Returns the graph's layout, computed when it is first asked for.
    pub(crate) fn layout(&self) -> &Layout {
        self.layout.get_or_init(|| layout(&self.record.model))
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
        let made = Arc::new(Version { record, layout: OnceLock::new(), plan: OnceLock::new() });
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
