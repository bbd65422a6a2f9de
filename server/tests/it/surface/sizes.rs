//! Pages and lists of what is large: a map of ten thousand instances, a DAG of a thousand tasks. Their
//! sizes are bounded. How long they took is printed; no time fails the test, as a machine may be busy.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use subak_core::decide::TryEnd;
use subak_server::engine::{Mark, Outcome};
use subak_store::access::Role;
use subak_testkit::peek;

use super::site::{Answer, Sender, Site};

/// Instances of the map.
const INSTANCES: usize = 10_000;

/// Tasks of the large DAG, and its runs.
const TASKS: usize = 1_000;
const RUNS: usize = 10;

/// Times that each address is asked for.
const TIMES: usize = 3;

fn map() -> String {
    let items: Vec<String> = (0..INSTANCES).map(|n| format!("{{N: '{n}'}}")).collect();
    format!(
        "dag_id: map\nmax_active_tasks: 8\ntasks:\n  \
         each: {{operator: bash, with: {{command: 'true'}}, expand: {{env: [{}]}}}}\n  \
         last: {{operator: noop, depends_on: [each]}}\n",
        items.join(", ")
    )
}

fn thousand() -> String {
    let mut text = "dag_id: thousand\ntasks:\n".to_owned();
    for n in 0..TASKS {
        let above = n.checked_sub(10).map(|up| format!(", depends_on: [t{up}]"));
        writeln!(text, "  t{n}: {{operator: noop{}}}", above.unwrap_or_default()).unwrap();
    }
    text
}

/// Looks at an address a few times, says how long the quickest took, and that it is small enough.
async fn ask(site: &Site, sender: &Sender, path: &str, kib_most: usize) -> anyhow::Result<Answer> {
    let (mut best, mut last) = (Duration::MAX, None);
    for _ in 0..TIMES {
        let began = Instant::now();
        let answer = site.get(sender, path).await?;
        best = best.min(began.elapsed());
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        last = Some(answer);
    }
    let answer = last.expect("it was asked for");
    let bytes = answer.body.len();
    eprintln!("{:>4} ms {:>5} KiB  {path}", best.as_millis(), bytes >> 10);
    assert!(bytes <= kib_most << 10, "{path}: {bytes} bytes");
    Ok(answer)
}

fn rows(page: &Answer) -> usize {
    page.text().matches("<tr").count()
}

