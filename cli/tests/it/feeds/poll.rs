//! `http.poll` remembers when it asked: whoever goes on with it asks no sooner than its interval and its limit
//! say.

use anyhow::{Result, ensure};
use subak_core::ids::RunKey;
use subak_testkit::peek;
use subak_testkit::sinks;

use super::{asked, runs, stack, topic};

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
    asked(&stack, &["dags", "pause", DAG]).await?;
    stack
        .until("the pause", async || Ok(runs(&stack, DAG).await? == ["success", "success"]))
        .await?;
    let polls = "SELECT value ->> 'polls' FROM xcom ORDER BY run_key";
    let polls = metadata.texts(polls).await?;
    ensure!(polls.len() == 2 && polls[0] == "0", "{polls:?}");
    // One of the try that was killed, and those of the last run: each answer is there once.
    let sent = 1 + polls[1].parse::<usize>()?;
    assert_eq!(broker.records(&topic).await?.len(), sent);

    // An API that wants no rest would be asked again at once, and by the next run, too.
    api.refuse(&["503 Busy\r\nretry-after: 0"]);
    let limited = polling(api.port(), &topic, "0.2s, rate_limit: 0.1");
    stack.replace_dag(DAG, &limited).await?;
    for (place, why) in
        ["503 Service Unavailable", "as `rate_limit` allows"].into_iter().enumerate()
    {
        asked(&stack, &["dags", "unpause", DAG]).await?;
        let count = place + 3;
        stack.until("a run", async || Ok(runs(&stack, DAG).await?.len() == count)).await?;
        let run = RunKey(metadata.number("SELECT max(run_key) FROM run").await?);
        let mut rest = 0.0;
        stack
            .until("the rest", async || {
                let log = peek::log_text(&stack.store, run).await?;
                let said = log.lines().find(|line| line.contains(why));
                let said = said.and_then(|line| line.split("asking again in ").nth(1));
                let secs = said.and_then(|said| said.split(' ').next());
                rest = secs.map_or(Ok(0.0), str::parse::<f64>)?;
                Ok(secs.is_some())
            })
            .await?;
        ensure!(rest > 1.0, "{rest} s");
        asked(&stack, &["dags", "pause", DAG]).await?;
        stack
            .until("the pause", async || {
                let runs = runs(&stack, DAG).await?;
                Ok(runs.len() == count && runs.iter().all(|state| state == "success"))
            })
            .await?;
    }
    Ok(())
}
