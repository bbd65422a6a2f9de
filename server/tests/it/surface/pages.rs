//! The pages' markup. A snapshot shows what a change of a template or a handler does to people.

use axum::http::{Method, StatusCode};
use serde_json::json;
use subak_store::access::Role;

use super::site::{Answer, Sender, Site, request};
use super::steady;
use crate::world::key;

async fn check(site: &Site, sender: &Sender, name: &str, path: &str) -> anyhow::Result<()> {
    let answer = site.get(sender, path).await?;
    assert!(answer.header("content-type").starts_with("text/html"), "{path}");
    insta::assert_snapshot!(name, steady::page(&answer.text()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_as_reviewed() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let admin = site.browser(Role::Admin).await?;
    check(&site, &Sender::Stranger, "sign-in", "/sign-in?next=%2Fdags%2Fshop").await?;
    check(&site, &admin, "dags", "/dags").await?;
    check(&site, &admin, "dags-no-match", "/dags?name=zzz").await?;
    check(&site, &admin, "home", "/").await?;
    check(&site, &admin, "runs", "/runs").await?;
    check(&site, &admin, "pools", "/pools").await?;
    check(&site, &admin, "variables", "/variables").await?;
    check(&site, &admin, "workers", "/workers").await?;
    check(&site, &admin, "import-errors", "/import-errors").await?;
    check(&site, &admin, "connection-new", "/connections/new").await?;
    check(&site, &admin, "dag", "/dags/shop").await?;
    check(&site, &admin, "dag-without-runs", "/dags/idle").await?;
    check(&site, &admin, "versions", "/dags/shop/versions?from=1&to=1").await?;
    check(&site, &admin, "trigger", "/dags/shop/trigger").await?;
    check(&site, &admin, "run-good", "/dags/shop/runs/good").await?;
    check(&site, &admin, "run-bad", "/dags/shop/runs/bad").await?;
    check(&site, &admin, "task", "/dags/shop/runs/good/tasks/extract").await?;
    check(&site, &admin, "task-first-try", "/dags/shop/runs/good/tasks/extract?try=1").await?;
    check(&site, &admin, "task-failed", "/dags/shop/runs/bad/tasks/load").await?;
    check(&site, &admin, "letters", "/dead-letters").await?;
    let of_run = "/dead-letters?dag=shop&run=good&task=extract&reason=e-mail&state=open";
    check(&site, &admin, "letters-of-run", of_run).await?;
    check(&site, &admin, "letters-no-match", "/dead-letters?state=replayed").await?;
    check(&site, &admin, "letter-of-topic", "/dead-letters/1").await?;
    check(&site, &admin, "letter-bytes", "/dead-letters/3").await?;
    check(&site, &admin, "error", "/dags/none").await?;
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_look_sees_no_button() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let viewer = site.browser(Role::Viewer).await?;
    for path in [
        "/",
        "/dags",
        "/runs",
        "/dags/shop",
        "/dags/shop/runs/bad",
        "/dags/shop/runs/bad/tasks/load",
    ] {
        let text = site.get(&viewer, path).await?.text().replace("=\"/runs\"", "");
        for action in
            ["/runs\"", "/trigger\"", "/cancel\"", "/clear\"", "/mark\"", "/note\"", "/delete\""]
        {
            assert!(!text.contains(action), "{path} offers {action}");
        }
    }
    assert_eq!(site.get(&viewer, "/dags/shop/trigger").await?.status, StatusCode::FORBIDDEN);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_installation_says_what_to_do() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let admin = site.browser(Role::Admin).await?;
    check(&site, &admin, "no-dags", "/dags").await?;
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_and_topics_without_a_worker_say_so() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let admin = site.browser(Role::Admin).await?;
    check(&site, &admin, "no-topics", "/topics").await?;
    check(&site, &admin, "no-connections", "/connections").await?;
    let store = &site.world.store;
    let shop = json!({"conn_type": "postgres", "host": "db", "port": 5433, "schema": "shop",
                      "login": "etl", "password": "hunter2"});
    store.connection_put(&key(), "shop", "postgres", Some("The shop's own"), &shop).await?;
    let broker = json!({"conn_type": "kafka", "host": "a,b:9093", "login": "etl",
                        "password": "hunter2"});
    store.connection_put(&key(), "broker", "kafka", None, &broker).await?;
    check(&site, &admin, "connections", "/connections").await?;
    check(&site, &admin, "topics-without-worker", "/topics?connection=broker").await?;
    check(&site, &admin, "topic-without-worker", "/topics/broker/orders").await?;
    let same = [("sec-fetch-site", "same-origin")];
    let asked = request(&admin, &Method::POST, "/connections/shop/test", &same)?;
    let tested = Answer::read(site.send(asked).await?).await?;
    assert_eq!(tested.status, StatusCode::OK);
    insta::assert_snapshot!("connections-tested", steady::page(&tested.text()));
    assert!(!tested.text().contains("hunter2"));
    site.world.close().await
}
