//! A DAG of a thousand tasks and a map of ten thousand instances, opened, scrolled and watched. Times are
//! printed, beside what they must be on a machine that does nothing else; what fails the test is what does
//! not depend on the machine: how much is sent, and how many elements a page has.

use std::fmt::Write as _;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::{Scene, dags};

/// A page is to be loaded within this.
const LOAD_MS: f64 = 500.0;
/// The most elements of a page, and KiB of it as they travel.
const NODES_MOST: u64 = 10_000;
const KIB_MOST: u64 = 60;
/// Of what is sent when two of a thousand tasks have changed, the graph's layers included; all of it would
/// be 120.
const CHANGE_KIB_MOST: u64 = 36;

const LAYERS: usize = 10;
const WIDTH: usize = 100;
/// Of the thousand tasks: a grid's columns.
const RUNS: usize = 10;
const INSTANCES: usize = 10_000;

const SMALL: &str =
    "{dag_id: small, tasks: {a: {operator: noop}, b: {operator: noop, depends_on: [a]}}}";

/// Notes long tasks, and what the stream of the page sends.
const WATCH: &str = "
    window.longs = [0]; window.sent = [];
    new PerformanceObserver((list) => longs.push(...list.getEntries().map((it) => it.duration)))
        .observe({ type: 'longtask', buffered: true });
    document.addEventListener('htmx:sse:after:message', (event) => sent.push(event.detail.message.data.length));";

/// Scrolls to the end, a bit with each frame, and notes how long the frames took.
const SCROLL: &str = "
    window.frames_ms = [0]; window.is_done = false;
    let y = 0, last = performance.now();
    const step = (now) => {
        frames_ms.push(now - last); last = now;
        scrollTo(0, y += 400);
        for (const it of document.querySelectorAll('.scroll')) it.scrollTop += 100;
        if (y < document.documentElement.scrollHeight) requestAnimationFrame(step); else window.is_done = true;
    };
    requestAnimationFrame(step);";

/// How a page was loaded and scrolled. Times in milliseconds.
#[derive(Debug, Deserialize)]
struct Figures {
    load: f64,
    /// First contentful paint.
    paint: f64,
    nodes: u64,
    bytes: u64,
    longest_task: f64,
    longest_frame: f64,
    sent: Vec<u64>,
}

const FIGURES: &str = "
    const page = performance.getEntriesByType('navigation')[0];
    const paint = performance.getEntriesByName('first-contentful-paint')[0];
    return {
        load: page.loadEventEnd, paint: paint ? paint.startTime : 0,
        nodes: document.querySelectorAll('*').length, bytes: page.encodedBodySize,
        longest_task: Math.max(...longs), longest_frame: Math.max(...frames_ms), sent,
    };";

/// Layers of tasks, each below three of the layer before; all of them wait for two that a test lets go.
fn thousand(folder: &str) -> String {
    let mut text = "dag_id: thousand\nmax_active_tasks: 1000\ntasks:\n".to_owned();
    for (name, above) in [("first", ""), ("second", "first")] {
        let command = format!("until [ -e {folder}/go-{name} ]; do sleep 0.05; done");
        writeln!(
            text,
            "  {name}: {{operator: bash, depends_on: [{above}], with: {{command: '{command}'}}}}"
        )
        .unwrap();
    }
    // With the two a thousand.
    for n in 0..LAYERS * WIDTH - 2 {
        let (layer, place) = (n / WIDTH, n % WIDTH);
        let above: Vec<String> = match layer.checked_sub(1) {
            None => vec!["second".to_owned()],
            Some(up) => [0, 1, 7].map(|by| format!("l{up}_{}", (place + by) % WIDTH)).into(),
        };
        let above = above.join(", ");
        writeln!(text, "  l{layer}_{place}: {{operator: noop, depends_on: [{above}]}}").unwrap();
    }
    text
}

/// A group that is mapped: no task of it needs a process.
fn map() -> String {
    let items: Vec<String> = (0..INSTANCES).map(|n| n.to_string()).collect();
    format!(
        "dag_id: map\nmax_active_tasks: {INSTANCES}\n\
         task_groups: {{g: {{expand: {{n: [{}]}}}}}}\n\
         tasks:\n  each: {{operator: noop, task_group: g}}\n  \
         last: {{operator: noop, depends_on: [g]}}\n",
        items.join(", ")
    )
}

/// Loads a page, scrolls through it, prints how that was, and says whether it is small.
fn look(scene: &Scene, path: &str) -> Figures {
    let (browser, loaded) = (&scene.browser, minute());
    scene.open(path);
    browser.script(WATCH);
    browser.until("performance.getEntriesByType('navigation')[0].loadEventEnd > 0");
    browser.script(SCROLL);
    browser.until("window.is_done");
    let it: Figures = serde_json::from_value(browser.script(FIGURES)).unwrap();
    let verdict = if it.load < LOAD_MS { "<" } else { "NOT <" };
    eprintln!(
        "load {:>4.0} ms ({verdict} {LOAD_MS:.0}), paint {:>4.0} ms, longest task {:>3.0} ms, frame \
         {:>3.0} ms; {:>5} elements, {:>3} KiB  {path}",
        it.load,
        it.paint,
        it.longest_task,
        it.longest_frame,
        it.nodes,
        it.bytes >> 10,
    );
    assert!(it.nodes <= NODES_MOST, "{path}: {} elements", it.nodes);
    assert!(it.bytes <= KIB_MOST << 10, "{path}: {} bytes", it.bytes);
    if !it.sent.is_empty() && minute() != loaded {
        // How long ago something was is told anew each minute.
        return look(scene, path);
    }
    // Nothing has changed since it was loaded.
    assert_eq!(it.sent, Vec::<u64>::new(), "{path}");
    it
}

