//! Pages that live: what their streams send, and to whom.

use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::BodyDataStream;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use futures::StreamExt as _;
use serde_json::json;
use subak_server::{App, router};
use subak_store::access::Role;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::manage::post;
use super::site::{Answer, Sender, Site, request};

/// A page that is open.
struct Open {
    path: String,
    stream: BodyDataStream,
    said: String,
}

impl Open {
    async fn at(site: &Site, sender: &Sender, path: &str) -> anyhow::Result<Self> {
        let response = site.send(request(sender, &Method::GET, path, &[])?).await?;
        Ok(Self::of(response, path))
    }

    /// Opens the stream of a page that is loaded now, as its browser does.
    async fn of_page(site: &Site, sender: &Sender, page: &str) -> anyhow::Result<Self> {
        Self::at(site, sender, &Self::address(site, sender, page).await?).await
    }

    /// The address of a page's stream.
    async fn address(site: &Site, sender: &Sender, page: &str) -> anyhow::Result<String> {
        let html = site.get(sender, page).await?.text();
        let (_, rest) = html.split_once("hx-sse:connect=\"").with_context(|| html.clone())?;
        Ok(rest.split('"').next().unwrap_or_default().replace("&#38;", "&"))
    }

    fn of(response: Response, path: &str) -> Self {
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let path = path.to_owned();
        Self { path, stream: response.into_body().into_data_stream(), said: String::new() }
    }

    /// Comes back to a server as a browser does that was sent `last`, and returns the first event.
    async fn again(
        server: &Router,
        sender: &Sender,
        path: &str,
        last: &str,
    ) -> anyhow::Result<String> {
        let headers = [("last-event-id", last), ("sec-fetch-site", "same-origin")];
        let asked = request(sender, &Method::GET, path, &headers)?;
        let mut page = Self::of(server.clone().oneshot(asked).await?, path);
        page.until("\n\n").await?;
        Ok(page.said)
    }

    /// Waits until all that was sent has these words.
    async fn until(&mut self, words: &str) -> anyhow::Result<()> {
        while !self.said.contains(words) {
            let piece = timeout(Duration::from_secs(30), self.stream.next()).await;
            let piece = piece.with_context(|| format!("{} without {words}", self.path))?;
            let piece = piece.context("the stream has ended")??;
            self.said.push_str(&String::from_utf8_lossy(&piece));
        }
        Ok(())
    }

