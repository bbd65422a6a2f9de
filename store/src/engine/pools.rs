//! Pools: slots are given to waiting tasks under the lock of the pool's row, last of all locks.

use std::collections::BTreeMap;

use sqlx::FromRow;

use super::EngineTx;
use super::fence::column;
use super::turns::{Line, Lines, first_turns};
use crate::StoreError;
use crate::statement::statements;

/// Waiting tasks that are looked at beyond the free slots: those before may ask for more than is left.
const LOOK_BEYOND: i32 = 100;

/// A pool, its row locked.
#[derive(Debug, Clone, FromRow)]
struct PoolRow {
    name: String,
    /// -1: no limit.
    slots: i32,
    used: i32,
}

#[derive(FromRow)]
struct WaitingRow {
    ctid: String,
    run_key: i64,
    pool_slots: i32,
    queue: String,
    priority: i32,
}

statements! {
    /// `$1` names, sorted.
    Points POOLS_LOCK = "
        SELECT p.name, p.slots, p.used
        FROM unnest($1::text[]) AS want (name)
        CROSS JOIN LATERAL (
            SELECT * FROM pool WHERE pool.name = want.name FOR NO KEY UPDATE
        ) AS p";

    /// Tasks that wait for pool `$1`, the heaviest first. What somebody else is at is left out.
    Points POOL_WAITING = "
        SELECT ctid::text AS ctid, run_key, pool_slots, queue, priority FROM live
        WHERE pool = $1 AND waits_pool
        ORDER BY priority DESC, turn, run_key, task, map_index LIMIT $2
        FOR UPDATE SKIP LOCKED";

    /// `$2` how many of the same run are granted before it, at the same time.
    Points POOL_GRANT = concat!("
        UPDATE live
        SET state = 'queued', waits_pool = false, queued_at = now(),
            turn = u.ahead + 1 + (", first_turns!("$4", "$5", "$6"), ")[u.line]
        FROM unnest($1::text[], $2::integer[], $3::integer[]) AS u (ctid, ahead, line)
        WHERE live.ctid = u.ctid::tid");

    Points POOLS_USE = "
        UPDATE pool SET used = u.used
        FROM unnest($1::text[], $2::integer[]) AS u (name, used)
        WHERE pool.name = u.name";

    /// Slots that tasks of pool `$1` hold.
    Points POOL_HELD = "
        SELECT coalesce(sum(pool_slots), 0)::integer FROM live
        WHERE pool = $1 AND state IN ('queued', 'running', 'restarting')";
}

impl EngineTx<'_> {
    /// Takes back slots that tasks gave up, by pool, and gives what is free to waiting tasks. Returns
    /// the queues of those that are ready now.
    pub async fn pools_settle(
        &mut self,
        released: &BTreeMap<String, i32>,
    ) -> Result<Vec<String>, StoreError> {
        let names: Vec<&String> = released.keys().collect();
        let pools: Vec<PoolRow> =
            sqlx::query_as(POOLS_LOCK).bind(names).fetch_all(&mut *self.tx).await?;
        let (mut used, mut queues) = (Vec::new(), Vec::new());
        for pool in pools {
            let released = released.get(&pool.name).copied().unwrap_or(0);
            let after = (pool.used - released).max(0);
            let granted = self.pool_grant(&pool, after, &mut queues).await?;
            if after + granted != pool.used {
                used.push((pool.name, after + granted));
            }
        }
        self.pools_use(&used).await?;
        Ok(queues)
    }

    /// Gives the free slots of a locked pool to tasks that wait for it; returns how many.
    async fn pool_grant(
        &mut self,
        pool: &PoolRow,
        used: i32,
        queues: &mut Vec<String>,
    ) -> Result<i32, StoreError> {
        let mut free = if pool.slots < 0 { i32::MAX } else { pool.slots - used };
        if free <= 0 {
            return Ok(0);
        }
        let most = i64::from(free.saturating_add(LOOK_BEYOND));
        let waiting: Vec<WaitingRow> = sqlx::query_as(POOL_WAITING)
            .bind(&pool.name)
            .bind(most)
            .fetch_all(&mut *self.tx)
            .await?;
        let (mut granted, mut ready) = (0, Vec::new());
        let mut ahead: BTreeMap<i64, i32> = BTreeMap::new();
        let mut lines = Lines::default();
        for row in waiting {
            if row.pool_slots <= free {
                free -= row.pool_slots;
                granted += row.pool_slots;
                let of_run = ahead.entry(row.run_key).or_default();
                let line = lines.number(Some(Line::of_queue(&row.queue, row.priority)));
                ready.push((row.ctid, *of_run, line));
                *of_run += 1;
                queues.push(row.queue);
            }
        }
        if !ready.is_empty() {
            let (pools, queues, priorities) = lines.columns();
            sqlx::query(POOL_GRANT)
                .bind(column(&ready, |(ctid, ..)| ctid.clone()))
                .bind(column(&ready, |(_, ahead, _)| *ahead))
                .bind(column(&ready, |(.., line)| *line))
                .bind(pools)
                .bind(queues)
                .bind(priorities)
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(granted)
    }

    async fn pools_use(&mut self, used: &[(String, i32)]) -> Result<(), StoreError> {
        if !used.is_empty() {
            sqlx::query(POOLS_USE)
                .bind(column(used, |(name, _)| name.clone()))
                .bind(column(used, |(_, used)| *used))
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(())
    }

    /// Sets a pool's count to what its tasks hold; returns both if they differed.
    pub async fn pool_reconcile(&mut self, name: &str) -> Result<Option<(i32, i32)>, StoreError> {
        let pools: Vec<PoolRow> =
            sqlx::query_as(POOLS_LOCK).bind(vec![name]).fetch_all(&mut *self.tx).await?;
        let Some(pool) = pools.into_iter().next() else { return Ok(None) };
        // A statement of its own: it sees what was committed before the lock was had.
        let (held,): (i32,) = sqlx::query_as(POOL_HELD).bind(name).fetch_one(&mut *self.tx).await?;
        if held == pool.used {
            return Ok(None);
        }
        self.pools_use(&[(pool.name, held)]).await?;
        Ok(Some((pool.used, held)))
    }
}
