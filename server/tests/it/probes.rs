//! Whether a connection works is asked from a worker.

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use subak_proto::server_message::Message as Heard;
use subak_proto::worker_message::Message as Said;
use subak_proto::{RequestReply, request::Kind};
use subak_server::{App, router};
use subak_store::access::Role;
use tower::ServiceExt as _;

use crate::wire::Wire;
use crate::world::{World, key};

/// Asks for a test of a connection.
async fn test(app: App, token: String, id: &str) -> anyhow::Result<(StatusCode, Value)> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/api/v2/connections/{id}/test"))
        .header("authorization", format!("Bearer {token}"))
        .body(Body::empty())?;
    let response = router(app).oneshot(request).await?;
    let status = response.status();
    Ok((status, serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await?)?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_says_whether_a_connection_works() -> anyhow::Result<()> {
    let (world, server) = World::served().await?;
    let shop =
        json!({"conn_type": "postgres", "host": "db", "login": "etl", "password": "hunter2"});
    world.store.connection_put(&key(), "shop", "postgres", None, &shop).await?;
    let user = world.store.user_create("ana", None, Role::Op).await?;
    let token = world.store.api_token_create(&user, "test", None, None).await?.expose().to_owned();
    let (store, requests) = (world.store.clone(), world.requests.clone());
    let app = App::new(store, world.engine.clone(), requests, false, world.stop.child_token());

    let (status, nobody) = test(app.clone(), token.clone(), "shop").await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(nobody["detail"].as_str().unwrap_or_default().contains("no worker is connected"));
    let (status, _) = test(app.clone(), token.clone(), "none").await?;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let mut worker = Wire::join(server, 1).await?;
    let found = br#"{"server": "PostgreSQL", "version": "15.14", "user": "etl"}"#;
    let works = json!({"status": true, "message": "PostgreSQL: user etl, version 15.14"});
    let why = "connection `shop` (db): the password is wrong";
    let refused = json!({"status": false, "message": why});
    for (error, value, expected) in [("", &found[..], works), (why, b"", refused)] {
        let asking = tokio::spawn({
            let (app, token) = (app.clone(), token.clone());
            async move { test(app, token, "shop").await }
        });
        let asked = worker.until(|heard| match heard {
            Heard::Request(request) => Some(request),
            _ => None,
        });
        let asked = asked.await?;
        let Some(Kind::Probe(probe)) = &asked.kind else { anyhow::bail!("{asked:?}") };
        // It is given this connection, and no other.
        assert_eq!(probe.connection, "shop");
        let given: Vec<&str> = asked.connections.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(given, ["shop"]);
        assert_eq!(serde_json::from_slice::<Value>(&asked.connections[0].value)?, shop);
        let reply = RequestReply { id: asked.id, error: error.to_owned(), value: value.to_vec() };
        worker.say(Said::Reply(reply))?;
        assert_eq!(asking.await??, (StatusCode::OK, expected));
    }
    world.close().await
}