    /// Waits until the server ends it.
    async fn end(&mut self) -> anyhow::Result<()> {
        let end = async {
            while self.stream.next().await.transpose()?.is_some() {}
            anyhow::Ok(())
        };
        timeout(Duration::from_secs(20), end).await.with_context(|| self.path.clone())?
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_hears_of_new_runs_and_nobody_of_what_they_may_not_see() -> anyhow::Result<()>
{
    let site = Site::with_runs().await?;
    let (viewer, nobody) = (site.browser(Role::Viewer).await?, site.browser(Role::None).await?);
    let mut open = Vec::new();
    for path in [
        "/live/runs?dag=shop&name=sho",
        "/live/dags?owner=air&shown=active",
        "/dags/shop/events",
        "/dags/shop/grid/events",
    ] {
        let mut page = Open::at(&site, &viewer, path).await?;
        page.until("shop/runs/bad").await?;
        assert!(!page.said.contains("shop/runs/third"), "{}", page.said);
        open.push(page);
    }
    for (path, words) in [
        ("/live/dead-letters?state=open", "partition 2, offset 41"),
        ("/live/pools", "Tasks that name no pool"),
        ("/live/workers", "default 2"),
        ("/live/topics", "No connection of type kafka"),
        ("/dags/shop/runs/bad/gantt/events", "/dags/shop/gantt?run=bad"),
    ] {
        Open::at(&site, &viewer, path).await?.until(words).await?;
    }
    let mut runs = Open::at(&site, &nobody, "/live/runs").await?;
    runs.until("No run yet").await?;
    let mut dags = Open::at(&site, &nobody, "/live/dags").await?;
    dags.until("class=\"empty\"").await?;

    // Whoever is not what they were when their streams began hears no more.
    let mut over = Vec::new();
    for (role, path) in [
        (Role::User, "/live/runs"),
        (Role::Op, "/dags/shop/runs/bad/events"),
        (Role::Admin, "/dags/shop/runs/bad/tasks/load/events?seen=1"),
    ] {
        let sender = site.browser(role).await?;
        over.push(Open::at(&site, &sender, path).await?);
        let store = &site.world.store;
        let user = store.user_named(role.as_str()).await?.unwrap();
        match (role, &sender) {
            (Role::User, Sender::Session(session)) => store.web_session_end(session).await?,
            (Role::Op, _) => store.user_role_set(&user, Role::User).await?,
            _ => store.user_disable(&user).await?,
        }
    }

    site.run("shop", "third").await?;
    for page in &mut open {
        page.until("shop/runs/third").await?;
    }
    assert!(!runs.said.contains("shop") && !dags.said.contains("shop"), "{}", dags.said);
    for page in &mut over {
        page.end().await?;
    }
    for page in &mut open {
        let more = timeout(Duration::ZERO, page.stream.next()).await;
        assert!(!matches!(more, Ok(None)), "{} has ended with others", page.path);
    }
    let absent = request(&viewer, &Method::GET, "/dags/absent/events", &[])?;
    assert_eq!(Answer::read(site.send(absent).await?).await?.status, StatusCode::NOT_FOUND);
    drop(open);
    site.world.close().await
}

/// Pages that live and show runs, and others.
const OF_RUNS: &[&str] = &["/dags", "/runs?dag=shop", "/dags/shop", "/dags/shop/grid"];
const OTHERS: &[&str] = &[
    "/",
    "/dead-letters?state=open",
    "/pools",
    "/workers",
    "/topics",
    "/dags/shop/gantt",
    "/dags/shop/runs/bad",
    "/dags/shop/runs/bad/tasks/load",
    "/dags/wide/runs/one/tasks/each",
    "/dags/wide/runs/one/tasks/each?state=success",
];

/// What pages are sent at once that have just been loaded.
async fn sent_at_once(site: &Site, sender: &Sender) -> anyhow::Result<Vec<String>> {
    let mut open = Vec::new();
    for page in [OF_RUNS, OTHERS].concat() {
        open.push(Open::of_page(site, sender, page).await?);
    }
    let first = open.iter_mut().map(|page| async move {
        let said = timeout(Duration::from_secs(1), page.stream.next()).await.ok();
        said.map(|said| format!("{}: {said:?}", page.path))
    });
    Ok(futures::future::join_all(first).await.into_iter().flatten().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_sent_what_came_after_it_was_loaded_and_nothing_else() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let viewer = site.browser(Role::Viewer).await?;
    let wide =
        "{dag_id: wide, tasks: {each: {operator: bash, expand: {command: ['true', 'true']}}}}";
    site.world.dags(wide).await?;
    site.run("wide", "one").await?;
    let mut sent = sent_at_once(&site, &viewer).await?;
    if !sent.is_empty() {
        // "5 min ago" is made anew each minute, and one may just have passed.
        sent = sent_at_once(&site, &viewer).await?;
    }
    assert!(sent.is_empty(), "{sent:#?}");

    let mut loaded = Vec::new();
    for page in OF_RUNS {
        loaded.push(Open::address(&site, &viewer, page).await?);
    }
    site.run("shop", "third").await?;
    for address in &loaded {
        Open::at(&site, &viewer, address).await?.until("shop/runs/third").await?;
    }
    // An instance of a mapped task that runs again.
    let user = site.program(Role::User).await?;
    let mut map = Open::of_page(&site, &viewer, "/dags/wide/runs/one/tasks/each").await?;
    let again = json!({"dag_run_id": "one", "only_failed": false, "dry_run": false,
                       "task_ids": [["each", 1]]});
    let cleared = "/api/v2/dags/wide/clearTaskInstances";
    let cleared = site.json(&user, Method::POST, cleared, &again).await?;
    assert_eq!(cleared.status, StatusCode::OK, "{}", cleared.text());
    map.until("n c-tries\">2<").await?;
    assert!(map.said.contains("id=\"row-1\""), "{}", map.said);
    drop(map);
    // A page that was sent something older meanwhile, and comes to another server.
    let other = site.world.other("two").await?;
    let (store, engine, requests) =
        (other.store.clone(), other.engine.clone(), other.requests.clone());
    let server = router(App::new(store, engine, requests, false, other.stop.child_token()));
    let mended = Open::again(&server, &viewer, &loaded[1], "1").await?;
    assert!(mended.contains("shop/runs/third"), "{mended}");
    other.close().await?;
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_shows_a_run_that_is_deleted_ends_and_is_told_that_it_is_gone() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let user = site.browser(Role::User).await?;
    let wide =
        "{dag_id: wide, tasks: {each: {operator: bash, expand: {command: ['true', 'true']}}}}";
    site.world.dags(wide).await?;
    site.run("wide", "one").await?;
    let mut open = Vec::new();
    for page in [
        "/dags/shop/runs/bad",
        "/dags/shop/gantt?run=bad",
        "/dags/shop/runs/bad/tasks/load",
        "/dags/wide/runs/one/tasks/each",
    ] {
        open.push(Open::of_page(&site, &user, page).await?);
    }
    for run in ["/dags/shop/runs/bad", "/dags/wide/runs/one"] {
        let deleted = post(&site, &user, &format!("{run}/delete"), "").await?;
        assert_eq!(deleted.status, StatusCode::SEE_OTHER, "{}", deleted.text());
    }
    for page in &mut open {
        page.end().await?;
        let again = request(&user, &Method::GET, &page.path, &[])?;
        let again = site.send(again).await?.status();
        assert_eq!(again, StatusCode::NOT_FOUND, "{}", page.path);
    }
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_goes_on_at_another_server_behind_the_last_line_that_was_sent() -> anyhow::Result<()>
{
    let site = Site::with_runs().await?;
    let viewer = site.browser(Role::Viewer).await?;
    // As its page has it, which was loaded when the second try had said nothing yet.
    let path = "/dags/shop/runs/good/tasks/extract/events?seen=2&after=0.0&number=1";
    let mut page = Open::at(&site, &viewer, path).await?;
    page.until("\n\n").await?;
    let (one, two) = ("<i>1</i><span>opening sales.csv<", "<i>2</i><span>3 rows<");
    assert!(page.said.contains(one) && page.said.contains(two), "{}", page.said);
    let last = page.said.split("id: ").nth(1).and_then(|rest| rest.split('\n').next());
    let last = last.context("an event without an id")?;
    let token = last.split(['-', '.']).nth(2).context("an id without a token")?;
    assert!(last.starts_with(&format!("2-3-{token}.2-")), "{last}");

    // It ends; what browsers bring is all that the next one knows.
    let other = site.world.other("two").await?;
    let (store, engine, requests) =
        (other.store.clone(), other.engine.clone(), other.requests.clone());
    let server = router(App::new(store, engine, requests, false, other.stop.child_token()));
    let again = async |last: &str| Open::again(&server, &viewer, path, last).await;
    let log = "hx-target=\"#log\"";
    // What the page shows beside the log is not known.
    let nothing = again(&format!("2-3-{token}.2")).await?;
    assert!(nothing.contains("#task-live") && !nothing.contains(log), "{nothing}");
    let rest = again(&format!("2-2-{token}.1")).await?;
    assert!(rest.contains("hx-swap=\"beforeend\"") && rest.contains(two), "{rest}");
    assert!(!rest.contains("opening"), "{rest}");
    // A try that came meanwhile takes the place of the one that was shown.
    let newer = again("1-3-1.2").await?;
    assert!(newer.contains("hx-target=\"#log\" hx-swap=\"innerHTML\""), "{newer}");
    assert!(
        newer.contains(one) && newer.contains(two) && !newer.contains(">connection reset<"),
        "{newer}"
    );
    // What is no place at all: the page's own.
    let rubbish = again("rubbish").await?;
    assert!(rubbish.contains(one) && rubbish.contains(two), "{rubbish}");
    drop(page);
    other.close().await?;
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dag_has_the_timeline_of_the_run_that_is_chosen() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let viewer = site.browser(Role::Viewer).await?;
    let get = async |path: &str| anyhow::Ok(site.get(&viewer, path).await?.text());

    let newest = get("/dags/shop/gantt").await?;
    assert!(newest.contains("<option value=\"bad\" selected>bad · failed</option>"), "{newest}");
    assert!(
        newest.contains("hx-sse:connect=\"/dags/shop/runs/bad/gantt/events?print="),
        "{newest}"
    );
    assert!(newest.contains("aria-current=\"page\">Gantt</a>"), "{newest}");
    // The very timeline of the run's page, but for where its choices lead.
    let tasks = |page: &str| {
        let (_, rows) = page.split_once("<tbody id=\"rows\">").unwrap();
        rows.split_once("</tbody>").unwrap().0.to_owned()
    };
    assert_eq!(tasks(&newest), tasks(&get("/dags/shop/runs/bad").await?));
    let failed = get("/dags/shop/gantt?run=bad&state=failed").await?;
    assert_eq!(tasks(&failed).matches("<tr").count(), 1, "{failed}");
    assert!(failed.contains("/dags/shop/gantt?run=bad&#38;state=success#run-tasks"), "{failed}");
    assert!(failed.contains("/runs/bad/gantt/events?state=failed&#38;print="), "{failed}");

    let good = get("/dags/shop/gantt?run=good").await?;
    assert!(good.contains("<option value=\"good\" selected>"), "{good}");
    assert!(tasks(&good).contains("/runs/good/tasks/tell"), "{good}");
    assert!(get("/dags/idle/gantt").await?.contains("No run yet."));
    for absent in ["/dags/absent/gantt", "/dags/shop/gantt?run=absent"] {
        assert_eq!(site.get(&viewer, absent).await?.status, StatusCode::NOT_FOUND, "{absent}");
    }

    let said = [("accept-language", "id-ID,id;q=0.9"), ("sec-fetch-site", "same-origin")];
    for (path, words) in [
        ("/dags/shop/gantt", ["bad · gagal", ">Kisi</a>"]),
        ("/", ["server ini tidak memantau folder", "semua terbaca"]),
    ] {
        let asked = request(&viewer, &Method::GET, path, &said)?;
        let page = Answer::read(site.send(asked).await?).await?.text();
        for word in words {
            assert!(page.contains(word), "{path} without {word}: {page}");
        }
    }
    site.world.close().await
}
