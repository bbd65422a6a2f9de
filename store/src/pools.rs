//! Pools as people see and set them.

use sqlx::FromRow;
use subak_core::dag::model::DEFAULT_POOL;

use crate::engine::EngineTx;
use crate::{Store, StoreError};

/// A pool, and who is in it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Pool {
    pub name: String,
    /// -1: no limit.
    pub slots: i32,
    /// Slots of tasks that are ready or run.
    pub used: i32,
    /// Slots that waiting tasks ask for.
    pub wanted: i64,
    pub include_deferred: bool,
    pub description: String,
}

impl Store {
    /// All pools that people made, by name.
    pub async fn pools(&self) -> Result<Vec<Pool>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT p.name, p.slots, p.used, p.include_deferred, p.description,
                    coalesce((SELECT sum(l.pool_slots) FROM live l
                              WHERE l.pool = p.name AND l.waits_pool), 0)::bigint AS wanted
             FROM pool p WHERE p.dag IS NULL ORDER BY p.name",
        )
        .fetch_all(self.pool())
        .await?)
    }

    /// The same, with the pool of tasks that name none: it has no row and no limit, and nothing waits.
    pub async fn pools_and_default(&self) -> Result<Vec<Pool>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT p.name, p.slots, p.used, p.include_deferred, p.description,
                    coalesce((SELECT sum(l.pool_slots) FROM live l
                              WHERE l.pool = p.name AND l.waits_pool), 0)::bigint AS wanted
             FROM pool p WHERE p.dag IS NULL
             UNION ALL
             SELECT $1::text, -1, coalesce(sum(l.pool_slots), 0)::integer, false, $2::text, 0::bigint
             FROM live l
             WHERE l.state IN ('queued', 'running', 'restarting')
               AND (l.pool IS NULL
                    OR EXISTS (SELECT FROM pool own WHERE own.name = l.pool AND own.dag IS NOT NULL))
             ORDER BY name",
        )
        .bind(DEFAULT_POOL)
        .bind("tasks that name no pool")
        .fetch_all(self.pool())
        .await?)
    }

    /// Pools whose count is wrong, or that have room for what waits. A plain read: whoever acts on it
    /// locks the pool and looks again.
    pub async fn pools_amiss(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT p.name FROM pool p
             WHERE p.used <> (SELECT coalesce(sum(l.pool_slots), 0) FROM live l
                              WHERE l.pool = p.name
                                AND l.state IN ('queued', 'running', 'restarting'))
                           + (SELECT count(*) FROM live l
                              WHERE l.own_pool = p.name
                                AND l.state IN ('queued', 'running', 'restarting'))
                OR (p.slots < 0 OR p.slots > p.used)
                   AND EXISTS (SELECT FROM live l LEFT JOIN pool own ON own.name = l.own_pool
                               WHERE l.pool = p.name AND l.waits_pool
                                 AND (l.own_pool IS NULL OR own.slots > own.used))
             ORDER BY p.name",
        )
        .fetch_all(self.engine())
        .await?)
    }
}

impl EngineTx<'_> {
    /// Makes a pool, or changes it. What is left out stays as it is.
    pub async fn pool_put(
        &mut self,
        name: &str,
        slots: i32,
        include_deferred: Option<bool>,
        description: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO pool AS p (name, slots, include_deferred, description)
             VALUES ($1, $2, coalesce($3, false), coalesce($4, ''))
             ON CONFLICT (name) DO UPDATE
             SET slots = $2, include_deferred = coalesce($3, p.include_deferred),
                 description = coalesce($4, p.description)",
        )
        .bind(name)
        .bind(slots)
        .bind(include_deferred)
        .bind(description)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Removes a pool unless tasks are in it or wait for it; returns how many are, `None` if there is
    /// no such pool that people made.
    pub async fn pool_remove(&mut self, name: &str) -> Result<Option<i64>, StoreError> {
        let found: Option<(String,)> =
            sqlx::query_as("SELECT name FROM pool WHERE name = $1 AND dag IS NULL FOR UPDATE")
                .bind(name)
                .fetch_optional(&mut *self.tx)
                .await?;
        if found.is_none() {
            return Ok(None);
        }
        let tasks: i64 = sqlx::query_scalar("SELECT count(*) FROM live WHERE pool = $1")
            .bind(name)
            .fetch_one(&mut *self.tx)
            .await?;
        if tasks == 0 {
            sqlx::query("DELETE FROM pool WHERE name = $1")
                .bind(name)
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(Some(tasks))
    }
}
