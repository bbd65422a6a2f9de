//! Every page from phone to wide screen, light and dark: pictures to look at, and rules that hold on all
//! of them. A page is opened once; what changes is the window.
//!
//! The pictures are written below the target folder. `SUBAK_PICTURES=1` also writes the ones that
//! the documents show into docs/images.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::driver::Browser;
use super::{Scene, dags};

/// A page as it is named in the pictures, and where it is.
const PAGES: &[(&str, &str)] = &[
    ("home", "/"),
    ("dags", "/dags"),
    ("no-match", "/dags?name=zzz"),
    ("runs", "/runs"),
    ("dag", "/dags/nightly_warehouse_refresh_of_all_regional_subsidiaries"),
    ("dag-unused", "/dags/hostile"),
    ("grid", "/dags/nightly_warehouse_refresh_of_all_regional_subsidiaries/grid"),
    ("gantt", "/dags/nightly_warehouse_refresh_of_all_regional_subsidiaries/gantt"),
    ("grid-of-groups", "/dags/regions/grid"),
    ("versions", "/dags/greeting/versions"),
    ("versions-diff", "/dags/greeting/versions?from=1&to=2"),
    ("trigger", "/dags/greeting/trigger"),
    ("run", "/dags/retail_retention/runs/november"),
    ("run-failed", "/dags/nightly_warehouse_refresh_of_all_regional_subsidiaries/runs/night-3"),
    ("task", "/dags/retail_retention/runs/november/tasks/unique_customers"),
    (
        "task-failed",
        "/dags/nightly_warehouse_refresh_of_all_regional_subsidiaries/runs/night-3/tasks/\
         stock_levels_of_every_regional_subsidiary",
    ),
    ("map", "/dags/regions/runs/one/tasks/region.copy"),
    ("map-of-state", "/dags/regions/runs/one/tasks/region.copy?state=failed"),
    ("task-of-map", "/dags/regions/runs/one/tasks/region.copy?map_index=2"),
    ("dead-letters", "/dead-letters"),
    ("dead-letters-of-run", "/dead-letters?dag=sales&run=monday&task=read&state=open"),
    ("dead-letter", "/dead-letters/1"),
    ("dead-letter-bytes", "/dead-letters/3"),
    ("task-rejected", "/dags/sales/runs/monday/tasks/read"),
    ("topics", "/topics"),
    ("topic", "/topics/mock/users"),
    ("connections", "/connections"),
    ("connection-new", "/connections/new"),
    ("connection-edit", "/connections/mock/edit"),
    ("pools", "/pools"),
    ("variables", "/variables"),
    ("workers", "/workers"),
    ("import-errors", "/import-errors"),
    ("audit", "/audit"),
    ("users", "/users"),
    ("tokens", "/tokens"),
    ("api", "/docs/api"),
    ("error", "/dags/no_such_dag"),
];

/// Pictures that the documents show: page, width, theme.
const SHOWN: &[(&str, u32, &str)] = &[
    ("home", 1280, "light"),
    ("dag", 1280, "light"),
    ("grid", 1280, "light"),
    ("trigger", 1280, "light"),
    ("run", 1280, "light"),
    ("run-failed", 1280, "dark"),
    ("task", 1280, "light"),
    ("dead-letters", 1280, "light"),
    ("run", 390, "dark"),
];

/// How each page is looked at. Between the first and the last width are those at which the style sheet
/// moves things: 720, 860, 960 and 1040.
const LOOKS: &[(u32, &str)] = &[
    (1280, "light"),
    (1920, "light"),
    (1024, "light"),
    (768, "light"),
    (1280, "dark"),
    (390, "dark"),
    (390, "light"),
];
/// The widths of pictures.
const PICTURED: [u32; 2] = [1280, 390];
/// Where every text is held to its contrast: elsewhere it has the same colours.
const READ_AT: u32 = 1280;

const HEIGHT_MOST: u64 = 2200;
/// Of a picture in the documents.
const SHOWN_HEIGHT_MOST: u64 = 860;
const SHOWN_BYTES_MOST: u64 = 150 << 10;

/// Texts with less contrast than WCAG 2.2 AA asks for, and how many were looked at.
const CONTRAST: &str = include_str!("contrast.js");

/// A group that is mapped; one of its instances fails.
const REGIONS: &str = r#"
dag_id: regions
task_groups: {region: {expand: {area: [north, south, east, west]}}}
tasks:
  copy:
    operator: bash
    task_group: region
    with: {command: "echo copying $AREA; test $AREA != east", env: {AREA: "{{ group.area }}"}}
  check: {operator: noop, task_group: region, depends_on: [copy]}
"#;

/// Records for the page of a topic.
const FEED: &str = "dag_id: feed\ntasks:\n  make:\n    operator: generate\n    with: {profile: \
                    random_users, count: 40, connection: mock, topic: users}\n";

