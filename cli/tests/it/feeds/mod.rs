//! Tasks without an end and what lives on them, by the real product on a real broker.

mod bank;
mod endless;
mod idle;
mod poll;
mod users;
mod waiting;

use std::path::Path;

use anyhow::{Result, ensure};
use subak_testkit::kafka::{Broker, broker, topic_name};
use subak_testkit::stack::{Stack, StackOptions};

/// An installation with a connection `kafka_main`. Its worker has this many ordinary slots.
async fn stack(slots: u32) -> Result<(Stack, &'static Broker)> {
    stack_of(1, slots).await
}

/// The same with several workers.
async fn stack_of(workers: usize, slots: u32) -> Result<(Stack, &'static Broker)> {
    let broker = broker().await?;
    let stack = Stack::start(StackOptions {
        binary: env!("CARGO_BIN_EXE_subak").into(),
        servers: 1,
        workers,
        slots: Some(slots),
        lease_secs: 2,
        env: Vec::new(),
    })
    .await?;
    stack.add_broker("kafka_main", broker).await?;
    Ok((stack, broker))
}

/// Runs a command that succeeds.
async fn asked(stack: &Stack, command: &[&str]) -> Result<()> {
    let output = stack.subak(command).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A DAG file as it is shipped, with these topics in the place of its own.
fn shipped(file: &str, topics: &[(&str, &str)]) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dags").join(file);
    let mut text = std::fs::read_to_string(path)?;
    for (name, own) in topics {
        text = text.replace(&format!("topic: {name}\n"), &format!("topic: {own}\n"));
    }
    Ok(text)
}

/// A topic that no other test has.
async fn topic(broker: &Broker, about: &str, partitions: i32) -> Result<String> {
    let name = topic_name(about);
    broker.topic_create(&name, partitions, &[]).await?;
    Ok(name)
}

/// `state` of every run of a DAG, the oldest first.
async fn runs(stack: &Stack, dag_id: &str) -> Result<Vec<String>> {
    let states = format!(
        "SELECT r.state FROM run r JOIN dag d USING (dag) WHERE d.dag_id = '{dag_id}' ORDER BY run_key"
    );
    stack.metadata().texts(&states).await
}
