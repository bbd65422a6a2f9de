//! Runs of a DAG that was paused. It has room for no task (`RunWork::room`): what becomes ready is held back
//! as by `max_active_tasks`, and what was ready before joins it here. Once the DAG goes on there is room again,
//! and whichever transaction of the run comes next gives it away.

use subak_core::ids::RunKey;
use subak_core::state::{RunState, TaskEvent, TaskState};
use subak_store::engine::{EngineTx, LiveRetry};

use super::Work;

impl Work<'_> {
    /// Holds back what of a locked run is ready or waits for its pool, if its DAG is paused.
    pub(in crate::engine) async fn hold_back(
        &mut self,
        tx: &mut EngineTx<'_>,
        run: RunKey,
    ) -> anyhow::Result<()> {
        self.after.changed.insert(run);
        let locked = &self.run(run).locked;
        if !locked.is_paused || locked.state != RunState::Running || locked.tasks_active == 0 {
            return Ok(());
        }
        // Claims take no run lock: this waits for them, and then sees what they took.
        for row in tx.live_lock(run).await? {
            match row.state {
                TaskState::Queued => {
                    TaskState::on(Some(row.state), TaskEvent::HeldBack)?;
                }
                // It is scheduled already.
                _ if row.waits_pool => {}
                _ => continue,
            }
            self.give_up_slots(&row);
            self.deactivate(run, row.key.task);
            self.run(run).locked.tasks_held += 1;
            self.apply.live_retry.push(LiveRetry {
                ctid: row.ctid,
                task: row.key.task,
                state: TaskState::Scheduled,
                try_number: row.try_number,
                failed: row.failed,
                lost: row.lost,
                delay: None,
                waits_pool: false,
                ahead: 0,
                priority: row.priority,
                queue: row.queue,
                pool: row.pool,
            });
        }
        Ok(())
    }
}
