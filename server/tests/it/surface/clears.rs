//! What a clear reaches: tasks above, runs before and after, only what runs.

use axum::http::{Method, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use subak_core::ids::{DagId, RunKey};
use subak_server::engine::{Outcome, Trigger};
use subak_store::access::Role;
use subak_testkit::peek;

use super::site::Site;

const CHAIN: &str = "
dag_id: chain
tasks:
  a: {operator: noop}
  b: {operator: noop, depends_on: [a]}
  c: {operator: noop, depends_on: [b]}
";

/// A run of this name, so many days after the first of November.
async fn run(site: &Site, name: &str, days: i64) -> anyhow::Result<RunKey> {
    let first: DateTime<Utc> = "2026-11-01T00:00:00Z".parse()?;
    let trigger = Trigger {
        run_id: Some(name.to_owned()),
        logical_date: Some(first + TimeDelta::days(days)),
        ..Trigger::manual(DagId::from("chain"), "test", Value::Null)
    };
    Ok(site.world.engine.run_trigger(trigger).await?.run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clear_reaches_what_it_includes_and_nothing_else() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let world = &site.world;
    world.dags(CHAIN).await?;
    let user = site.program(Role::User).await?;
    let mut hands = world.hands(4).await?;
    let mut runs = Vec::new();
    for (name, days) in [("one", 0), ("two", 1), ("three", 2)] {
        runs.push(run(&site, name, days).await?);
        for task in ["a", "b", "c"] {
            if (name, task) != ("three", "c") {
                let held = hands.given(task).await;
                hands.end(&held, Outcome::Success).await;
            }
        }
    }
    let last = hands.given("c").await;
    // What is cleared, `run/task`, when the second run's tasks are.
    let clear = async |tasks: &[&str], more: Value| {
        let mut body = json!({"dag_run_id": "two", "task_ids": tasks, "only_failed": false});
        let all = body.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        let path = "/api/v2/dags/chain/clearTaskInstances";
        let answer = site.json(&user, Method::POST, path, &body).await?.json();
        let named = |it: &Value| {
            let text = |key: &str| it[key].as_str().unwrap().to_owned();
            format!("{}/{}", text("dag_run_id"), text("task_id"))
        };
        let mut cleared: Vec<String> =
            answer["task_instances"].as_array().unwrap().iter().map(named).collect();
        cleared.sort_unstable();
        anyhow::Ok(cleared)
    };
    assert_eq!(clear(&["b"], json!({})).await?, ["two/b"]);
    let up_and_past = json!({"include_upstream": true, "include_past": true});
    let reached = ["one/a", "one/b", "two/a", "two/b"];
    assert_eq!(clear(&["b"], up_and_past).await?, reached);
    let down_and_future = json!({"include_downstream": true, "include_future": true});
    let reached = ["three/b", "three/c", "two/b", "two/c"];
    assert_eq!(clear(&["b"], down_and_future).await?, reached);

    // Who asks for it is refused where something runs, and nothing is cleared; a look is free.
    let unless = json!({"dag_run_id": "three", "task_ids": ["b", "c"], "only_failed": false,
        "prevent_running_task": true, "dry_run": false});
    let path = "/api/v2/dags/chain/clearTaskInstances";
    let refused = site.json(&user, Method::POST, path, &unless).await?;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text());
    assert!(refused.text().contains("task `c` of run `three` is running"), "{}", refused.text());
    assert_eq!(peek::live_tasks(&world.store, runs[2]).await?, ["c running"]);
    let looked = clear(&["b"], json!({"prevent_running_task": true})).await?;
    assert_eq!(looked, ["two/b"]);

    let running = json!({"only_running": true, "include_past": true, "include_future": true,
        "dry_run": false});
    assert_eq!(clear(&["b", "c"], running).await?, ["three/c"]);
    assert_eq!(hands.stopped(&last).await, "cleared");
    assert_eq!(peek::live_tasks(&world.store, runs[2]).await?, ["c restarting"]);
    hands.end(&last, Outcome::Stopped).await;
    let again = hands.given("c").await;
    assert_eq!((again.fence.instance.run, again.number), (runs[2], 2));
    hands.end(&again, Outcome::Success).await;
    assert_eq!(world.ended(runs[2]).await?, "success");

    let up_and_past = json!({"include_upstream": true, "include_past": true, "dry_run": false});
    assert_eq!(clear(&["b"], up_and_past).await?, ["one/a", "one/b", "two/a", "two/b"]);
    for task in ["a", "a", "b", "b"] {
        let held = hands.given(task).await;
        assert_eq!(held.number, 2, "{task}");
        hands.end(&held, Outcome::Success).await;
    }
    for run in &runs {
        assert_eq!(world.ended(*run).await?, "success");
    }
    // Below them nothing runs again, and the later run was left alone.
    for (run, tries) in runs.iter().zip([5, 5, 4]) {
        assert_eq!(peek::history(&world.store, *run).await?.len(), tries);
    }
    site.world.close().await
}
