//! `generate` without an end: it yields, goes on, and comes back after kills and cancels.

use anyhow::{Result, ensure};
use subak_testkit::stack::{Database, Stack};

use super::{asked, runs, stack, stack_of, topic};

const DAG: &str = "orders";

fn endless(topic: &str, rate: u32) -> String {
    format!(
        "dag_id: {DAG}\nschedule: '@continuous'\ntasks:\n  feed:\n    operator: generate\n    with: \
         {{profile: purchases, rate: {rate}, connection: kafka_main, topic: {topic}}}\n"
    )
}

fn drain(topic: &str) -> String {
    format!(
        "dag_id: drain\ntasks:\n  read:\n    operator: kafka.consume\n    with:\n      \
         connection: kafka_main\n      topic: {topic}\n      columns: {{id: {{path: order_id, type: bigint}}}}\n  \
         load:\n    operator: postgres.load\n    with: {{connection: warehouse, table: orders, create: true, \
         input: '{{{{ tasks.read.output }}}}', columns: {{id: id}}}}\n"
    )
}

/// The first record that the feed has not noted as sent.
async fn position(stack: &Stack) -> Result<i64> {
    let next = "SELECT coalesce(max((value ->> 'next')::bigint), 0) FROM task_state_store WHERE key = 'position'";
    stack.metadata().number(next).await
}

/// Waits until the feed has gone on by some records.
async fn goes_on(stack: &Stack) -> Result<()> {
    let from = position(stack).await?;
    stack.until("the feed to go on", async || Ok(position(stack).await? > from + 100)).await
}

/// What is in the topic now: how many records, and that none is missing.
async fn all_there(stack: &Stack, warehouse: &Database, run: &str) -> Result<i64> {
    let run = stack.trigger("drain", run).await?;
    let state = stack.ended(run).await?;
    ensure!(state == "success", "{state}\n{}", stack.logs());
    let ids = warehouse.number("SELECT count(DISTINCT id) FROM orders").await?;
    let last = warehouse.number("SELECT max(id) FROM orders").await?;
    ensure!(ids == last, "{ids} ids up to {last}: some are missing");
    warehouse.number("SELECT count(*) FROM orders").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_yields_and_goes_on() -> Result<()> {
    // No ordinary slot is needed but the one of the drain.
    let (mut stack, broker) = stack(1).await?;
    let topic = topic(broker, "orders", 2).await?;
    let warehouse = stack.add_database("warehouse").await?;
    stack.add_dag("drain", &drain(&topic)).await?;
    stack.add_dag(DAG, &endless(&topic, 400)).await?;
    goes_on(&stack).await?;
    assert_eq!(runs(&stack, DAG).await?, ["running"]);

    // A newer version: the run ends well, and the next one has it.
    stack.replace_dag(DAG, &endless(&topic, 500)).await?;
    stack
        .until("the next run", async || Ok(runs(&stack, DAG).await? == ["success", "running"]))
        .await?;
    goes_on(&stack).await?;

    // Paused: it ends well, and nothing follows.
    let metadata = stack.metadata();
    asked(&stack, &["dags", "pause", DAG]).await?;
    stack
        .until("the pause", async || Ok(runs(&stack, DAG).await? == ["success", "success"]))
        .await?;
    let sent = position(&stack).await?;
    let count = all_there(&stack, &warehouse, "one").await?;
    // Every yield is a checkpoint: nothing was sent twice.
    assert_eq!((count, position(&stack).await?), (sent, sent));

    asked(&stack, &["dags", "unpause", DAG]).await?;
    goes_on(&stack).await?;

    // Killed: another try of the same run goes on; at least once.
    stack.kill_worker(0)?;
    stack.start_worker(0, false)?;
    stack.joined().await?;
    goes_on(&stack).await?;
    assert_eq!(runs(&stack, DAG).await?, ["success", "success", "running"]);

    let run = metadata.texts("SELECT run_id FROM run WHERE state = 'running'").await?.remove(0);
    asked(&stack, &["runs", "cancel", DAG, &run]).await?;
    // A cancel is not a yield: the run has failed, and the next one begins after a rest.
    stack
        .until("the cancel", async || {
            let runs = runs(&stack, DAG).await?;
            Ok(runs[2] == "failed" && runs.get(3).is_some_and(|state| state == "running"))
        })
        .await?;
    goes_on(&stack).await?;
    // What is still on its way is in one partition, and not in another: nothing is sent while they are
    // looked at.
    asked(&stack, &["dags", "pause", DAG]).await?;
    stack
        .until("the last pause", async || {
            Ok(runs(&stack, DAG).await?.iter().all(|state| state != "running"))
        })
        .await?;
    let count = all_there(&stack, &warehouse, "two").await?;
    ensure!(count >= sent, "{count} of {sent}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_leaves_a_drained_worker_for_another() -> Result<()> {
    let (mut stack, broker) = stack_of(2, 1).await?;
    let topic = topic(broker, "orders", 2).await?;
    let warehouse = stack.add_database("warehouse").await?;
    stack.add_dag("drain", &drain(&topic)).await?;
    stack.add_dag(DAG, &endless(&topic, 400)).await?;
    goes_on(&stack).await?;

    let held = "SELECT s.worker FROM live l JOIN worker_session s USING (session)";
    let worker = stack.metadata().texts(held).await?.remove(0);
    asked(&stack, &["workers", "drain", &worker]).await?;
    stack
        .until("the next run", async || Ok(runs(&stack, DAG).await? == ["success", "running"]))
        .await?;
    goes_on(&stack).await?;
    let other = stack.metadata().texts(held).await?;
    ensure!(other != [worker.as_str()], "{worker} is drained and goes on");

    // The drained one has nothing left to do.
    let mut process = stack.take_worker(usize::from(worker == "worker-1"));
    let mut status = None;
    stack
        .until("the drained worker to end", async || {
            status = process.ended()?;
            Ok(status.is_some())
        })
        .await?;
    assert!(status.is_some_and(|status| status.success()), "{status:?} {}", process.log_tail());

    asked(&stack, &["dags", "pause", DAG]).await?;
    stack
        .until("the pause", async || Ok(runs(&stack, DAG).await? == ["success", "success"]))
        .await?;
    // It left at a checkpoint: nothing was sent twice, nothing is missing.
    let sent = position(&stack).await?;
    assert_eq!(all_there(&stack, &warehouse, "one").await?, sent);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_fails_rests_before_it_begins_again() -> Result<()> {
    let (stack, _) = stack(1).await?;
    stack.add_dag(DAG, &endless("no-such-topic", 10)).await?;
    stack.until("three failures", async || Ok(runs(&stack, DAG).await?.len() > 3)).await?;
    let gaps = "SELECT extract(epoch FROM started_at - lag(ended_at) OVER (ORDER BY run_key)) >= power(2, row_number() OVER (ORDER BY run_key) - 2) AS rested
                FROM run ORDER BY run_key OFFSET 1 LIMIT 3";
    assert_eq!(stack.metadata().texts(gaps).await?, ["true", "true", "true"]);
    let error = "SELECT error FROM try_history WHERE error IS NOT NULL ORDER BY token LIMIT 1";
    let error = stack.metadata().texts(error).await?.remove(0);
    assert!(error.contains("has no topic `no-such-topic`"), "{error}");
    Ok(())
}
