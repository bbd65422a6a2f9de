//! What PostgreSQL cannot keep harms nobody but its own try.

use serde_json::{Value, json};
use subak_core::ids::DagId;
use subak_proto::server_message::Message as Heard;
use subak_proto::{Answer as Answered, XCom};
use subak_server::engine::{
    Answer, Outcome, Told, Trigger, TriggerError, TryReport, XComReport, fence,
};
use subak_testkit::peek;

use crate::wire::{Wire, success};
use crate::world::World;

const THREE: &str = "
dag_id: three
tasks: {a: {operator: noop}, b: {operator: noop}, c: {operator: noop}}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_the_database_refuses_fails_alone() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(THREE).await?;
    let mut worker = world.worker(3).await?;
    let run = world.trigger("three").await?;
    let mut reports = Vec::new();
    while reports.len() < 3 {
        for told in worker.next().await {
            let Told::Run(assignment) = told else { panic!("{told:?}") };
            let fence = fence(assignment.r#try.as_ref().expect("an assignment names its try"));
            let mut report = TryReport::bare(fence, Outcome::Success, None);
            if assignment.task_id == "b" {
                report.xcoms.push(XComReport {
                    key: "return_value".to_owned(),
                    value: json!("x\0y"),
                    ..XComReport::default()
                });
            }
            reports.push(report);
        }
    }
    let answers = futures::future::join_all(reports.into_iter().map(|it| worker.report(it))).await;
    assert_eq!(answers, [Answer::Accepted; 3]);
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(world.states(run).await?, ["a success", "b failed", "c success"]);
    let error = peek::text(&world.store, "SELECT error FROM try_history WHERE error IS NOT NULL");
    let error = error.await?.unwrap_or_default();
    assert!(error.contains("could not be recorded"), "{error}");
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nul_in_a_result_is_shown_as_a_sign() -> anyhow::Result<()> {
    let (world, server) = World::served().await?;
    world.dags("{dag_id: one, tasks: {a: {operator: noop}}}").await?;
    let mut worker = Wire::join(server, 1).await?;
    let run = world.trigger("one").await?;
    let held = worker.assignments(1).await?[0].r#try.expect("an assignment names its try");
    let mut report = success(held);
    let value = br#""x\u0000y""#.to_vec();
    report.xcoms.push(XCom { key: "return\0value".to_owned(), value, ..XCom::default() });
    worker.report(vec![report])?;
    let answer = worker.until(|heard| match heard {
        Heard::ReportAnswers(all) => all.answers.first().map(|answer| answer.answer()),
        _ => None,
    });
    assert_eq!(answer.await?, Answered::Accepted);
    assert_eq!(world.ended(run).await?, "success");
    let kept = peek::text(&world.store, "SELECT key || ' ' || value FROM xcom").await?;
    assert_eq!(kept.as_deref(), Some("return\u{FFFD}value \"x\u{FFFD}y\""));
    drop(worker);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_with_what_cannot_be_kept_is_refused_by_itself() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(THREE).await?;
    let manual = |conf: Value| Trigger::manual(DagId::from("three"), "test", conf);
    let named = |id: &str| Trigger { run_id: Some(id.to_owned()), ..manual(Value::Null) };
    let noted = Trigger { note: Some("a\0b".to_owned()), ..manual(Value::Null) };
    let triggers = [
        manual(json!({"a": ["\0"]})),
        manual(json!({"large": "x".repeat(300 << 10)})),
        named("a\0b"),
        named("x$(touch /tmp/x)"),
        named(""),
        // The run of that tick would never be made.
        named("scheduled__2026-11-20T01:00:00+00:00"),
        noted,
    ];
    for trigger in triggers {
        let shown = format!("{:.80}", format!("{trigger:?}"));
        let good = world.engine.run_trigger(manual(json!({"a": 1})));
        let (bad, good) = tokio::join!(world.engine.run_trigger(trigger), good);
        let told = matches!(bad, Err(TriggerError::Conf(_) | TriggerError::Field { .. }));
        assert!(told && good.is_ok(), "{shown}: {bad:?} {good:?}");
    }
    assert!(world.engine.run_trigger(named("nightly~1.2:3+4-x_Y")).await.is_ok());
    world.close().await
}
