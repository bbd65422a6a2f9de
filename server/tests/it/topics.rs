//! Topics and their lag, as a worker tells them.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use subak_core::ids::DagId;
use subak_proto::server_message::Message as Heard;
use subak_proto::worker_message::Message as Said;
use subak_proto::{Progress, RequestReply, request::Kind};
use subak_server::engine::Trigger;
use subak_server::{App, router};
use subak_store::access::Role;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::drained::{DRAIN, on_record};
use crate::wire::Wire;
use crate::world::{World, key};

/// The first range is loaded, the second one is open; partition 1 came after them.
const RANGES: &str = r#"
    (1, '[{"partition": 0, "after": 0, "from": 0, "to": 100}]', '{load}', 'committed',
     NULL::bigint, NULL::bigint, NULL::bigint, '{}'),
    (2, '[{"partition": 0, "after": 100, "from": 100, "to": 160}]', '{}', 'open', NULL, NULL, NULL, '{}')
"#;

/// Sends a request, and reads the answer's text.
async fn get(app: App, token: String, path: &str) -> anyhow::Result<(StatusCode, String)> {
    let request = Request::builder().uri(path).header("authorization", format!("Bearer {token}"));
    let response = router(app).oneshot(request.body(Body::empty())?).await?;
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await?;
    Ok((status, String::from_utf8(body.to_vec())?))
}

fn marks(partition: i32, low: i64, high: i64) -> Value {
    json!({"partition": partition, "leader": 1, "replicas": 1, "in_sync": 1, "low": low, "high": high})
}

