//! A DAG that drains a topic, and ranges that are on record of it.

use subak_testkit::peek;

use crate::world::World;

/// Reads the topic `orders`, and loads it.
pub(crate) const DRAIN: &str = "
dag_id: drain
tasks:
  read:
    operator: kafka.consume
    with: {connection: broker, topic: orders, columns: {id: id}}
  load:
    operator: postgres.load
    with: {connection: shop, input: '{{ tasks.read.output }}', table: record, mode: upsert, key: [id]}
";

/// Puts ranges of it on record, each a row of SQL: sequence, partitions, the loads that have it, state, and
/// how much was read, rejected, left out and loaded. They are of a run that was cancelled: a range whose run
/// is gone may be dropped at any moment.
pub(crate) async fn on_record(world: &World, rows: &str) -> anyhow::Result<()> {
    let run = world.trigger("drain").await?;
    world.engine.run_cancel(run, "cancelled").await?;
    let insert = format!(
        "INSERT INTO topic_range (dag, task, sequence, cluster, topic, partitions, has_gap, sinks,
                                  committed, state, run_key, records, rejected, filtered, loaded)
         SELECT k.dag, k.task, v.sequence, 'c-1', 'orders', v.partitions::jsonb, false, '{{load}}',
                v.committed::text[], v.state, {run}, v.records, v.rejected, v.filtered,
                v.loaded::jsonb
         FROM dag_task k
         CROSS JOIN (VALUES {rows}) AS v (sequence, partitions, committed, state, records, rejected,
                                          filtered, loaded)
         WHERE k.task_id = 'read'"
    );
    peek::meddle(&world.store, &insert).await
}
