//! What is known of a run's mapped tasks, and of the tasks that they are mapped over.

use std::collections::BTreeMap;

use sqlx::FromRow;
use subak_core::decide::{Mapped, Plan, Shape};
use subak_core::ids::{InstanceKey, RunKey, TaskNo};
use subak_core::state::TaskState;

use super::EngineTx;
use super::fence::column;
use crate::statement::statements;
use crate::{Store, StoreError};

/// One mapped or feeding task of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappedRow {
    /// `None`: it is not expanded.
    pub instances: Option<i32>,
    pub ended: i32,
    /// Instances up to here are no longer to be made.
    pub made: i32,
    /// Of these, those that a clear wants once more.
    pub again: Vec<i32>,
    /// What becomes of its instances: `running`, or a final state. `None`: not decided.
    pub verdict: Option<TaskState>,
    pub returned: Option<i32>,
}

/// A task instance's clear: try numbers and clears so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    pub map_index: i32,
    pub tries: i32,
    pub resets: i32,
}

#[derive(FromRow)]
struct MappedSqlRow {
    run_key: i64,
    task: i32,
    instances: Option<i32>,
    ended: i32,
    made: i32,
    again: Vec<i32>,
    verdict: Option<String>,
    returned: Option<i32>,
}

statements! {
    Points MAPPED_OF = "
        SELECT m.run_key, m.task, m.instances, m.ended, m.made, m.again, m.verdict::text, m.returned
        FROM unnest($1::bigint[]) AS want (run_key)
        CROSS JOIN LATERAL (SELECT * FROM mapped WHERE mapped.run_key = want.run_key) AS m";

    Points MAPPED_PUT = "
        INSERT INTO mapped AS m (run_key, task, instances, ended, made, again, verdict, returned)
        SELECT run_key, task, instances, ended, made, again::integer[], verdict::task_state, returned
        FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[], $5::integer[],
                    $6::text[], $7::text[], $8::integer[])
             AS want (run_key, task, instances, ended, made, again, verdict, returned)
        ON CONFLICT (run_key, task) DO UPDATE
        SET instances = EXCLUDED.instances, ended = EXCLUDED.ended, made = EXCLUDED.made,
            again = EXCLUDED.again, verdict = EXCLUDED.verdict, returned = EXCLUDED.returned";

    Points MAPPED_DROP = "DELETE FROM mapped WHERE run_key = $1 AND task = ANY ($2)";

    Points EXPANSION = "SELECT token, instances FROM mapped WHERE run_key = $1 AND task = $2";

    Points SEEDS = "
        SELECT r.map_index, r.tries, r.resets
        FROM unnest($3::integer[]) AS want (map_index)
        CROSS JOIN LATERAL (
            SELECT * FROM task_reset r
            WHERE r.run_key = $1 AND r.task = $2 AND r.map_index = want.map_index
        ) AS r";

    /// How many instances of a mapped task have returned something.
    Points RETURNED = "
        SELECT count(*)::integer FROM xcom
        WHERE run_key = $1 AND task = $2 AND map_index >= 0 AND map_index < $3
          AND key = 'return_value' AND value <> 'null'";
}

