//! The arguments of task instances once their templates were rendered.

use std::collections::BTreeMap;

use serde_json::Value;
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};

use crate::{Store, StoreError};

/// Arguments as people see them, by instance; those that nothing is known of are left out.
pub type Rendered = BTreeMap<InstanceKey, Value>;

/// Of the newest try that rendered some. $1 runs, $2 tasks, $3 map indexes.
const RENDERED: &str = "
    SELECT want.run_key, want.task, want.map_index, h.rendered
    FROM unnest($1::bigint[], $2::integer[], $3::integer[]) AS want (run_key, task, map_index)
    CROSS JOIN LATERAL (
        SELECT rendered FROM try_history h
        WHERE h.run_key = want.run_key AND h.task = want.task AND h.map_index = want.map_index
          AND h.rendered IS NOT NULL
        ORDER BY h.token DESC LIMIT 1
    ) AS h";

impl Store {
    /// Returns what the newest tries of these instances made of their arguments.
    pub async fn rendered_of(&self, of: &[InstanceKey]) -> Result<Rendered, StoreError> {
        let column = |each: fn(&InstanceKey) -> i32| of.iter().map(each).collect::<Vec<i32>>();
        let rows: Vec<(i64, i32, i32, Value)> = sqlx::query_as(RENDERED)
            .bind(of.iter().map(|key| key.run.0).collect::<Vec<i64>>())
            .bind(column(|key| key.task.0))
            .bind(column(|key| key.map_index.0))
            .fetch_all(self.pool())
            .await?;
        let row = |(run, task, index, with)| {
            let (run, task, map_index) = (RunKey(run), TaskNo(task), MapIndex(index));
            (InstanceKey { run, task, map_index }, with)
        };
        Ok(rows.into_iter().map(row).collect())
    }
}
