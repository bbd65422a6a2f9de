//! Rows of a dataset that the database does not hold are asked from a worker.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use subak_core::ids::DagId;
use subak_proto::server_message::Message as Heard;
use subak_proto::worker_message::Message as Said;
use subak_proto::{Dataset, Report, RequestReply, request::Kind};
use subak_server::engine::Trigger;
use subak_server::{App, router};
use subak_store::access::Role;
use tower::ServiceExt as _;

use crate::wire::{Wire, success};
use crate::world::World;

const REFERENCE: &str =
    r#"{"source": {"kind": "csv"}, "schema": [{"name": "n", "type": "Int64", "nullable": false}]}"#;

/// Looks at an address of the API.
async fn get(app: App, token: String, path: String) -> anyhow::Result<(StatusCode, Value)> {
    let request = Request::builder().uri(format!("/api/v2/dags/one/dagRuns/{path}"));
    let request = request.header("authorization", format!("Bearer {token}")).body(Body::empty())?;
    let response = router(app).oneshot(request).await?;
    let status = response.status();
    Ok((status, serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await?)?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_not_kept_are_asked_from_a_worker() -> anyhow::Result<()> {
    let (world, server) = World::served().await?;
    world.dags("{dag_id: one, tasks: {a: {operator: noop}}}").await?;
    let mut worker = Wire::join(server, 1).await?;
    let trigger = Trigger::manual(DagId::from("one"), "test", Value::Null);
    let trigger = Trigger { run_id: Some("r".to_owned()), ..trigger };
    let run = world.engine.run_trigger(trigger).await?.run;
    let held = worker.assignments(1).await?[0].r#try.expect("an assignment names its try");
    let dataset = Dataset {
        name: "output".to_owned(),
        value: REFERENCE.as_bytes().to_vec(),
        stats: br#"{"rows": 3}"#.to_vec(),
        preview: br#"[{"n": 1}]"#.to_vec(),
    };
    worker.report(vec![Report { datasets: vec![dataset], ..success(held) }])?;
    assert_eq!(world.ended(run).await?, "success");

    let user = world.store.user_create("ana", None, Role::Viewer).await?;
    let token = world.store.api_token_create(&user, "test", None, None).await?.expose().to_owned();
    let (store, requests) = (world.store.clone(), world.requests.clone());
    let app = App::new(store, world.engine.clone(), requests, false, world.stop.child_token());
    let rows = |limit: usize| format!("r/taskInstances/a/datasets/output/rows?limit={limit}");
    let ask = |path: String| get(app.clone(), token.clone(), path);

    // What is kept is enough: nobody is asked.
    let (status, kept) = ask(rows(1)).await?;
    assert_eq!((status, kept), (StatusCode::OK, json!({"rows": [{"n": 1}], "missing": null})));
    let (_, listed) = ask("r/taskInstances/a/datasets".to_owned()).await?;
    assert_eq!((&listed["datasets"][0]["rows"], &listed["total_entries"]), (&json!(3), &json!(1)));
    for (wanted, total) in [("offset=1", 1), ("name_pattern=none", 0)] {
        let (_, listed) = ask(format!("r/taskInstances/a/datasets?{wanted}")).await?;
        assert_eq!(listed, json!({"datasets": [], "total_entries": total}), "{wanted}");
    }

    // A worker that was not asked answers first, and is not heard.
    let asking = tokio::spawn(ask(rows(2)));
    let id = request(&mut worker).await?;
    let mut liar = Wire::join(server, 0).await?;
    let reply = |value: &[u8]| {
        Said::Reply(RequestReply { id, error: String::new(), value: value.to_vec() })
    };
    liar.say(reply(b"[]"))?;
    liar.heard().await?;
    worker.say(reply(br#"[{"n": 1}, {"n": 2}, {"n": 3}]"#))?;
    let (status, read) = asking.await??;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(read, json!({"rows": [{"n": 1}, {"n": 2}], "missing": null}));

    // Nobody is there to ask: what is kept is shown, and why it is not more.
    drop((liar, worker));
    world
        .until("nobody to be asked", async || {
            let (_, short) = ask(rows(2)).await?;
            assert_eq!(short["rows"], json!([{"n": 1}]));
            let missing = short["missing"].as_str().unwrap_or_default();
            Ok(missing.contains("no worker is connected"))
        })
        .await?;
    world.close().await
}

/// The id of the preview that the server asks for.
async fn request(worker: &mut Wire) -> anyhow::Result<u64> {
    let asked = worker.until(|heard| match heard {
        Heard::Request(request) => Some(request),
        _ => None,
    });
    let asked = asked.await?;
    let Some(Kind::Preview(preview)) = &asked.kind else { anyhow::bail!("{asked:?}") };
    let reference: Value = serde_json::from_slice(&preview.dataset)?;
    assert_eq!(reference, serde_json::from_str::<Value>(REFERENCE)?);
    assert_eq!(preview.rows, 2);
    Ok(asked.id)
}