/// What there is to see of a run with the map.
async fn look(site: &Site, browser: &Sender, program: &Sender) -> anyhow::Result<()> {
    let run = "/dags/map/runs/large";
    assert!(rows(&ask(site, browser, run, 64).await?) <= 3);
    for part in ["", "?offset=9900", "?state=success&offset=100"] {
        let page = ask(site, browser, &format!("{run}/tasks/each{part}"), 256).await?;
        assert!(rows(&page) <= 101, "{part}");
    }
    ask(site, browser, &format!("{run}/tasks/each?map_index=7777"), 64).await?;
    ask(site, browser, "/dags/map/grid", 64).await?;
    let list = "/api/v2/dags/map/dagRuns/large/taskInstances";
    for path in [
        list.to_owned(),
        format!("{list}?limit=100&offset=9900&order_by=-start_date"),
        format!("{list}/each/listMapped?limit=100&offset=5000"),
        "/api/v2/dags/map/dagRuns/~/taskInstances?limit=100".to_owned(),
    ] {
        let answer = ask(site, program, &path, 256).await?.json();
        assert!(answer["task_instances"].as_array().unwrap().len() <= 100, "{path}");
    }
    let all = site.get(program, &format!("{list}?limit=1")).await?.json();
    assert_eq!(all["total_entries"], INSTANCES + 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_of_ten_thousand_is_shown_in_parts() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let (browser, program) = (site.browser(Role::Op).await?, site.program(Role::Op).await?);
    let world = &site.world;
    world.dags(&map()).await?;
    // Twice as many as run at once: those that a mark stops keep their slots.
    let mut hands = world.hands(16).await?;
    let run = site.begin("map", "large").await?;
    for outcome in [Outcome::Success, Outcome::Failed(TryEnd::Permanent)] {
        let each = hands.given("each").await;
        hands.end(&each, outcome).await;
    }
    eprintln!("{INSTANCES} instances, of which 2 have ended:");
    look(&site, &browser, &program).await?;
    ask(&site, &browser, "/dags/map", 1024).await?;
    let each = peek::tasks_like(&world.store, run, "each").await?;
    world.engine.tasks_mark(run, Some(&each), Mark::Success, "ana").await?;
    let last = hands.given("last").await;
    hands.end(&last, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "success");
    eprintln!("all {INSTANCES} have ended:");
    look(&site, &browser, &program).await?;
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dag_of_a_thousand_tasks_is_shown() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let (browser, program) = (site.browser(Role::Op).await?, site.program(Role::Op).await?);
    site.world.dags(&thousand()).await?;
    for n in 0..RUNS {
        let run = site.begin("thousand", &format!("r{n}")).await?;
        site.world.engine.tasks_mark(run, None, Mark::Success, "ana").await?;
        assert_eq!(site.world.ended(run).await?, "success");
    }
    let begun = site.begin("thousand", "begun").await?;
    let world = &site.world;
    let roots = world.until("the first tasks to be ready", async || {
        Ok(peek::startable(&world.store, begun).await? == 10)
    });
    roots.await?;
    eprintln!("{TASKS} tasks, {RUNS} runs that have ended and one that goes on:");
    ask(&site, &browser, "/", 64).await?;
    let page = ask(&site, &browser, "/dags/thousand", 512).await?;
    assert!(page.text().contains("30 tasks · 10 queued, 20 no status"), "{}", page.text());
    // Around a task: on the run's page, and what its stream sends.
    let run = "/dags/thousand/runs/begun";
    let part = ask(&site, &browser, &format!("{run}?around=T500&depth=1"), 256).await?.text();
    for words in [
        "3 of 1,000 tasks",
        "runs/begun/tasks/t490\" id=\"node-t490\"",
        "depth=1#run-graph\" aria-current",
    ] {
        assert!(part.contains(words), "no {words} in {part}");
    }
    let events = "/runs/begun/events?around=T500&#38;depth=1&#38;print=";
    assert!(part.contains(events) && !part.contains("node-t480"), "{part}");
    let none = ask(&site, &browser, "/dags/thousand?around=zz", 512).await?.text();
    assert!(none.contains("No task has “zz” in its name."), "{none}");
    for first in [0, 900] {
        let path = format!("/dags/thousand/grid?offset={first}");
        let grid = ask(&site, &browser, &path, 512).await?;
        assert_eq!(rows(&grid), 101, "{first}");
        assert!(grid.text().contains(&format!("{}–{} / 1000", first + 1, first + 100)), "{first}");
        let cells = grid.text().matches("class=\"cell ").count();
        assert_eq!(cells, 100 * (RUNS + 1), "{first}");
    }
    for run in ["r3", "begun"] {
        let page = ask(&site, &browser, &format!("/dags/thousand/runs/{run}"), 256).await?;
        assert_eq!(rows(&page), 251, "{run}");
        let path = format!("/dags/thousand/runs/{run}?offset=750");
        let rest = ask(&site, &browser, &path, 256).await?;
        assert_eq!(rows(&rest), 251, "{run}");
        assert!(page.text().contains("1–250 / 1000") && rest.text().contains("751–1000 / 1000"));
    }
    // Of a state: those that have begun, and nothing else; the stream sends the same rows.
    let begun = "/dags/thousand/runs/begun?state=queued";
    let page = ask(&site, &browser, begun, 1024).await?;
    assert_eq!(rows(&page), 11, "{}", page.text());
    assert!(page.text().contains("/runs/begun/events?state=queued&#38;print="));
    ask(&site, &browser, "/dags/thousand/runs/r3/tasks/t999", 64).await?;
    ask(&site, &program, "/api/v2/dags/thousand/tasks", 2048).await?;
    let list = "/api/v2/dags/thousand/dagRuns/r3/taskInstances?limit=100&offset=500";
    let list = ask(&site, &program, list, 256).await?.json();
    assert_eq!(list["total_entries"], TASKS);
    assert_eq!(list["task_instances"].as_array().unwrap().len(), 100);
    site.world.close().await
}
