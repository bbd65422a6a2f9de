//! People are told of ends: by real requests to a real web server and a real mail server.

use serde_json::{Value, json};
use subak_core::decide::TryEnd;
use subak_server::engine::{Answer, Mark, Outcome};
use subak_server::notices::probe;
use subak_testkit::sinks::{Certificate, Encryption};
use subak_testkit::{peek, sinks};

use crate::world::{PATIENCE, World, key};

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
async fn of_a_cancel_the_run_is_told_with_the_cause_and_no_task() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut web = sinks::web().await?;
    let hook = json!({"host": format!("http://127.0.0.1:{}/hook", web.port())});
    connect(&world, "hook", "webhook", hook).await?;
    // What goes nowhere stays, and is seen.
    world
        .dags(
            "{dag_id: slow, on_failure: {connection: hook},
              default_args: {on_failure: {connection: nowhere}},
              tasks: {a: {operator: noop}, b: {operator: noop}}}",
        )
        .await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("slow").await?;
    let (a, b) = (hands.given("a").await, hands.given("b").await);
    let marked = [b.fence.instance.task];
    world.engine.tasks_mark(run, Some(&marked), Mark::Failed, "ana").await?;
    world.engine.run_cancel(run, "dagrun_timeout").await?;
    assert_eq!(hands.end(&a, Outcome::Stopped).await, Answer::Accepted);
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(world.states(run).await?, ["a failed", "b failed"]);
    let told: Value = serde_json::from_str(&web.next().await?.body)?;
    assert_eq!((&told["task_id"], &told["cause"]), (&Value::Null, &json!("dagrun_timeout")));
    let left = peek::notifications(&world.store).await?;
    assert!(!left.iter().any(|(text, _)| text.starts_with("nowhere")), "{left:?}");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_and_webhooks_are_encrypted_for_those_whose_certificate_is_good() -> anyhow::Result<()>
{
    let certificate = Certificate::new()?;
    let mut hook = sinks::web_with(Encryption::Implicit(certificate.clone())).await?;
    let mut smtps = sinks::mail_with(Encryption::Implicit(certificate.clone())).await?;
    let mut starttls = sinks::mail_with(Encryption::StartTls(certificate.clone())).await?;
    let mail = |port: u16, password: &str, extra: Value| {
        let mut value = json!({"conn_type": "smtp", "host": "localhost", "port": port, "login": "ana",
            "password": password, "extra": {"from": "subak@example.com", "ca": certificate.path()}});
        for (key, item) in extra.as_object().unwrap() {
            value["extra"][key] = item.clone();
        }
        value
    };
    let port = hook.port();
    let web = move |path: &str, ca: Option<String>| {
        let mut value = json!({"conn_type": "webhook", "password": "k3y",
            "host": format!("https://localhost:{port}/{path}?token=hunter22")});
        if let Some(ca) = ca {
            value["extra"] = json!({"ca": ca});
        }
        value
    };
    let implicit = mail(smtps.port(), "hunter22", json!({"tls": "implicit"}));
    let upgraded = mail(starttls.port(), "hunter22", json!({}));
    let signed = web("hook", Some(certificate.path()));
    let words = async |value: &Value| match probe(value, PATIENCE).await {
        Ok(found) => found.to_string(),
        Err(error) => format!("{error:#}"),
    };
    assert!(words(&implicit).await.contains(r#""encryption":"TLS""#), "{}", words(&implicit).await);
    assert!(words(&upgraded).await.contains("STARTTLS"), "{}", words(&upgraded).await);
    assert!(words(&mail(starttls.port(), "wrong", json!({}))).await.contains("who are you"));
    assert!(words(&signed).await.contains("200"), "{}", words(&signed).await);
    assert_eq!(hook.next().await?.header("x-subak-event"), "ping");
    hook.refuse(&["404 Not Found"]);
    let refused = words(&signed).await;
    assert!(refused.contains("404") && !refused.contains("hunter22"), "{refused}");
    // Nobody else's certificate, and nobody who offers none.
    for value in [web("hook", None), mail(sinks::mail().await?.port(), "hunter22", json!({}))] {
        let refused = words(&value).await;
        assert!(refused.contains("ertificate") || refused.contains("TLS"), "{refused}");
        assert!(!refused.contains("hunter22"), "{refused}");
    }

    let world = World::new().await?;
    for (name, kind, value) in
        [("one", "smtp", implicit), ("two", "smtp", upgraded), ("three", "webhook", signed)]
    {
        connect(&world, name, kind, value).await?;
    }
    world
        .dags(
            "{dag_id: told, tasks: {a: {operator: empty}}, on_success: [{connection: one, to: [a@b.c]},
              {connection: two, to: [a@b.c]}, {connection: three}]}",
        )
        .await?;
    let run = world.trigger("told").await?;
    assert_eq!(world.ended(run).await?, "success");
    assert!(smtps.next().await?.data.contains("run of told succeeded"));
    assert_eq!(starttls.next().await?.to, ["a@b.c"]);
    hook.next().await?;
    assert_eq!(hook.next().await?.path, "/hook?token=hunter22");
    world.close().await
}
