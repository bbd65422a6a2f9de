//! `http.poll` remembers when it asked: whoever goes on with it asks no sooner than its interval says.

use anyhow::{Result, ensure};
use subak_core::ids::RunKey;
use subak_testkit::peek;
use subak_testkit::sinks;

use super::{runs, stack, topic};

const DAG: &str = "poll";

fn polling(port: u16, topic: &str, interval: &str) -> String {
    format!(
        "dag_id: {DAG}\nschedule: '@continuous'\ntasks:\n  feed:\n    operator: http.poll\n    with: \
         {{url: 'http://127.0.0.1:{port}/users', interval: {interval}, connection: kafka_main, topic: {topic}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_goes_on_where_a_killed_or_ended_one_has_left_off() -> Result<()> {
    let (mut stack, broker) = stack(1).await?;
    let mut api = sinks::web().await?;
    let topic = topic(broker, "polled", 1).await?;
    stack.add_dag(DAG, &polling(api.port(), &topic, "1h")).await?;
    assert_eq!(api.next().await?.path, "/users");
    let noted = "SELECT count(*) FROM task_state_store WHERE key = 'poll'";
    let metadata = stack.metadata();
    stack.until("the poll to be noted", async || Ok(metadata.number(noted).await? == 1)).await?;

    // Killed: another try of the same run waits for what is left of the hour.
    stack.kill_worker(0)?;
    stack.start_worker(0, false)?;
    let run = RunKey(metadata.number("SELECT run_key FROM run").await?);
    let waits = async || {
        let log = peek::log_text(&stack.store, run).await?;
        anyhow::Ok(log.contains("was asked less than an interval ago"))
    };
    stack.until("the next try to wait", waits).await?;

    // Another version: that run ends well without having asked, and the next one asks at once.
    stack.replace_dag(DAG, &polling(api.port(), &topic, "0.2s")).await?;
    for _ in 0..3 {
        api.next().await?;
    }
    let paused = stack.subak(&["dags", "pause", DAG]).await?;
    ensure!(paused.status.success(), "{}", String::from_utf8_lossy(&paused.stderr));
    stack
        .until("the pause", async || Ok(runs(&stack, DAG).await? == ["success", "success"]))
        .await?;
    let polls = "SELECT value ->> 'polls' FROM xcom ORDER BY run_key";
    let polls = metadata.texts(polls).await?;
    ensure!(polls.len() == 2 && polls[0] == "0", "{polls:?}");
    // One of the try that was killed, and those of the last run: each answer is there once.
    let sent = 1 + polls[1].parse::<usize>()?;
    assert_eq!(broker.records(&topic).await?.len(), sent);
    Ok(())
}
