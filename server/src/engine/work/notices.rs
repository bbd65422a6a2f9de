//! Leaves word of ends that people are told of, in the transaction that records them.

use serde_json::json;
use subak_core::dag::model::Notice;
use subak_core::state::{RunState, TaskState};
use subak_store::NewNotification;
use subak_store::engine::{EngineTx, HistoryRow};

use super::Work;
use super::run::RunWork;

impl Work<'_> {
    /// Leaves word of tasks whose rows are about to be written.
    pub(super) async fn tell_of_tasks(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        if self.runs.values().all(|work| !work.plan.tells) {
            return Ok(());
        }
        let rows = self.apply.history.iter();
        let new: Vec<NewNotification> = rows.flat_map(|row| self.of_task(row)).collect();
        self.leave_word(tx, &new).await
    }

    /// Leaves word of runs that end.
    pub(super) async fn tell_of_runs(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let ended = self.runs.values().filter(|work| {
            work.plan.tells && !work.before.state.is_final() && work.locked.state.is_final()
        });
        let mut new = Vec::new();
        for work in ended {
            let cause = match work.locked.cancelled {
                true => tx.run_cancel_cause(work.locked.key).await?,
                false => None,
            };
            new.extend(of_run(work, cause.as_deref()));
        }
        self.leave_word(tx, &new).await
    }

    async fn leave_word(
        &mut self,
        tx: &mut EngineTx<'_>,
        new: &[NewNotification],
    ) -> anyhow::Result<()> {
        if !new.is_empty() {
            tx.notifications_put(new).await?;
            self.after.notices = true;
        }
        Ok(())
    }

    fn of_task(&self, row: &HistoryRow) -> Vec<NewNotification> {
        let run = row.key.run;
        let plan = self.runs.get(&run).map(|work| &work.plan);
        let task = plan.and_then(|plan| Some(plan.spec(plan.task(row.key.task)?)));
        let Some(notices) = task.map(|task| &task.notices) else { return Vec::new() };
        if row.cause.as_deref().is_some_and(is_known) {
            return Vec::new();
        }
        let (event, whom) = match row.state {
            TaskState::Failed => ("failure", &notices.on_failure),
            TaskState::Success => ("success", &notices.on_success),
            TaskState::UpForRetry => ("retry", &notices.on_retry),
            _ => return Vec::new(),
        };
        let facts = json!({
            "try_number": row.try_number,
            "error": row.error,
            "exit_code": row.exit_code,
            "cause": row.cause,
        });
        let task = Some((row.key.task, row.key.map_index));
        let new = |notice: &Notice| NewNotification {
            run,
            task,
            event,
            connection: notice.connection.clone(),
            recipients: notice.to.clone(),
            facts: facts.clone(),
        };
        whom.iter().map(new).collect()
    }
}

/// Ended by a branch, a cancel or somebody's mark: whoever did that knows.
fn is_known(cause: &str) -> bool {
    !matches!(cause, "worker_lost" | "fail_fast")
}

/// `cause`: why it was cancelled.
fn of_run(work: &RunWork, cause: Option<&str>) -> Vec<NewNotification> {
    let notices = &work.plan.dag.notices;
    let (event, whom) = match work.locked.state {
        RunState::Failed => ("failure", &notices.on_failure),
        _ => ("success", &notices.on_success),
    };
    let new = |notice: &Notice| NewNotification {
        run: work.locked.key,
        task: None,
        event,
        connection: notice.connection.clone(),
        recipients: notice.to.clone(),
        facts: json!({ "cause": cause }),
    };
    whom.iter().map(new).collect()
}
