//! What branches of a run decided against.

use subak_core::ids::{RunKey, TaskNo};

use super::EngineTx;
use super::fence::column;
use crate::StoreError;
use crate::statement::statements;

statements! {
    Points AGAINST = "SELECT DISTINCT task FROM task_against WHERE run_key = $1";

    Points AGAINST_PUT = "
        INSERT INTO task_against (run_key, branch, task)
        SELECT $1, $2, task FROM unnest($3::integer[]) AS want (task)
        ON CONFLICT DO NOTHING";

    Points AGAINST_DROP = "DELETE FROM task_against WHERE run_key = $1 AND branch = ANY ($2)";
}

impl EngineTx<'_> {
    /// Tasks of a run that a branch right above them decided against.
    pub async fn against(&mut self, run: RunKey) -> Result<Vec<TaskNo>, StoreError> {
        let rows: Vec<(i32,)> =
            sqlx::query_as(AGAINST).bind(run.0).fetch_all(&mut *self.tx).await?;
        Ok(rows.into_iter().map(|(task,)| TaskNo(task)).collect())
    }

    /// Keeps what a branch decided against.
    pub async fn against_put(
        &mut self,
        run: RunKey,
        branch: TaskNo,
        tasks: &[TaskNo],
    ) -> Result<(), StoreError> {
        if tasks.is_empty() {
            return Ok(());
        }
        sqlx::query(AGAINST_PUT)
            .bind(run.0)
            .bind(branch.0)
            .bind(column(tasks, |task| task.0))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Forgets what these tasks decided: they were cleared.
    pub async fn against_drop(
        &mut self,
        run: RunKey,
        branches: &[TaskNo],
    ) -> Result<(), StoreError> {
        sqlx::query(AGAINST_DROP)
            .bind(run.0)
            .bind(column(branches, |task| task.0))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}
