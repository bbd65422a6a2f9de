//! What a `@continuous` DAG of ordinary tasks costs while its topic is idle.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use subak_testkit::kafka::NewRecord;

use super::{asked, runs, stack, topic};

/// For so long nothing is sent. `SUBAK_IDLE_SECS` says otherwise: a minute has all that comes once a minute.
const SECS: u64 = 6;

fn copy(from: &str, to: &str) -> String {
    format!(
        "dag_id: copy\nschedule: '@continuous'\ntasks:\n  read:\n    operator: kafka.consume\n    with:\n      \
         connection: kafka_main\n      topic: {from}\n      columns: {{id: {{type: bigint}}}}\n  \
         check:\n    operator: validate\n    with: {{input: '{{{{ tasks.read.output }}}}', rules: [{{column: id, not_null: true}}]}}\n  \
         write:\n    operator: kafka.produce\n    with: {{connection: kafka_main, topic: {to}, input: '{{{{ \
         tasks.check.output }}}}'}}\n"
    )
}

/// By counts, which a slow machine makes smaller: brokers are asked a few times a minute, not whenever a
/// usual client would, and PostgreSQL hardly more than without any DAG.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_topic_costs_a_few_questions_a_minute() -> Result<()> {
    let (stack, broker) = stack(1).await?;
    let way = broker.counted().await?;
    let address = way.bootstrap();
    let by = ["connections", "add", "kafka_main", "--type", "kafka", "--host", &address];
    asked(&stack, &by).await?;
    let (from, to) = (topic(broker, "idle", 3).await?, topic(broker, "copied", 3).await?);
    // Tests renew their leases more often than servers do: what counts is how much is added to it.
    let metadata = stack.metadata();
    let (before, began) = (metadata.transactions().await?, Instant::now());
    tokio::time::sleep(Duration::from_secs(SECS / 2)).await;
    let without = (metadata.transactions().await? - before) as f64 / began.elapsed().as_secs_f64();
    // The clients of a batch are kept after it: they have to be idle, too.
    let record = NewRecord { value: Some(r#"{"id": 1}"#.into()), ..NewRecord::default() };
    broker.produce(&from, [record]).await?;
    stack.add_dag("copy", &copy(&from, &to)).await?;
    stack
        .until("the copy to wait", async || {
            Ok(runs(&stack, "copy").await? == ["success", "running"])
        })
        .await?;
    // Then one question is open, which the broker answers when there is a record, and no other is asked.
    stack
        .until("an idle broker", async || {
            let before = way.requests();
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(way.requests() == before && way.open() > 0)
        })
        .await?;

    let secs = std::env::var("SUBAK_IDLE_SECS").map_or(SECS, |text| text.parse().unwrap());
    let (before, used, began) = (way.by_name(), stack.usage()?, Instant::now());
    let queries = metadata.transactions().await?;
    tokio::time::sleep(Duration::from_secs(secs)).await;
    let queries = metadata.transactions().await? - queries;
    let requests = way.since(&before);
    let cpu = stack.usage()?.cpu_secs - used.cpu_secs;
    let took = began.elapsed().as_secs_f64();
    let all: u64 = requests.values().sum();
    eprintln!(
        "an idle topic, by {took:.0} s: {:.0} requests a minute to the broker ({requests:?}), {:.1} transactions a \
         second ({without:.1} without a DAG), {:.2} s of CPU a minute of server and worker",
        all as f64 * 60.0 / took,
        queries as f64 / took,
        cpu * 60.0 / took,
    );
    assert_eq!(runs(&stack, "copy").await?, ["success", "running"]);
    // A client that asks every half second, as they do by default, would be beyond this.
    ensure!((all as f64) < 4.0 + took / 2.0, "{all} requests in {took:.0} s: {requests:?}");
    let most = 30.0 + 1.5 * without * took;
    ensure!(
        (queries as f64) < most,
        "{queries} transactions in {took:.0} s, without a DAG {without:.1} a second"
    );
    Ok(())
}
