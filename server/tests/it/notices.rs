//! People are told of ends: by real requests to a real web server and a real mail server.

use serde_json::{Value, json};
use subak_core::decide::TryEnd;
use subak_server::engine::{Mark, Outcome};
use subak_testkit::{peek, sinks};

use crate::world::{World, key};

const SHOP: &str = "
dag_id: shop
on_failure: {connection: mail, to: [ops@example.com, ana@example.com]}
on_success: {connection: hook}
tasks:
  load:
    operator: noop
    retries: 1
    retry_delay: 0
    on_retry: [{connection: chat}]
    on_failure: [{connection: hook}, {connection: nowhere}]
    on_success: {connection: chat}
";

async fn connect(world: &World, name: &str, kind: &str, mut value: Value) -> anyhow::Result<()> {
    value["conn_type"] = json!(kind);
    subak_core::connection::check(&value)?;
    Ok(world.store.connection_put(&key(), name, kind, None, &value).await?)
}

/// How many are still to be sent.
async fn waiting(world: &World) -> anyhow::Result<usize> {
    let all = peek::notifications(&world.store).await?;
    Ok(all.into_iter().filter(|(_, given_up)| !given_up).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_are_told_by_mail_chat_and_webhook() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (mut web, mut mail) = (sinks::web().await?, sinks::mail().await?);
    let at = format!("http://127.0.0.1:{}", web.port());
    connect(&world, "chat", "slack", json!({"password": format!("{at}/chat/T0/secret")})).await?;
    let hook = json!({"host": format!("{at}/hook"), "password": "k3y",
        "extra": {"headers": {"X-Team": "ops"}}});
    connect(&world, "hook", "webhook", hook).await?;
    let server = json!({"host": "127.0.0.1", "port": mail.port(),
        "extra": {"from": "subak@example.com", "tls": "none"}});
    connect(&world, "mail", "smtp", server).await?;
    world.dags(SHOP).await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("shop").await?;

    let first = hands.given("load").await;
    hands.end(&first, Outcome::Failed(TryEnd::Transient)).await;
    let chat = web.next().await?;
    assert_eq!(chat.path, "/chat/T0/secret");
    let text = serde_json::from_str::<Value>(&chat.body)?["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("task load of shop failed and is tried again\n"), "{text}");

    // Refused for a moment, it comes again; the mail does not wait for that.
    web.refuse(&["503 Busy"]);
    let second = hands.given("load").await;
    hands.end(&second, Outcome::Failed(TryEnd::Transient)).await;
    let refused = web.next().await?;
    let told = mail.next().await?;
    assert_eq!((&*told.from, told.to.len()), ("subak@example.com", 2));
    assert!(told.data.contains("Subject: [Subak] run of shop failed\r\n"), "{}", told.data);
    let again = web.next().await?;
    assert_eq!((refused.path.as_str(), &refused.body), ("/hook", &again.body));
    let body: Value = serde_json::from_str(&again.body)?;
    assert_eq!((&body["event"], &body["try_number"]), (&json!("failure"), &json!(2)));
    assert_eq!(again.header("x-subak-event"), "failure");
    assert_eq!(again.header("x-team"), "ops");
    let signature = again.header("x-subak-signature");
    assert!(signature.starts_with("sha256=") && signature.len() == 7 + 64, "{signature}");
    assert_eq!(world.ended(run).await?, "failed");

    // What can't be sent yet is kept, with the reason, and holds nothing up.
    world.until("all but one to be sent", async || Ok(waiting(&world).await? == 1)).await?;
    let left = peek::notifications(&world.store).await?;
    assert!(left[0].0.starts_with("nowhere connection `nowhere` does not exist"), "{left:?}");

    // Whoever marks a task knows; that the run has ended well after all is told.
    world.engine.tasks_mark(run, None, Mark::Success, "ana").await?;
    world.engine.tasks_clear(run, None).await?;
    let third = hands.given("load").await;
    hands.end(&third, Outcome::Success).await;
    let mut paths = [web.next().await?.path, web.next().await?.path];
    paths.sort_unstable();
    assert_eq!(paths, ["/chat/T0/secret", "/hook"]);
    world.until("all but one to be sent", async || Ok(waiting(&world).await? == 1)).await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_for_good_is_given_up() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut mail = sinks::mail().await?;
    let server = json!({"host": "127.0.0.1", "port": mail.port(),
        "extra": {"from": "subak@example.com", "tls": "none"}});
    connect(&world, "mail", "smtp", server).await?;
    world
        .dags(
            "{dag_id: two, on_success: [{connection: mail}, {connection: mail, to: [a@b.c]}],
              tasks: {a: {operator: empty}}}",
        )
        .await?;
    mail.refuse(&["451 later", "550 no such user"]);
    let run = world.trigger("two").await?;
    assert_eq!(world.ended(run).await?, "success");
    // Once for a moment, and once for good; the other one goes nowhere at all.
    for _ in 0..2 {
        assert_eq!(mail.next().await?.to, ["a@b.c"]);
    }
    world.until("both to be given up", async || Ok(waiting(&world).await? == 0)).await?;
    let left = peek::notifications(&world.store).await?;
    assert_eq!(left[0].0, "mail a mail needs `to`: addresses that it goes to");
    assert!(left[1].0.contains("no such user"), "{left:?}");
    world.close().await
}
