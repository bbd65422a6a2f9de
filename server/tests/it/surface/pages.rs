//! The pages' markup. A snapshot shows what a change of a template or a handler does to people.

use axum::http::{Method, StatusCode};
use serde_json::json;
use subak_core::decide::TryEnd;
use subak_server::engine::Outcome;
use subak_store::access::Role;
use subak_testkit::peek;

use super::site::{Answer, Sender, Site, request};
use super::steady;
use crate::world::key;

/// What `extract` has handed on besides.
const XCOMS: &str = "
INSERT INTO xcom (run_key, task, map_index, key, value)
SELECT run_key, task, map_index, 'key_' || n, '1'::jsonb
FROM xcom, generate_series(100, 159) AS n WHERE key = 'return_value'";

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
    let no_try = site.get(&admin, "/dags/shop/runs/good/tasks/extract?try=3").await?;
    assert_eq!(no_try.status, StatusCode::NOT_FOUND);
    check(&site, &admin, "task-failed", "/dags/shop/runs/bad/tasks/load").await?;
    check(&site, &admin, "letters", "/dead-letters").await?;
    let of_run = "/dead-letters?dag=shop&run=good&task=extract&reason=e-mail&state=open";
    check(&site, &admin, "letters-of-run", of_run).await?;
    check(&site, &admin, "letters-no-match", "/dead-letters?state=replayed").await?;
    check(&site, &admin, "letter-of-topic", "/dead-letters/1").await?;
    check(&site, &admin, "letter-bytes", "/dead-letters/3").await?;
    check(&site, &admin, "error", "/dags/none").await?;
    // Much that was handed on comes in parts.
    peek::meddle(&site.world.store, XCOMS).await?;
    let task = "/dags/shop/runs/good/tasks/extract?map_index=-1";
    let page = site.get(&admin, task).await?.text();
    assert!(page.contains("1–50 / 61") && page.contains("<dt>key_149</dt>"), "{page}");
    let next = "extract?map_index=-1&#38;xcoms=50&#38;datasets=0#xcoms";
    assert!(page.contains(next) && !page.contains("<dt>key_150</dt>"), "{page}");
    let page = site.get(&admin, &format!("{task}&xcoms=50&datasets=20")).await?.text();
    assert!(page.contains("51–61 / 61") && page.contains("<dt>return_value</dt>"), "{page}");
    assert!(!page.contains("Dataset output"), "{page}");
    site.world.close().await
}

const ROUND: &str = "
dag_id: round
schedule: '30 6 * * *'
timezone: Asia/Jakarta
start_date: 2999-01-02
catchup: false
max_active_runs: 3
max_active_tasks: 7
doc_md: |
  # Rounds
  <b onclick=hacked()>[now](javascript:hacked())</b>
