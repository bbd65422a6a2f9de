//! Pools: slots are given to waiting tasks under the lock of the pool's row, last of all locks.
//!
//! A task may wait for a pool that it has to itself besides (`max_active_tis_per_dag`): it is given slots of
//! both, or of none. Pools that people made are locked first, then those of single tasks, so that whoever
//! finds a waiting task in a locked pool may lock the other one as well. What holds slots of both gives both
//! back in one transaction, which then deals out both.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::FromRow;
use subak_core::dag::model::is_own_pool;

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

impl PoolRow {
    /// Slots that are free.
    fn room(&self) -> i32 {
        if self.slots < 0 { i32::MAX } else { (self.slots - self.used).max(0) }
    }
}

/// Locked pools, by name, with what is used after this transaction.
type Pools = BTreeMap<String, PoolRow>;

#[derive(FromRow)]
struct WaitingRow {
    ctid: String,
    run_key: i64,
    pool_slots: i32,
    own_pool: Option<String>,
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

    /// The same of pools of single tasks. One that somebody holds is left out: it is being changed, and who
    /// waits here would hold up others.
    Points POOLS_LOCK_FREE = "
        SELECT p.name, p.slots, p.used
        FROM unnest($1::text[]) AS want (name)
        CROSS JOIN LATERAL (
            SELECT * FROM pool WHERE pool.name = want.name FOR NO KEY UPDATE SKIP LOCKED
        ) AS p";

    /// The pools besides which tasks are in these of their own, or wait for them.
    Points POOLS_BESIDE = "
        SELECT l.pool
        FROM unnest($1::text[]) AS want (name)
        CROSS JOIN LATERAL (SELECT DISTINCT pool FROM live WHERE live.own_pool = want.name) AS l";

    /// Tasks that wait for pool `$1`, the heaviest first, but for those that wait for one of `$3` besides.
    /// What somebody else is at is left out.
    Points POOL_WAITING = "
        SELECT ctid::text AS ctid, run_key, pool_slots, own_pool, queue, priority FROM live
        WHERE pool = $1 AND waits_pool AND (own_pool IS NULL OR own_pool <> ALL ($3::text[]))
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
        SELECT ((SELECT coalesce(sum(pool_slots), 0) FROM live
                 WHERE pool = $1 AND state IN ('queued', 'running', 'restarting'))
              + (SELECT count(*) FROM live
                 WHERE own_pool = $1 AND state IN ('queued', 'running', 'restarting')))::integer";
}

