//! `retry_policy`, and variables on their way to a task.

use serde_json::json;
use subak_core::decide::TryEnd;
use subak_core::ids::DagId;
use subak_server::engine::{Outcome, Told, Trigger, TryReport, fence};
use subak_testkit::peek;

use crate::world::{World, key};

const POLICY: &str = "
dag_id: policy
default_args: {retries: 1, retry_delay: 0}
tasks:
  never: {operator: noop, retry_policy: [{exit_code: [1, 2], retry: false}]}
  often: {operator: noop, retry_policy: [{error: permanent, retries: 3, retry_delay: 0}]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_decides_by_exit_code_and_class() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(POLICY).await?;
    let mut worker = world.worker(2).await?;
    tokio::spawn(async move {
        loop {
            let told = worker.next().await;
            if told.is_empty() {
                return;
            }
            for told in told {
                let Told::Run(run) = told else { continue };
                let fence = fence(run.r#try.as_ref().unwrap());
                let (end, exit_code) = match run.task_id.as_str() {
                    "never" => (TryEnd::Transient, Some(2)),
                    _ => (TryEnd::Permanent, Some(3)),
                };
                let bare = TryReport::bare(fence, Outcome::Failed(end), None);
                worker.report(TryReport { exit_code, ..bare }).await;
            }
        }
    });
    let run = world.trigger("policy").await?;
    assert_eq!(world.ended(run).await?, "failed");
    let mut history = peek::history(&world.store, run).await?;
    history.sort_unstable();
    assert_eq!(
        history,
        [
            "never#1 failed",
            "often#1 up_for_retry",
            "often#2 up_for_retry",
            "often#3 up_for_retry",
            "often#4 failed",
        ]
    );
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_handed_the_variables_that_it_names() -> anyhow::Result<()> {
    let world = World::new().await?;
    for (name, value) in [("region", "eu"), ("shop_api_key", "hunter2"), ("other", "x")] {
        world.store.variable_put(&key(), name, value, None, true).await?;
    }
    world
        .dags(
            "{dag_id: vars, tasks: {a: {operator: bash, with: {command: 'true',
              env: {R: '{{ var.value.region }}', K: '{{ var.value.shop_api_key }}',
                    N: \"{{ var.json.get('none', {}) }}\"}}}}}",
        )
        .await?;
    let mut worker = world.worker(1).await?;
    world.trigger("vars").await?;
    let told = worker.next().await;
    let Told::Run(run) = &told[0] else { panic!("{told:?}") };
    let handed: Vec<_> =
        run.variables.iter().map(|it| json!([it.key, it.value, it.secret])).collect();
    assert_eq!(handed, [json!(["region", "eu", false]), json!(["shop_api_key", "hunter2", true])]);
    // In the database no value can be read.
    let bytes = peek::variables(&world.store).await?;
    assert!(bytes.iter().all(|it| !it.windows(7).any(|part| part == b"hunter2")));
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_told_of_the_last_successful_run() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .dags(
            "{dag_id: prev, max_active_runs: 1, tasks: {a: {operator: bash, with: {command: 'true',
              env: {P: '{{ prev_data_interval_end_success }}'}}}}}",
        )
        .await?;
    let mut worker = world.worker(1).await?;
    let mut seen = Vec::new();
    // The second one fails: the third one is told of the first.
    for (day, end) in
        [(1, Outcome::Success), (2, Outcome::Failed(TryEnd::Permanent)), (3, Outcome::Success)]
    {
        let date = format!("2026-11-0{day}T00:00:00Z").parse()?;
        let trigger = Trigger {
            logical_date: Some(date),
            data_interval: Some((date, date)),
            ..Trigger::manual(DagId::from("prev"), "test", serde_json::Value::Null)
        };
        let run = world.engine.run_trigger(trigger).await?.run;
        let told = worker.next().await;
        let Told::Run(given) = &told[0] else { panic!("{told:?}") };
        let before = given.previous.and_then(|run| run.data_interval_end_micros);
        seen.push(before.map(|micros| micros / 86_400_000_000 - 20_758));
        let fence = fence(given.r#try.as_ref().unwrap());
        worker.report(TryReport::bare(fence, end, None)).await;
        world.ended(run).await?;
    }
    assert_eq!(seen, [None, Some(0), Some(0)]);
    world.close().await
}
