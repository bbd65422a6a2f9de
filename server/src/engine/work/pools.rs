//! Slots of pools: given up with the rows that hold them, asked for by rows that become ready, and dealt
//! out at the end of the transaction, under the locks of the pools.

use subak_core::ids::{RunKey, TaskNo};
use subak_core::state::TaskState;
use subak_store::engine::{EngineTx, LiveRow};

use super::Work;

impl Work<'_> {
    /// A locked live row goes, and with it the slots that it holds.
    pub(in crate::engine) fn gone(&mut self, row: &LiveRow) {
        self.give_up_slots(row);
        self.apply.live_gone.push(row.ctid.clone());
    }

    /// A locked live row holds no slots any more.
    pub(in crate::engine) fn give_up_slots(&mut self, row: &LiveRow) {
        for (pool, slots) in row.holds() {
            *self.pools.entry(pool.to_owned()).or_default() += slots;
        }
    }

    /// Somebody may wait for this pool, and get what is free.
    pub(in crate::engine) fn deal(&mut self, pool: &str) {
        self.pools.entry(pool.to_owned()).or_default();
    }

    /// A task may become ready: it is active now, or held back. One that is active waits for its pool
    /// (`true`) until slots are dealt out.
    pub(in crate::engine) fn admit(
        &mut self,
        run: RunKey,
        task: TaskNo,
        pool: Option<&str>,
    ) -> (TaskState, bool) {
        match (self.reactivate(run, task), pool) {
            (TaskState::Queued, Some(pool)) => {
                self.deal(pool);
                (TaskState::Scheduled, true)
            }
            (state, _) => (state, false),
        }
    }

    /// Deals out what is free. Nothing is done, and no row locked, where no pool is concerned.
    pub(super) async fn deal_slots(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let pools = std::mem::take(&mut self.pools);
        if !pools.is_empty() {
            self.after.backlog.extend(tx.pools_settle(&pools).await?);
        }
        Ok(())
    }
}
