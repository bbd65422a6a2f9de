//! Assets: registered with the versions of DAGs, and their events.

use serde_json::Value;
use sqlx::PgConnection;
use subak_core::dag::model::{Asset, Dag, Task};
use subak_core::ids::InstanceKey;

use crate::engine::EngineTx;
use crate::results::column;
use crate::statement::statements;
use crate::{Store, StoreError};

/// An asset that a task instance has made.
#[derive(Debug, Clone)]
pub struct NewAssetEvent {
    pub key: InstanceKey,
    pub name: String,
    pub uri: String,
}

/// Events that one transaction drops.
const SLICE: i64 = 10_000;

statements! {
    Points ASSET_EVENTS_PUT = "
        INSERT INTO asset_event (asset, dag_id, task_id, run_id, map_index)
        SELECT a.asset, d.dag_id, t.task_id, r.run_id, want.map_index
        FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::text[], $5::text[])
             AS want (run_key, task, map_index, name, uri)
        CROSS JOIN LATERAL (SELECT dag, run_id FROM run WHERE run.run_key = want.run_key) AS r
        CROSS JOIN LATERAL (SELECT dag_id FROM dag WHERE dag.dag = r.dag) AS d
        CROSS JOIN LATERAL (
            SELECT task_id FROM dag_task WHERE dag_task.dag = r.dag AND dag_task.task = want.task
        ) AS t
        CROSS JOIN LATERAL (
            SELECT asset FROM asset WHERE asset.name = want.name AND asset.uri = want.uri
        ) AS a";
}

/// Registers what the tasks of a new version read and make, in place of what those of the version before
/// did. The DAG's row is locked.
pub(crate) async fn register_in_tx(
    tx: &mut PgConnection,
    dag: i32,
    of: &Dag,
) -> Result<(), StoreError> {
    let all = |kind: &'static str, assets: fn(&Task) -> &[Asset]| {
        let tasks = of.tasks.iter();
        let each = tasks.flat_map(move |task| assets(task).iter().map(move |it| (task, kind, it)));
        each.collect::<Vec<_>>()
    };
    let mut named = all("inlet", |task| &task.inlets);
    named.extend(all("outlet", |task| &task.outlets));
    sqlx::query("DELETE FROM asset_reference WHERE dag = $1").bind(dag).execute(&mut *tx).await?;
    if named.is_empty() {
        return Ok(());
    }
    // In one order, so that two DAGs that are saved at once do not wait for each other.
    named.sort_by_key(|(_, _, asset)| (&asset.name, &asset.uri));
    sqlx::query(
        "INSERT INTO asset AS a (name, uri, asset_group, extra)
         SELECT DISTINCT ON (name, uri) name, uri, asset_group, extra
         FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[])
              AS named (name, uri, asset_group, extra)
         ORDER BY name, uri
         ON CONFLICT (name, uri) DO UPDATE
         SET asset_group = EXCLUDED.asset_group, extra = EXCLUDED.extra, updated_at = now()
         WHERE (a.asset_group, a.extra) IS DISTINCT FROM (EXCLUDED.asset_group, EXCLUDED.extra)",
    )
    .bind(column(&named, |(_, _, asset)| asset.name.clone()))
    .bind(column(&named, |(_, _, asset)| asset.uri.clone()))
    .bind(column(&named, |(_, _, asset)| asset.group.clone()))
    .bind(column(&named, |(_, _, asset)| Value::Object(asset.extra.clone())))
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO asset_reference (dag, task, kind, asset)
         SELECT $1, t.task, named.kind, a.asset
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
              AS named (task_id, kind, name, uri)
         JOIN dag_task t ON t.dag = $1 AND t.task_id = named.task_id
         JOIN asset a ON a.name = named.name AND a.uri = named.uri",
    )
    .bind(dag)
    .bind(column(&named, |(task, _, _)| task.task_id.0.clone()))
    .bind(column(&named, |(_, kind, _)| *kind))
    .bind(column(&named, |(_, _, asset)| asset.name.clone()))
    .bind(column(&named, |(_, _, asset)| asset.uri.clone()))
    .execute(&mut *tx)
    .await?;
    Ok(())
}

impl EngineTx<'_> {
    /// Notes that task instances have made assets, with the end that makes them successful.
    pub async fn asset_events_put(&mut self, new: &[NewAssetEvent]) -> Result<(), StoreError> {
        sqlx::query(ASSET_EVENTS_PUT)
            .bind(column(new, |it| it.key.run.0))
            .bind(column(new, |it| it.key.task.0))
            .bind(column(new, |it| it.key.map_index.0))
            .bind(column(new, |it| it.name.clone()))
            .bind(column(new, |it| it.uri.clone()))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}

impl Store {
    /// Notes that somebody has made an asset; returns the event's number, `None` if there is no such
    /// asset.
    pub async fn asset_event_add(
        &self,
        asset: i64,
        extra: &Value,
    ) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar(
            "INSERT INTO asset_event (asset, extra)
             SELECT asset, $2 FROM asset WHERE asset = $1 RETURNING event",
        )
        .bind(asset)
        .bind(extra)
        .fetch_optional(self.pool())
        .await?)
    }

    /// Drops events that are older than `keep_days`; returns how many there were.
    pub async fn asset_events_drop(&self, keep_days: i32) -> Result<u64, StoreError> {
        let mut dropped = 0;
        loop {
            let done = sqlx::query(
                "DELETE FROM asset_event WHERE event = ANY (ARRAY(
                     SELECT event FROM asset_event
                     WHERE created_at < now() - make_interval(days => $1) LIMIT $2))",
            )
            .bind(keep_days)
            .bind(SLICE)
            .execute(self.engine())
            .await?;
            dropped += done.rows_affected();
            if done.rows_affected() == 0 {
                return Ok(dropped);
            }
        }
    }
}
