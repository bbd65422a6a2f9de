//! How many runs DAGs have and tasks workers, and tags.

use std::collections::HashMap;

use subak_core::state::RunState;

use crate::{Store, StoreError};

impl Store {
    /// Counts the runs of these DAGs (none named: of all) by state, as far as they are `within` (`None`:
    /// of any). A DAG without runs is there too, with 0 of them queued.
    pub async fn run_counts(
        &self,
        dag_ids: &[String],
        within: Option<&[String]>,
    ) -> Result<Vec<(String, RunState, i64)>, StoreError> {
        let rows: Vec<(String, Option<String>, i64)> = sqlx::query_as(
            "SELECT d.dag_id, r.state::text, count(r.run_key)
             FROM dag d LEFT JOIN run r ON r.dag = d.dag
             WHERE (cardinality($1::text[]) = 0 OR d.dag_id = ANY ($1))
               AND ($2::text[] IS NULL OR d.dag_id = ANY ($2))
             GROUP BY d.dag_id, r.state ORDER BY d.dag_id LIMIT 10000",
        )
        .bind(dag_ids)
        .bind(within)
        .fetch_all(self.pool())
        .await?;
        let read = |(dag_id, state, count): (String, Option<String>, i64)| {
            let state = state.as_deref().and_then(RunState::parse).unwrap_or(RunState::Queued);
            (dag_id, state, count)
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// How many tasks run in each session.
    pub async fn session_tasks(&self) -> Result<HashMap<i64, i64>, StoreError> {
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT session, count(*) FROM live
             WHERE session IS NOT NULL AND state IN ('running', 'restarting')
             GROUP BY session LIMIT 10000",
        )
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().collect())
    }

    /// All tags of DAGs whose file is there, by name; of these DAGs, or (`None`) of any.
    pub async fn tags(&self, within: Option<&[String]>) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT DISTINCT tag FROM dag d CROSS JOIN unnest(d.tags) AS t (tag)
             WHERE NOT d.is_stale AND ($1::text[] IS NULL OR d.dag_id = ANY ($1))
             ORDER BY tag LIMIT 10000",
        )
        .bind(within)
        .fetch_all(self.pool())
        .await?)
    }
}