/// The minute that the clock shows.
fn minute() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 60
}

#[test]
fn what_is_large_opens_soon_and_stays_smooth() {
    let place = dags::place();
    let folder = place.path().to_str().unwrap().to_owned();
    let save = |name: &str, text: &str| {
        fs::write(place.path().join(format!("dags/{name}.yaml")), text).unwrap();
    };
    save("small", SMALL);
    save("thousand", &thousand(&folder));
    save("map", &map());
    let go = |name: &str| fs::write(format!("{folder}/go-{name}"), "").unwrap();
    let scene = Scene::at(place);
    let browser = &scene.browser;
    browser.look_through(1280, "light");
    scene.sign_in();
    go("first");
    go("second");
    for n in 1..RUNS {
        scene.subak.subak(&["runs", "trigger", "thousand", "--run-id", &format!("more-{n}")]);
    }
    for dag in ["small", "thousand", "map"] {
        scene.run(dag, "one");
    }
    scene.open_until(
        "/runs?dag=thousand&state=running",
        "!document.querySelector('main a[href^=\"/dags/thousand/runs/\"]')",
    );

    look(&scene, "/dags/small/runs/one");
    for path in [
        "/dags/thousand",
        "/dags/thousand/grid",
        "/dags/thousand/grid?offset=900",
        "/dags/thousand/gantt",
        "/dags/thousand/runs/one",
        "/dags/thousand/runs/one?offset=750",
        "/dags/map",
        "/dags/map/grid",
        "/dags/map/runs/one",
        "/dags/map/runs/one/tasks/g.each",
        "/dags/map/runs/one/tasks/g.each?state=success&offset=9900",
    ] {
        look(&scene, path);
    }

    // A run that goes on: what the page was loaded with is not sent again, and of what changes only that.
    fs::remove_file(format!("{folder}/go-first")).unwrap();
    fs::remove_file(format!("{folder}/go-second")).unwrap();
    scene.subak.subak(&["runs", "trigger", "thousand", "--run-id", "two"]);
    let row = |id: &str| {
        format!("document.querySelector('#rows a[href$=\"/two/tasks/{id}\"]')?.closest('tr')")
    };
    let is = |id: &str, state: &str| format!("{}?.querySelector('.s-{state}')", row(id));
    scene.open_until("/dags/thousand/runs/two", &is("first", "running"));
    // From here on the stream knows what the page shows.
    browser.until("document.querySelector('[hx-sse\\\\:connect]')._htmx?.sse?.reader");
    browser.script(WATCH);
    browser.script(&format!("window.mark = 1; const it = {}; it.mark = 1", row("l0_50")));
    go("first");
    browser.until(&is("second", "running"));
    browser.until(&is("first", "success"));
    let sent = browser.script("return sent");
    let sent: Vec<u64> = serde_json::from_value(sent).unwrap();
    eprintln!("{sent:?} bytes sent as two tasks of a thousand changed");
    assert!(!sent.is_empty());
    assert!(sent.iter().all(|bytes| *bytes <= CHANGE_KIB_MOST << 10), "{sent:?}");
    // A row that did not change is the very same element, and all rows are in the order of a page that
    // is loaded now.
    assert_eq!(browser.script(&format!("return {}.mark", row("l0_50"))), 1);
    let order = "return [...document.querySelectorAll('#rows a.name')].map((it) => it.innerText)";
    let live = browser.script(order);
    assert_eq!(browser.script("return window.mark"), 1);
    scene.open("/dags/thousand/runs/two");
    assert_eq!(browser.script(order), live);
    assert_eq!(live.as_array().unwrap().len(), 250);

    // The rest of it in a moment, while the page is scrolled.
    browser.script(WATCH);
    browser.script("window.mark = 1");
    go("second");
    browser.script(SCROLL);
    browser.until("document.querySelector('#run-state.s-success')");
    browser.until("window.is_done");
    let it: Figures = serde_json::from_value(browser.script(FIGURES)).unwrap();
    eprintln!(
        "longest task {:.0} ms, frame {:.0} ms while a thousand tasks ran; sent: {:?} bytes",
        it.longest_task, it.longest_frame, it.sent
    );
    assert_eq!(browser.script("return window.mark"), 1);
    assert_eq!(browser.script("return document.querySelectorAll('#rows tr').length"), 250);
    assert_eq!(
        browser.script("return document.querySelectorAll('#rows .badge:not(.s-success)').length"),
        0
    );
    scene.assert_no_complaint();
    scene.end();
}
