//! What the lists that are open show: who looks at the same looks once.

use std::sync::Arc;
use std::time::Duration;

use subak_store::Pool;
use subak_store::read::{LetterRecord, Page, RunRecord};

use super::watch::Looks;
use super::{dag, dags, dead_letters, listing, runs, workers};

/// Whose DAGs may be seen, and what is asked for.
type Key<Q> = (Option<Vec<String>>, Q);

/// Looks at lists.
#[derive(Clone)]
pub(crate) struct Lists {
    pub(super) dags: Arc<Looks<Key<dags::ListQuery>, dags::Listed>>,
    /// A DAG's page, by its id and the offset of its runs.
    pub(super) dag: Arc<Looks<(String, i64), dag::Seen>>,
    pub(super) runs: Arc<Looks<Key<runs::ListQuery>, Page<RunRecord>>>,
    pub(super) letters: Arc<Looks<Key<dead_letters::ListQuery>, Page<LetterRecord>>>,
    pub(super) pools: Arc<Looks<listing::NameQuery, Page<Pool>>>,
    pub(super) workers: Arc<Looks<listing::NameQuery, Page<workers::Seen>>>,
}

impl Lists {
    /// Looks that serve others for so long.
    pub(crate) fn new(fresh: Duration) -> Self {
        Self {
            dags: Arc::new(Looks::new(fresh)),
            dag: Arc::new(Looks::new(fresh)),
            runs: Arc::new(Looks::new(fresh)),
            letters: Arc::new(Looks::new(fresh)),
            pools: Arc::new(Looks::new(fresh)),
            workers: Arc::new(Looks::new(fresh)),
        }
    }
}
