//! `retry_policy`, and variables on their way to a task.

use serde_json::json;
use subak_core::decide::TryEnd;
use subak_core::ids::DagId;
use subak_proto::{Assignment, XCom};
use subak_server::engine::{Outcome, Told, Trigger, TryReport, XComReport, fence};
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

/// The values that an assignment carries, by whose they are.
fn carried(given: &Assignment) -> Vec<String> {
    let value = |xcom: &XCom| String::from_utf8_lossy(&xcom.value).into_owned();
    given
        .xcoms
        .iter()
        .map(|xcom| format!("{:?} {} {}", xcom.instance, xcom.prior, value(xcom)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_told_what_single_instances_and_earlier_runs_returned() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .dags(
            "{dag_id: told, tasks: {
              each: {operator: bash, with: {command: 'true'}, expand: {env: [{N: a}, {N: b}, {N: c}]}},
              last: {operator: noop},
              sum: {operator: bash, depends_on: [each, last], with: {command: 'true', env: {
                E: \"{{ ti.xcom_pull('each', map_indexes=[2, 0]) | join }}\",
                L: \"{{ ti.xcom_pull('last', include_prior_dates=True) }}\"}}}}}",
        )
        .await?;
    let mut worker = world.worker(1).await?;
    let mut seen = Vec::new();
    for day in 1..=3 {
        let date = format!("2026-11-0{day}T00:00:00Z").parse()?;
        let trigger = Trigger {
            logical_date: Some(date),
            data_interval: Some((date, date)),
            ..Trigger::manual(DagId::from("told"), "test", json!({}))
        };
        let run = world.engine.run_trigger(trigger).await?.run;
        for _ in 0..5 {
            let told = worker.next().await;
            let Told::Run(given) = &told[0] else { panic!("{told:?}") };
            let fence = fence(given.r#try.as_ref().unwrap());
            let result = match given.task_id.as_str() {
                "each" => Some(json!(fence.instance.map_index.0)),
                // Only the first run's has something to say.
                "last" => (day == 1).then(|| json!("first")),
                _ => {
                    seen.push(carried(given));
                    None
                }
            };
            let returned = result.map(|value| XComReport {
                key: "return_value".to_owned(),
                value,
                ..XComReport::default()
            });
            let bare = TryReport::bare(fence, Outcome::Success, None);
            worker.report(TryReport { xcoms: returned.into_iter().collect(), ..bare }).await;
        }
        assert_eq!(world.ended(run).await?, "success");
    }
    let told = ["Some(0) false 0", "Some(2) false 2", "None true \"first\""];
    assert_eq!(seen, [told, told, told]);
    world.close().await
}
