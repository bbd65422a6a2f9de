//! The runs that are looked at when a DAG is paused, or goes on.

use subak_core::ids::RunKey;

use super::EngineTx;
use crate::StoreError;
use crate::statement::statements;

statements! {
    /// Runs of DAG `$1` that have begun and not ended, behind run `$2`: all of them, for taking the first
    /// by an index of another order would walk the runs of other DAGs. The sum keeps it from the key.
    Points RUNS_BEGUN = "
        SELECT run_key FROM run WHERE dag = $1 AND state = 'running' AND run_key + 0 > $2";
}

impl EngineTx<'_> {
    /// The first runs of a DAG behind a run that have begun and not ended; not locked.
    pub async fn runs_begun(
        &mut self,
        dag: i32,
        after: RunKey,
        most: usize,
    ) -> Result<Vec<RunKey>, StoreError> {
        let found = sqlx::query_scalar(RUNS_BEGUN).bind(dag).bind(after.0);
        let mut keys: Vec<i64> = found.fetch_all(&mut *self.tx).await?;
        keys.sort_unstable();
        keys.truncate(most);
        Ok(keys.into_iter().map(RunKey).collect())
    }
}
