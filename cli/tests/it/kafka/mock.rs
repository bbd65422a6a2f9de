//! The demo's stand-in for a broker says everywhere what it is.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use subak_testkit::kafka::broker;

use super::world::{DAG, Wanted, World};
use crate::stdout;

#[tokio::test(flavor = "multi_thread")]
async fn the_mock_cluster_is_labelled_and_carries_the_pipeline() -> Result<()> {
    let mut mock = Command::new(env!("CARGO_BIN_EXE_subak"))
        .arg("mock-kafka")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut bootstrap = String::new();
    BufReader::new(mock.stdout.take().context("its output")?).read_line(&mut bootstrap)?;
    let mut world =
        World::new(broker().await?, &Wanted { about: "mock", ..Wanted::default() }).await?;
    let added = ["connections", "add", "mock", "--type", "kafka", "--host", bootstrap.trim()];
    ensure!(world.stack.subak(&added).await?.status.success());
    let tested = stdout(&world.stack.subak(&["connections", "test", "mock"]).await?);
    ensure!(tested.contains("mock cluster of librdkafka"), "{tested}");

    let feed = "dag_id: feed\ntasks:\n  make:\n    operator: generate\n    with:\n      \
                profile: random_users\n      count: 40\n      connection: mock\n      topic: users\n";
    world.stack.add_dag("feed", feed).await?;
    let key = world.stack.trigger("feed", "one").await?;
    let state = world.stack.ended(key).await?;
    ensure!(state == "success", "{state}\n{}", world.stack.logs());
    let copy = format!(
        "dag_id: {DAG}\ntasks:\n  read:\n    operator: kafka.consume\n    with: {{connection: mock, \
         topic: users, columns: {{email: email}}}}\n  write:\n    operator: kafka.produce\n    with: \
         {{connection: mock, topic: clean, input: '{{{{ tasks.read.output }}}}'}}\n"
    );
    world.stack.replace_dag(DAG, &copy).await?;
    let ended = world.succeed().await?;
    let log = world.stack.subak(&["runs", "logs", DAG, &ended.run_id, "--task", "read"]).await?;
    let log = stdout(&log);
    ensure!(log.contains("40 records read") && log.contains("mock cluster of librdkafka"), "{log}");
    world.find_nothing_of(&["read skipped", "write skipped"]).await?;
    drop(mock.stdin.take());
    ensure!(mock.wait()?.success());
    Ok(())
}