params: {region: {type: string, default: <north>}}
task_groups: {inner: {}}
tasks:
  first: {operator: noop, owner: Mia Tan}
  second: {operator: noop, task_group: inner, depends_on: [first]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dag_says_what_it_is_and_how_its_newest_run_went() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let world = &site.world;
    world.dags(ROUND).await?;
    let viewer = site.browser(Role::Viewer).await?;
    let mut hands = world.hands(1).await?;
    let run = site.begin("round", "one").await?;
    let first = hands.given("first").await;
    hands.end(&first, Outcome::Failed(TryEnd::Permanent)).await;
    assert_eq!(world.ended(run).await?, "failed");
    // The list of DAGs is narrowed by owner and by the newest run's state, both pages and live.
    for (path, is_there) in [
        ("/dags?owner=mia&last=failed", true),
        ("/dags?owner=mia&last=success", false),
        ("/dags?owner=ana&last=failed", false),
        ("/dags?owner=%25&last=", false),
    ] {
        let page = site.get(&viewer, path).await?.text();
        assert_eq!(page.contains("id=\"row-round\""), is_there, "{path}: {page}");
        assert!(is_there || page.contains("No DAG matches."), "{path}: {page}");
    }
    // A newer version has a task that the run does not know.
    world
        .dags(&format!("{ROUND}  third: {{operator: noop, depends_on: [inner.second]}}\n"))
        .await?;

    let page = site.get(&viewer, "/dags/round").await?.text();
    super::markup::assert_harmless("/dags/round", &page);
    for part in [
        "<a href=\"/dags/round/runs/one\">one</a>",
        "<a class=\"aside\" href=\"/runs?dag=round\">",
        "<g class=\"node s-failed\"",
        "<g class=\"node s-upstream\"",
        "<title>third · noop</title>",
        "<dd>Asia/Jakarta</dd>",
        "<dt>From</dt><dd>2999-01-0",
        "<dt>Runs at once</dt><dd>3</dd>",
        "<dt>Tasks of a run at once</dt><dd>7</dd>",
        "<code>&#34;&#60;north&#62;&#34;</code>",
        "# Rounds\n&#60;b onclick=hacked()&#62;[now](javascript:hacked())&#60;/b&#62;</pre>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("runs/one/tasks/third"), "{page}");
    // The run's version has a page with its code, and is compared with any other.
    let of_run = site.get(&viewer, "/dags/round/runs/one").await?.text();
    assert!(of_run.contains("<dd><a href=\"/dags/round/versions/1\">1</a></dd>"), "{of_run}");
    for (path, parts, missing) in [
        (
            "/dags/round/versions/1",
            ["Go to the newest version</a>", "value=\"1\" selected>1<", "y-key\">second</b>"],
            "third",
        ),
        (
            "/dags/round/versions/2",
            ["y-key\">third</b>", "value=\"2\" selected>2<", "id=\"compare\""],
            "Go to the newest",
        ),
        (
            "/dags/round/versions?from=2&to=1",
            ["From version 2 → 1", "d-gone\"><span>-  third", "value=\"1\" selected>1<"],
            "d-add\"><span>+  third",
        ),
    ] {
        let page = site.get(&viewer, path).await?.text();
        super::markup::assert_harmless(path, &page);
        assert!(parts.iter().all(|part| page.contains(part)), "{path}: {page}");
        assert!(!page.contains(missing), "{path}: {page}");
    }
    let none = site.get(&viewer, "/dags/round/versions/3").await?;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    // Groups are folded until somebody wants to see what is in them.
    let grid = site.get(&viewer, "/dags/round/grid").await?.text();
    assert!(grid.contains("class=\"fold\" checked> inner"), "{grid}");
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_follow_the_language_that_a_browser_asks_for() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let sawah = "{dag_id: sawah, schedule: '30 6 * * 1', timezone: Asia/Jakarta,
                  start_date: 2999-01-02, catchup: false, tasks: {air: {operator: noop}}}";
    site.world.dags(sawah).await?;
    let admin = site.browser(Role::Admin).await?;
    let said = [("accept-language", "id-ID,id;q=0.9"), ("sec-fetch-site", "same-origin")];
    for (sender, path, words) in [
        (&Sender::Stranger, "/sign-in", ["Kata sandi", "Satu jadwal, banyak saluran"]),
        (&Sender::Stranger, "/sign-in/link?token=x", ["tautan ini sudah dipakai", "Masuk"]),
        (&admin, "/dags/none", ["<h1>DAG tidak ditemukan</h1>", "Kembali ke halaman pertama"]),
        (&admin, "/no/such/page", ["<h1>Tidak ditemukan</h1>", "Kembali ke halaman pertama"]),
        (&admin, "/dags", ["sawah", "Run terakhir"]),
        (&admin, "/dags/sawah", ["setiap Senin pukul 06:30 (Asia/Jakarta)", ">English</button>"]),
        (&admin, "/runs", [">antre</option>", ">dipicu aset</option>"]),
    ] {
        let asked = request(sender, &Method::GET, path, &said)?;
        let page = Answer::read(site.send(asked).await?).await?.text();
        assert!(page.contains("<html lang=\"id\">"), "{path}: {page}");
        for word in words {
            assert!(page.contains(word), "{path} without {word}: {page}");
        }
        for english in ["Password", "Sign in", "Back to", "not found", ">queued<", "Last run"] {
            assert!(!page.contains(english), "{path} has {english}: {page}");
        }
    }
    // So do the reasons why a task waits, or did not run.
    let run = site.begin("sawah", "one").await?;
    site.world.live(run, &["air queued"]).await?;
    let why = async || -> anyhow::Result<String> {
        let path = "/dags/sawah/runs/one/tasks/air";
        let asked = request(&admin, &Method::GET, path, &said)?;
        Ok(Answer::read(site.send(asked).await?).await?.text())
    };
    let waits = why().await?;
    let nobody = "melayani antrean <code>default</code>: tidak ada worker sama sekali";
    assert!(waits.contains("<h2>Mengapa menunggu</h2>") && waits.contains(nobody), "{waits}");
    assert!(!waits.contains("no worker serves"), "{waits}");
    site.world.engine.run_cancel(run, "cancelled").await?;
    assert_eq!(site.world.ended(run).await?, "failed");
    let skipped = why().await?;
    assert!(skipped.contains("<li>berakhir dilewati: run ini dibatalkan</li>"), "{skipped}");
    let english = site.get(&admin, "/dags/sawah/runs/one/tasks/air").await?.text();
    assert!(english.contains("<li>ended as skipped: its run was cancelled</li>"), "{english}");
    // What a person has chosen goes before it, also where nobody is signed in yet.
    for (chosen, word) in [("en", "User name"), ("id", "Nama pengguna"), ("de", "Nama pengguna")] {
        let cookie = format!("other=1; subak-language={chosen}");
        let said = [("accept-language", "id-ID"), ("cookie", &*cookie)];
        let asked = request(&Sender::Stranger, &Method::GET, "/sign-in", &said)?;
        let page = Answer::read(site.send(asked).await?).await?.text();
        assert!(page.contains(word), "{chosen}: {page}");
    }
    let dags = site.get(&admin, "/dags").await?.text();
    assert!(dags.contains("id=\"language\" lang=\"id\">Bahasa Indonesia</button>"), "{dags}");
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_page_counts_all_that_is_late() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let (viewer, store) = (site.browser(Role::Viewer).await?, &site.world.store);
    for n in 0..10 {
        let dag = format!("late{n}");
        site.world
            .dags(&format!(
                "{{dag_id: {dag}, max_active_runs: 1, tasks: {{t: {{operator: noop}}}}}}"
            ))
            .await?;
        site.begin(&dag, "first").await?;
        site.begin(&dag, "second").await?;
    }
    // One of each goes on, and the other waits for its turn: for an hour, as it looks.
    let waiting = site.world.until("runs to wait", async || {
        let states = "SELECT string_agg(state::text || n, ' ' ORDER BY state::text)
                      FROM (SELECT state, count(*) AS n FROM run GROUP BY state) s";
        Ok(peek::text(store, states).await?.as_deref() == Some("queued10 running10"))
    });
    waiting.await?;
    let hour = "UPDATE run SET run_after = now() - interval '1 hour' WHERE state = 'queued'";
    peek::meddle(store, hour).await?;
    let page = site.get(&viewer, "/").await?.text();
    assert!(page.contains("s-retry\" href=\"#home-late\"><b>10</b>"), "{page}");
    let (_, late) = page.split_once("id=\"home-late\"").expect("there is a list of them");
    assert_eq!(late.matches("href=\"/dags/late").count(), 8, "{page}");
    assert!(late.contains("and 2 more") && late.contains("1 runs wait"), "{late}");
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