impl EngineTx<'_> {
    /// Takes back slots that tasks gave up, by pool, and gives what is free to waiting tasks. Returns
    /// the queues of those that are ready now.
    pub async fn pools_settle(
        &mut self,
        released: &BTreeMap<String, i32>,
    ) -> Result<Vec<String>, StoreError> {
        let own: Vec<&str> =
            released.keys().map(String::as_str).filter(|name| is_own_pool(name)).collect();
        let mut names: BTreeSet<String> =
            released.keys().filter(|name| !is_own_pool(name)).cloned().collect();
        if !own.is_empty() {
            let beside: Vec<String> =
                sqlx::query_scalar(POOLS_BESIDE).bind(&own).fetch_all(&mut *self.tx).await?;
            names.extend(beside);
        }
        let names = Vec::from_iter(names.iter().map(String::as_str));
        let mut locked = self.pools_lock(&names).await?;
        locked.extend(self.pools_lock(&own).await?);
        let mut pools = Pools::new();
        let mut before: BTreeMap<String, i32> = BTreeMap::new();
        for mut pool in locked {
            before.insert(pool.name.clone(), pool.used);
            pool.used = (pool.used - released.get(&pool.name).copied().unwrap_or(0)).max(0);
            pools.insert(pool.name.clone(), pool);
        }
        let mut queues = Vec::new();
        for name in names.into_iter().chain(own) {
            self.pool_deal(name, &mut pools, &mut before, &mut queues).await?;
        }
        let used = pools.into_values().filter(|pool| before.get(&pool.name) != Some(&pool.used));
        let used: Vec<(String, i32)> = used.map(|pool| (pool.name, pool.used)).collect();
        self.pools_use(&used).await?;
        Ok(queues)
    }

    /// Locks pools, in this order.
    async fn pools_lock(&mut self, names: &[&str]) -> Result<Vec<PoolRow>, StoreError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        Ok(sqlx::query_as(POOLS_LOCK).bind(names).fetch_all(&mut *self.tx).await?)
    }

    /// Gives the free slots of a locked pool to tasks that wait for it. Those whose own pool is full are
    /// passed over, however many they are: they hold up nobody else.
    async fn pool_deal(
        &mut self,
        name: &str,
        pools: &mut Pools,
        before: &mut BTreeMap<String, i32>,
        queues: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        let mut full: Vec<String> = Vec::new();
        let mut ahead: BTreeMap<i64, i32> = BTreeMap::new();
        loop {
            let free = pools.get(name).map_or(0, PoolRow::room);
            if free == 0 {
                return Ok(());
            }
            let most = usize::try_from(free.saturating_add(LOOK_BEYOND)).unwrap_or(usize::MAX);
            let waiting: Vec<WaitingRow> = sqlx::query_as(POOL_WAITING)
                .bind(name)
                .bind(i64::try_from(most).unwrap_or(i64::MAX))
                .bind(&full)
                .fetch_all(&mut *self.tx)
                .await?;
            self.own_pools_lock(&waiting, pools, before).await?;
            let (seen, known) = (waiting.len(), full.len());
            let granted = choose(name, waiting, pools, &mut full);
            self.pool_grant(granted, &mut ahead, queues).await?;
            // Tasks that wait for their own pool may have hidden others behind them.
            if seen < most || full.len() == known {
                return Ok(());
            }
        }
    }

    /// Locks the pools that waiting tasks have to themselves besides.
    async fn own_pools_lock(
        &mut self,
        waiting: &[WaitingRow],
        pools: &mut Pools,
        before: &mut BTreeMap<String, i32>,
    ) -> Result<(), StoreError> {
        let own = waiting.iter().filter_map(|row| row.own_pool.as_deref());
        let own: BTreeSet<&str> = own.filter(|own| !pools.contains_key(*own)).collect();
        if own.is_empty() {
            return Ok(());
        }
        let locked: Vec<PoolRow> = sqlx::query_as(POOLS_LOCK_FREE)
            .bind(Vec::from_iter(own))
            .fetch_all(&mut *self.tx)
            .await?;
        for pool in locked {
            before.insert(pool.name.clone(), pool.used);
            pools.insert(pool.name.clone(), pool);
        }
        Ok(())
    }

    /// Lets tasks become ready that were given their slots.
    async fn pool_grant(
        &mut self,
        granted: Vec<WaitingRow>,
        ahead: &mut BTreeMap<i64, i32>,
        queues: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        if granted.is_empty() {
            return Ok(());
        }
        let mut ready = Vec::new();
        let mut lines = Lines::default();
        for row in granted {
            let of_run = ahead.entry(row.run_key).or_default();
            let line = lines.number(Some(Line::of_queue(&row.queue, row.priority)));
            ready.push((row.ctid, *of_run, line));
            *of_run += 1;
            queues.push(row.queue);
        }
        let (pools, lines_of, priorities) = lines.columns();
        sqlx::query(POOL_GRANT)
            .bind(column(&ready, |(ctid, ..)| ctid.clone()))
            .bind(column(&ready, |(_, ahead, _)| *ahead))
            .bind(column(&ready, |(.., line)| *line))
            .bind(pools)
            .bind(lines_of)
            .bind(priorities)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
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

/// Takes slots for waiting tasks, in their order; notes pools of single tasks that are full.
fn choose(
    name: &str,
    waiting: Vec<WaitingRow>,
    pools: &mut Pools,
    full: &mut Vec<String>,
) -> Vec<WaitingRow> {
    let mut granted = Vec::new();
    for row in waiting {
        if let Some(own) = row.own_pool.as_ref() {
            if full.contains(own) {
                continue;
            }
            if pools.get(own).map_or(0, PoolRow::room) == 0 {
                full.push(own.clone());
                continue;
            }
        }
        let Some(pool) = pools.get_mut(name).filter(|pool| row.pool_slots <= pool.room()) else {
            continue;
        };
        pool.used += row.pool_slots;
        if let Some(own) = &row.own_pool
            && let Some(own) = pools.get_mut(own)
        {
            own.used += 1;
        }
        granted.push(row);
    }
    granted
}