#[test]
fn every_page_holds_at_every_width_and_in_the_dark() {
    let place = dags::place();
    let file = |name: &str| place.path().join(format!("dags/{name}.yaml"));
    fs::write(file("regions"), REGIONS).unwrap();
    fs::write(file("feed"), FEED).unwrap();
    let greeting = file("greeting");
    let scene = Scene::at(place);
    let text = fs::read_to_string(&greeting).unwrap();
    fs::write(&greeting, text.replace("hello $NAME", "good morning, $NAME")).unwrap();
    scene.go();
    let mut broker = add_broker(&scene);
    scene.run("feed", "one");
    for night in 1..=3 {
        let id = format!("night-{night}");
        scene.run("nightly_warehouse_refresh_of_all_regional_subsidiaries", &id);
        scene.run("greeting", &id);
    }
    scene.run("regions", "one");
    scene.run("sales", "monday");
    for month in ["august", "september", "october", "november"] {
        scene.run("retail_retention", month);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();

    scene.open("/sign-in");
    look(&scene.browser, "sign-in", &folder);
    let (width, theme) = LOOKS[0];
    scene.browser.look_through(width, theme);
    scene.sign_in();
    // What is looked at below is there.
    let two = "document.querySelectorAll('main table tbody tr').length === 2";
    scene.open_until("/dags/greeting/versions", two);
    for (page, path) in PAGES {
        scene.open(path);
        scene.browser.until("document.readyState === 'complete'");
        look(&scene.browser, page, &folder);
        if *page == "error" {
            // Its status is 404, which the console says.
            assert_eq!(scene.browser.complaints().len(), 1);
        }
        scene.assert_no_complaint();
    }
    drop(broker.stdin.take());
    broker.wait().unwrap();
    scene.end();
}

/// A broker of which the pages know. It ends with its input.
fn add_broker(scene: &Scene) -> Child {
    let mut broker = Command::new(env!("CARGO_BIN_EXE_subak"))
        .arg("mock-kafka")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(broker.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let add = ["connections", "add", "mock", "--type", "kafka", "--host", address.trim()];
    assert!(scene.subak.subak(&add).status.success());
    broker
}

/// Looks at the page that is open, in every way.
fn look(browser: &Browser, page: &str, folder: &Path) {
    for &(width, theme) in LOOKS {
        browser.look_through(width, theme);
        check(browser, page, width);
        if width == READ_AT {
            check_contrast(browser, page, theme);
        }
        if PICTURED.contains(&width) {
            browser.picture(&folder.join(format!("{page}-{width}-{theme}.png")), HEIGHT_MOST);
        }
        show(browser, page, width, theme);
    }
}

/// Asserts that every text can be read.
fn check_contrast(browser: &Browser, page: &str, theme: &str) {
    let found = browser.script(CONTRAST);
    assert_eq!(found["low"], json!([]), "{page} in {theme}");
    assert!(found["count"].as_u64() > Some(3), "{page}: {found}");
}

/// Asserts what holds on every page.
fn check(browser: &Browser, page: &str, width: u32) {
    // A phone makes its window as wide as the page, so the window is no measure.
    let wide = browser.script("return document.documentElement.scrollWidth");
    assert!(wide.as_u64() <= Some(width.into()), "{page} is {wide} px wide at {width}");
    // A bar of links is one line high.
    if width > 720 {
        let high = browser.script(
            "return [...document.querySelectorAll('.top > *')].filter(it => it.offsetHeight > 60).length",
        );
        assert_eq!(high, 0, "{page} at {width}");
    }
    // Who cannot see: one heading of the first rank, names on what is pressed or filled in.
    assert_eq!(browser.script("return document.querySelectorAll('h1').length"), 1, "{page}");
    let nameless = browser.script(
        "return [...document.querySelectorAll('button, a[href], input:not([type=hidden]), select, \
         textarea')].filter(it => !(it.innerText || it.textContent || '').trim() \
         && !it.ariaLabel && !it.title && !(it.labels || []).length \
         && !it.querySelector('title')).map(it => it.outerHTML)",
    );
    assert_eq!(nameless, json!([]), "{page}");
    // Fingers need room.
    if width < 600 {
        let small = browser.script(
            "return [...document.querySelectorAll('button, .button, select, input:not([type=hidden])')] \
             .filter(it => it.getClientRects().length \
             && it.getBoundingClientRect().height < (it.matches('[type=checkbox], .switch') ? 18 : 30)) \
             .map(it => it.outerHTML)",
        );
        assert_eq!(small, json!([]), "{page}");
    }
}

/// Writes the picture that the documents show, when asked to.
fn show(browser: &Browser, page: &str, width: u32, theme: &str) {
    let is_shown = SHOWN.contains(&(page, width, theme));
    if !is_shown || std::env::var_os("SUBAK_PICTURES").is_none() {
        return;
    }
    let name = match (width, theme) {
        (1280, "light") => format!("{page}.png"),
        (1280, _) => format!("{page}-{theme}.png"),
        _ => format!("{page}-phone.png"),
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images").join(name);
    browser.picture(&file, SHOWN_HEIGHT_MOST);
    let size = fs::metadata(&file).unwrap().len();
    assert!(size < SHOWN_BYTES_MOST, "{} has {size} bytes", file.display());
}