impl EngineTx<'_> {
    /// What is known of the mapped tasks of locked runs.
    pub async fn mapped_of(
        &mut self,
        runs: &[RunKey],
    ) -> Result<Vec<(RunKey, TaskNo, MappedRow)>, StoreError> {
        let rows: Vec<MappedSqlRow> = sqlx::query_as(MAPPED_OF)
            .bind(column(runs, |run| run.0))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(rows.into_iter().map(MappedSqlRow::named).collect())
    }

    /// Keeps what is known of mapped tasks of locked runs.
    pub async fn mapped_put(
        &mut self,
        rows: &[(RunKey, TaskNo, MappedRow)],
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(MAPPED_PUT)
            .bind(column(rows, |(run, ..)| run.0))
            .bind(column(rows, |(_, task, _)| task.0))
            .bind(column(rows, |(.., row)| row.instances))
            .bind(column(rows, |(.., row)| row.ended))
            .bind(column(rows, |(.., row)| row.made))
            .bind(column(rows, |(.., row)| array(&row.again)))
            .bind(column(rows, |(.., row)| row.verdict.map(TaskState::as_str)))
            .bind(column(rows, |(.., row)| row.returned))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Forgets how tasks of a locked run were expanded: they were cleared.
    pub async fn mapped_drop(&mut self, run: RunKey, tasks: &[TaskNo]) -> Result<(), StoreError> {
        sqlx::query(MAPPED_DROP)
            .bind(run.0)
            .bind(column(tasks, |task| task.0))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// The clears of some instances of a task; those that were never cleared are left out.
    pub async fn seeds(
        &mut self,
        run: RunKey,
        task: TaskNo,
        indexes: &[i32],
    ) -> Result<Vec<Seed>, StoreError> {
        let rows: Vec<(i32, i32, i32)> = sqlx::query_as(SEEDS)
            .bind(run.0)
            .bind(task.0)
            .bind(indexes)
            .fetch_all(&mut *self.tx)
            .await?;
        let seed = |(map_index, tries, resets)| Seed { map_index, tries, resets };
        Ok(rows.into_iter().map(seed).collect())
    }

    /// How many of the first `instances` instances of a task have returned something.
    pub async fn returned(
        &mut self,
        run: RunKey,
        task: TaskNo,
        instances: i32,
    ) -> Result<i32, StoreError> {
        let (count,): (i32,) = sqlx::query_as(RETURNED)
            .bind(run.0)
            .bind(task.0)
            .bind(instances)
            .fetch_one(&mut *self.tx)
            .await?;
        Ok(count)
    }
}

impl Store {
    /// What is known of the mapped tasks of a run, and how many instances of each were made.
    pub(crate) async fn shape(
        &self,
        run: RunKey,
        plan: &Plan,
    ) -> Result<(Shape, BTreeMap<TaskNo, i32>), StoreError> {
        let (mut shape, mut made) = (Shape::of_plan(plan), BTreeMap::new());
        if plan.has_maps() {
            let rows: Vec<MappedSqlRow> =
                sqlx::query_as(MAPPED_OF).bind([run.0].as_slice()).fetch_all(self.pool()).await?;
            for (_, task, row) in rows.into_iter().map(MappedSqlRow::named) {
                let again = i32::try_from(row.again.len()).unwrap_or(i32::MAX);
                made.insert(task, row.made - again);
                let MappedRow { instances, ended, returned, .. } = row;
                shape.set(task, Mapped { instances, ended, returned });
            }
        }
        Ok((shape, made))
    }

    /// Which expansion of its task an instance is of, and how many instances that has.
    pub async fn expansion(&self, of: InstanceKey) -> Result<Option<(i64, i32)>, StoreError> {
        let row: Option<(i64, Option<i32>)> = sqlx::query_as(EXPANSION)
            .bind(of.run.0)
            .bind(of.task.0)
            .fetch_optional(self.engine())
            .await?;
        Ok(row.and_then(|(token, instances)| Some((token, instances?))))
    }
}

/// An array as PostgreSQL writes it: arrays of arrays have one length there.
fn array(numbers: &[i32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(i32::to_string).collect();
    format!("{{{}}}", numbers.join(","))
}

impl MappedSqlRow {
    fn named(self) -> (RunKey, TaskNo, MappedRow) {
        let verdict = self.verdict.as_deref();
        let row = MappedRow {
            instances: self.instances,
            ended: self.ended,
            made: self.made,
            again: self.again,
            verdict: verdict.map(|text| TaskState::parse(text).expect("the enum of the schema")),
            returned: self.returned,
        };
        (RunKey(self.run_key), TaskNo(self.task), row)
    }
}
