//! Whether a locked run's DAG is paused, and the runs that are looked at when that changes.

use subak_core::ids::RunKey;

use super::fence::column;
use super::{EngineTx, LockedRun};
use crate::StoreError;
use crate::statement::statements;

statements! {
    /// Which of these DAGs are paused.
    Points DAGS_PAUSED = "SELECT dag FROM dag WHERE dag = ANY ($1) AND is_paused";

    /// Runs of DAG `$1` that have begun and not ended, behind run `$2`: all of them, for taking the first
    /// by an index of another order would walk the runs of other DAGs. The sum keeps it from the key.
    Points RUNS_BEGUN = "
        SELECT run_key FROM run WHERE dag = $1 AND state = 'running' AND run_key + 0 > $2";
}

impl EngineTx<'_> {
    /// Asks once more of paused DAGs whose runs are locked now. What came with the lock was read before it
    /// was had: a DAG may go on since then, and whoever looked at its runs for that is through. After this
    /// answer nobody is, and what is held back is found.
    pub(super) async fn pauses_hold(&mut self, runs: &mut [LockedRun]) -> Result<(), StoreError> {
        let asked: Vec<&LockedRun> = runs.iter().filter(|run| run.is_paused).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let dags = column(&asked, |run| run.dag);
        let paused: Vec<i32> =
            sqlx::query_scalar(DAGS_PAUSED).bind(dags).fetch_all(&mut *self.tx).await?;
        for run in runs {
            run.is_paused &= paused.contains(&run.dag);
        }
        Ok(())
    }

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