/// A worker's answer to what it is asked; the kind of the question besides.
fn answer(kind: &Kind) -> (&'static str, Value) {
    let billing = json!({"group": "billing", "committed": {"0": 150, "1": 7}});
    let orders = json!({"name": "orders", "partitions": [marks(0, 0, 200), marks(1, 0, 7)],
                        "groups": [billing]});
    match kind {
        Kind::Topics(_) => {
            let heads = json!([
                {"name": "orders", "partitions": 2, "replicas": 1},
                {"name": "other", "partitions": 1, "replicas": 1},
            ]);
            ("topics", json!({"cluster": "c-1", "brokers": 1, "topics": heads}))
        }
        Kind::Marks(asked) => {
            assert_eq!(asked.topics, ["orders"]);
            ("marks", json!({"cluster": "c-1", "topics": [orders]}))
        }
        Kind::Topic(asked) => {
            assert_eq!((&*asked.topic, asked.records), ("orders", 20));
            let value = json!({"shown": "{\"id\": 1}", "is_text": true, "size_bytes": 9});
            let record = json!({"partition": 1, "offset": 6, "timestamp": 1_000, "value": value});
            ("topic", json!({"cluster": "c-1", "marks": orders, "records": [record]}))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lag_is_what_brokers_have_and_sinks_have_not() -> anyhow::Result<()> {
    let (world, server) = World::served().await?;
    for (id, conn_type) in [("broker", "kafka"), ("shop", "postgres")] {
        let value = json!({"conn_type": conn_type, "host": "db", "password": "hunter2"});
        world.store.connection_put(&key(), id, conn_type, None, &value).await?;
    }
    world.dags(DRAIN).await?;
    on_record(&world, RANGES).await?;
    let user = world.store.user_create("ana", None, Role::Viewer).await?;
    let token = world.store.api_token_create(&user, "test", None, None).await?.expose().to_owned();
    let app = || {
        let (store, requests) = (world.store.clone(), world.requests.clone());
        App::new(store, world.engine.clone(), requests, false, world.stop.child_token())
    };

    // Without a worker, what is recorded is told, and what is not known is said to be missing.
    let (status, told) = get(app(), token.clone(), "/api/v2/pipelines").await?;
    assert_eq!(status, StatusCode::OK);
    let told: Value = serde_json::from_str(&told)?;
    let one = &told["pipelines"][0];
    assert_eq!((&one["lag"], &one["open_ranges"]), (&Value::Null, &json!(1)));
    assert_eq!(one["missing"], "no worker is connected: start one with `subak worker`");
    assert_eq!(
        (&one["partitions"][0]["loaded"], &one["partitions"][0]["position"]),
        (&json!(100), &json!(160))
    );
    let (status, text) = get(app(), token.clone(), "/metrics").await?;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("\nsubak_kafka_heard{connection=\"broker\"} 0\n"), "{text}");
    assert!(!text.contains("\nsubak_topic_lag{"), "{text}");
    let (status, told) = get(app(), token.clone(), "/api/v2/topics?connection=broker").await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(told.contains("no worker is connected"), "{told}");

    let mut worker = Wire::join(server, 1).await?;
    let (asked, mut questions) = tokio::sync::mpsc::unbounded_channel();
    let answering: JoinHandle<anyhow::Result<()>> = tokio::spawn(async move {
        loop {
            let request = worker.until(|heard| match heard {
                Heard::Request(request) => Some(request),
                _ => None,
            });
            let request = request.await?;
            let given: Vec<&str> = request.connections.iter().map(|it| it.id.as_str()).collect();
            assert_eq!(given, ["broker"]);
            let (kind, value) = answer(&request.kind.unwrap());
            let reply = RequestReply {
                id: request.id,
                error: String::new(),
                value: value.to_string().into(),
            };
            worker.say(Said::Reply(reply))?;
            asked.send(kind)?;
        }
    });

    world.engine.pool_put("narrow", 2, Some(false), None).await?;
    // However many ask, the worker is asked once.
    let app = app();
    let (status, text) = get(app.clone(), token.clone(), "/metrics").await?;
    assert_eq!(status, StatusCode::OK, "{text}");
    let of = |partition: i32| {
        format!(
            "{{dag_id=\"drain\",task_id=\"read\",connection=\"broker\",topic=\"orders\",partition=\"{partition}\"}}"
        )
    };
    for line in [
        format!("subak_topic_lag{} 100", of(0)),
        format!("subak_topic_lag{} 7", of(1)),
        format!("subak_topic_high_watermark{} 200", of(0)),
        format!("subak_topic_position{} 160", of(0)),
        "subak_group_lag{connection=\"broker\",group=\"billing\",topic=\"orders\",partition=\"0\"} 50".to_owned(),
        "subak_topic_open_ranges{dag_id=\"drain\",task_id=\"read\"} 1".to_owned(),
        "subak_kafka_heard{connection=\"broker\"} 1".to_owned(),
        "subak_workers 1".to_owned(),
        "subak_runs{state=\"running\"} 0".to_owned(),
        "subak_pool_slots{pool=\"narrow\"} 2".to_owned(),
        "subak_pool_slots_used{pool=\"narrow\"} 0".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in {text}");
    }
    let (_, again) = get(app.clone(), token.clone(), "/metrics").await?;
    let of = "method=\"GET\",route=\"/metrics\"";
    assert!(!text.contains(of), "{text}");
    for line in [
        format!("\nsubak_http_requests_total{{{of},status=\"2xx\"}} 1\n"),
        format!("\nsubak_http_request_duration_seconds_bucket{{{of},le=\"+Inf\"}} 1\n"),
    ] {
        assert!(again.contains(&line), "no {line} in {again}");
    }
    assert!(again.contains("\nsubak_engine_beat_age_seconds "), "{again}");

    let (_, told) =
        get(app.clone(), token.clone(), "/api/v2/topics?connection=broker&limit=1").await?;
    let told: Value = serde_json::from_str(&told)?;
    assert_eq!((&told["total_entries"], &told["cluster"]), (&json!(2), &json!("c-1")));
    assert_eq!(told["topics"][0]["pipelines"][0]["lag"], 107);
    for (wanted, total) in [("topic=orders&offset=1", 1), ("connection=other", 0)] {
        let path = format!("/api/v2/pipelines?{wanted}");
        let (_, told) = get(app.clone(), token.clone(), &path).await?;
        let told: Value = serde_json::from_str(&told)?;
        assert_eq!(told, json!({"pipelines": [], "total_entries": total}), "{wanted}");
    }
    let (_, told) = get(app.clone(), token.clone(), "/api/v2/topics/broker/orders").await?;
    let told: Value = serde_json::from_str(&told)?;
    assert_eq!(told["partitions"][0]["high_watermark"], 200);
    let billing = &told["groups"][0];
    assert_eq!((&billing["group"], &billing["lag"]), (&json!("billing"), &json!(50)));
    assert_eq!(billing["partitions"][0]["committed_offset"], 150);
    assert_eq!(told["records"][0]["value"]["text"], "{\"id\": 1}");
    assert_eq!(told["records"][0]["timestamp"], "1970-01-01T00:00:01Z");
    let (_, page) = get(app.clone(), token.clone(), "/topics").await?;
    assert!(page.contains("107 behind") && page.contains(">other</a>"), "{page}");
    let (_, page) = get(app.clone(), token.clone(), "/topics/broker/orders").await?;
    assert!(page.contains("{&#34;id&#34;: 1}") && page.contains("7 behind"), "{page}");
    assert!(page.contains("<td>billing</td>"), "{page}");
    // Each list from an offset of its own.
    let beyond = "/topics/broker/orders?partitions=1&groups=50";
    let (_, page) = get(app.clone(), token.clone(), beyond).await?;
    assert!(page.contains("2–2 / 2") && !page.contains("<td>billing</td>"), "{page}");
    let before =
        "/topics/broker/orders?pipelines=0&#38;partitions=1&#38;positions=0&#38;groups=0#groups";
    assert!(page.contains(before) && page.contains("7 behind"), "{page}");
    questions.close();
    let mut seen = Vec::new();
    while let Some(kind) = questions.recv().await {
        seen.push(kind);
    }
    assert_eq!(seen, ["marks", "topics", "topic"]);

    for (path, status) in [
        ("/api/v2/topics", StatusCode::UNPROCESSABLE_ENTITY),
        ("/api/v2/topics?connection=shop", StatusCode::UNPROCESSABLE_ENTITY),
        ("/api/v2/topics?connection=none", StatusCode::NOT_FOUND),
        ("/api/v2/topics/none/orders", StatusCode::NOT_FOUND),
        ("/api/v2/topics/broker/orders?records=101", StatusCode::UNPROCESSABLE_ENTITY),
        ("/topics?connection=shop", StatusCode::NOT_FOUND),
        ("/topics/none/orders", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(get(app.clone(), token.clone(), path).await?.0, status, "{path}");
    }
    answering.abort();
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_far_a_running_task_is_stands_in_api_and_page() -> anyhow::Result<()> {
    let (world, server) = World::served().await?;
    world.dags("{dag_id: one, tasks: {read: {operator: noop}}}").await?;
    let user = world.store.user_create("ana", None, Role::Viewer).await?;
    let token = world.store.api_token_create(&user, "test", None, None).await?.expose().to_owned();
    let (store, requests) = (world.store.clone(), world.requests.clone());
    let app = App::new(store, world.engine.clone(), requests, false, world.stop.child_token());
    let mut worker = Wire::join(server, 1).await?;
    let trigger = Trigger {
        run_id: Some("monday".to_owned()),
        ..Trigger::manual(DagId::from("one"), "test", json!({}))
    };
    let run = world.engine.run_trigger(trigger).await?.run;
    let held = worker.assignments(1).await?.remove(0).r#try;
    let note = "records read, 120 offsets left".to_owned();
    worker.say(Said::Progress(Progress { r#try: held, rows: 12_000, bytes: 3_400_000, note }))?;
    worker.heard().await?;

    let api = "/api/v2/dags/one/dagRuns/monday/taskInstances/read";
    let instance = async || {
        let (_, text) = get(app.clone(), token.clone(), api).await?;
        anyhow::Ok(serde_json::from_str::<Value>(&text)?)
    };
    let expected =
        json!({"rows": 12_000, "bytes": 3_400_000, "note": "records read, 120 offsets left"});
    assert_eq!(instance().await?["progress"], expected);
    let page = "/dags/one/runs/monday/tasks/read";
    let shown = "12,000 (3.4 MB) records read, 120 offsets left";
    let (_, text) = get(app.clone(), token.clone(), page).await?;
    assert!(text.contains(shown), "{text}");

    // Of a task that has ended nothing is left of it.
    worker.report(vec![crate::wire::success(held.unwrap_or_default())])?;
    world.ended(run).await?;
    assert_eq!(instance().await?["progress"], Value::Null);
    let (_, text) = get(app.clone(), token.clone(), page).await?;
    assert!(!text.contains("id=\"progress\""), "{text}");
    world.close().await
}
