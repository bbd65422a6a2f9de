//! Deletes one ended run with everything that only it needs. Its datasets and large logs go with
//! the run's day; dead letters stay until they were seen to, as after retention.

use subak_core::ids::RunKey;

use super::EngineTx;
use crate::StoreError;
use crate::statement::statements;

statements! {
    Points GONE_RESETS = "DELETE FROM task_reset WHERE run_key = $1";
    Points GONE_AGAINST = "DELETE FROM task_against WHERE run_key = $1";
    Points GONE_MAPPED = "DELETE FROM mapped WHERE run_key = $1";
    Points GONE_JOINS = "DELETE FROM join_state WHERE run_key = $1";
    Points GONE_NOTES = "DELETE FROM task_note WHERE run_key = $1";
    Points GONE_NOTICES = "DELETE FROM notification WHERE run_key = $1";
    Points GONE_XCOMS = "DELETE FROM xcom WHERE run_key = $1";
    Points GONE_DATASETS = "DELETE FROM dataset WHERE run_key = $1";
    Points GONE_CHUNKS = "DELETE FROM log_chunk WHERE run_key = $1";
    Points GONE_SPILLS = "DELETE FROM log_spill WHERE run_key = $1";
    Points GONE_HISTORY = "DELETE FROM try_history WHERE run_key = $1";
    Points GONE_OUTBOX = "DELETE FROM outbox WHERE run_key = $1";
    Points GONE_RUN = "DELETE FROM run WHERE run_key = $1";
}

impl EngineTx<'_> {
    /// Deletes a locked run that has ended.
    pub async fn run_delete(&mut self, run: RunKey) -> Result<(), StoreError> {
        for sql in [
            GONE_RESETS,
            GONE_AGAINST,
            GONE_JOINS,
            GONE_MAPPED,
            GONE_NOTES,
            GONE_NOTICES,
            GONE_XCOMS,
            GONE_DATASETS,
            GONE_CHUNKS,
            GONE_SPILLS,
            GONE_HISTORY,
            GONE_OUTBOX,
            GONE_RUN,
        ] {
            sqlx::query(sql).bind(run.0).execute(&mut *self.tx).await?;
        }
        Ok(())
    }
}
