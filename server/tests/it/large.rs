//! Hand-overs that are large together, or alone.

use serde_json::json;
use subak_core::ids::DagId;
use subak_proto::XCom;
use subak_server::engine::Trigger;
use subak_testkit::peek;

use crate::wire::{Wire, success};
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_hand_overs_reach_a_worker_in_several_messages() -> anyhow::Result<()> {
    let (world, server) = World::served().await?;
    let tasks: Vec<String> = (0..16).map(|n| format!("t{n}: {{operator: noop}}")).collect();
    world.dags(&format!("{{dag_id: wide, tasks: {{{}}}}}", tasks.join(", "))).await?;
    let mut worker = Wire::join(server, 16).await?;
    // Each carries it twice, as conf and as params.
    let conf = json!({"large": "x".repeat(250 << 10)});
    let trigger = Trigger::manual(DagId::from("wide"), "test", conf);
    let run = world.engine.run_trigger(trigger).await?.run;
    let assignments = worker.assignments(16).await?;
    worker.report(assignments.into_iter().filter_map(|it| it.r#try).map(success).collect())?;
    assert_eq!(world.ended(run).await?, "success");
    drop(worker);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_that_fits_into_no_message_fails_with_its_reason() -> anyhow::Result<()> {
    let (world, server) = World::served().await?;
    let mut text = "dag_id: narrow\ntasks:\n".to_owned();
    for n in 0..5 {
        text += &format!("  u{n}: {{operator: noop}}\n");
    }
    text += "  last:\n    operator: bash\n    retries: 2\n    depends_on: [u0, u1, u2, u3, u4]\n";
    text += "    with:\n      command: echo\n      env:\n";
    for n in 0..5 {
        text += &format!("        V{n}: \"{{{{ ti.xcom_pull(task_ids='u{n}') }}}}\"\n");
    }
    world.dags(&text).await?;
    let mut worker = Wire::join(server, 8).await?;
    let run = world.trigger("narrow").await?;
    let value = json!("x".repeat(1_000_000)).to_string().into_bytes();
    for assignment in worker.assignments(5).await? {
        let mut report = success(assignment.r#try.expect("an assignment names its try"));
        let (key, value) = ("return_value".to_owned(), value.clone());
        report.xcoms.push(XCom { key, value, ..XCom::default() });
        worker.report(vec![report])?;
    }
    assert_eq!(world.ended(run).await?, "failed");
    let error = peek::text(&world.store, "SELECT error FROM try_history WHERE error IS NOT NULL");
    let error = error.await?.unwrap_or_default();
    assert!(error.contains("hand large data on as a dataset"), "{error}");
    assert_eq!(peek::history(&world.store, run).await?.last().unwrap(), "last#1 failed");
    drop(worker);
    world.close().await
}
