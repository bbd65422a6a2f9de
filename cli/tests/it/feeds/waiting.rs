//! A `@continuous` DAG of ordinary tasks: it waits for records without a slot, and takes them batch by
//! batch.

use anyhow::{Result, ensure};
use subak_testkit::kafka::NewRecord;

use super::{runs, stack, topic};

fn copy(from: &str, to: &str) -> String {
    format!(
        "dag_id: copy\nschedule: '@continuous'\ntasks:\n  read:\n    operator: kafka.consume\n    with:\n      \
         connection: kafka_main\n      topic: {from}\n      max_wait: 100ms\n      columns: {{id: {{path: id, type: bigint}}}}\n  \
         write:\n    operator: kafka.produce\n    with: {{connection: kafka_main, topic: {to}, input: '{{{{ \
         tasks.read.output }}}}'}}\n"
    )
}

fn drain(topic: &str) -> String {
    format!(
        "dag_id: drain\ntasks:\n  read:\n    operator: kafka.consume\n    with:\n      connection: \
         kafka_main\n      topic: {topic}\n      columns: {{id: {{path: id, type: bigint}}}}\n      max_wait: 30s\n  load:\n    \
         operator: postgres.load\n    with: {{connection: warehouse, table: copied, create: true, input: '{{{{ \
         tasks.read.output }}}}', columns: {{id: id}}}}\n"
    )
}

fn records(ids: std::ops::Range<i64>) -> impl Iterator<Item = NewRecord> + Send + 'static {
    ids.map(|id| NewRecord {
        value: Some(format!(r#"{{"id": {id}}}"#).into()),
        ..NewRecord::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_come_as_records_do_and_nobody_waits_for_them() -> Result<()> {
    let (stack, broker) = stack(1).await?;
    let warehouse = stack.add_database("warehouse").await?;
    let (from, to) = (topic(broker, "in", 2).await?, topic(broker, "out", 2).await?);
    stack.add_dag("copy", &copy(&from, &to)).await?;
    stack.add_dag("drain", &drain(&to)).await?;
    stack
        .until("the copy to wait", async || Ok(runs(&stack, "copy").await? == ["running"]))
        .await?;
    // There is one slot, and the copy waits without it; so does the drain, for the copy.
    for batch in 0..3 {
        let run = stack.trigger("drain", &format!("batch-{batch}")).await?;
        broker.produce(&from, records(batch * 100..batch * 100 + 100)).await?;
        let state = stack.ended(run).await?;
        ensure!(state == "success", "{state}\n{}", stack.logs());
        // The first record of a batch may have been taken without the others.
        stack
            .until("the batch", async || {
                let rest = format!("batch-{batch}-{}", runs(&stack, "drain").await?.len());
                let count = warehouse.number("SELECT count(*) FROM copied").await?;
                if count < (batch + 1) * 100 {
                    let run = stack.trigger("drain", &rest).await?;
                    stack.ended(run).await?;
                }
                Ok(warehouse.number("SELECT count(*) FROM copied").await? == (batch + 1) * 100)
            })
            .await?;
    }
    let distinct = warehouse.number("SELECT count(DISTINCT id) FROM copied").await?;
    assert_eq!(distinct, 300);
    // One run a batch, and one that waits.
    let runs = runs(&stack, "copy").await?;
    let (waiting, done) = runs.split_last().unwrap();
    ensure!(waiting == "running" && done.iter().all(|state| state == "success"), "{runs:?}");
    // It yields: a newer version need not wait for a record.
    stack.replace_dag("copy", &copy(&from, &to).replace("100ms", "50ms")).await?;
    let count = done.len() + 2;
    stack
        .until("the newer version", async || {
            let runs = super::runs(&stack, "copy").await?;
            Ok(runs.len() == count && runs[count - 1] == "running" && runs[count - 2] == "success")
        })
        .await
}
