//! Every page at desktop and phone width, light and dark: pictures to look at, and rules that hold
//! on all of them.
//!
//! The pictures are written below the target folder. `SUBAK_PICTURES=1` also writes the ones that
//! the documents show into docs/images.

use std::fs;
use std::path::Path;

use super::Scene;
use super::driver::Browser;

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
    ("trigger", "/dags/greeting/trigger"),
    ("run", "/dags/retail_retention/runs/november"),
    ("run-failed", "/dags/nightly_warehouse_refresh_of_all_regional_subsidiaries/runs/night-3"),
    ("task", "/dags/retail_retention/runs/november/tasks/unique_customers"),
    (
        "task-failed",
        "/dags/nightly_warehouse_refresh_of_all_regional_subsidiaries/runs/night-3/tasks/\
         stock_levels_of_every_regional_subsidiary",
    ),
    ("dead-letters", "/dead-letters"),
    ("dead-letters-of-run", "/dead-letters?dag=sales&run=monday&task=read&state=open"),
    ("dead-letter", "/dead-letters/1"),
    ("dead-letter-bytes", "/dead-letters/3"),
    ("task-rejected", "/dags/sales/runs/monday/tasks/read"),
    ("topics", "/topics"),
    ("connections", "/connections"),
    ("connection-new", "/connections/new"),
    ("pools", "/pools"),
    ("variables", "/variables"),
    ("workers", "/workers"),
    ("import-errors", "/import-errors"),
    ("audit", "/audit"),
    ("users", "/users"),
    ("tokens", "/tokens"),
    ("error", "/dags/no_such_dag"),
];

/// Pictures that the documents show: page, width, theme.
const SHOWN: &[(&str, u32, &str)] = &[
    ("home", 1280, "light"),
    ("run", 1280, "light"),
    ("run-failed", 1280, "dark"),
    ("task", 1280, "light"),
    ("run", 390, "dark"),
];

/// The widest that is checked; it is not pictured.
const PLAIN_WIDTH: u32 = 1920;

const HEIGHT_MOST: u64 = 2200;
/// Of a picture in the documents.
const SHOWN_HEIGHT_MOST: u64 = 860;
const SHOWN_BYTES_MOST: u64 = 150 << 10;

#[test]
fn every_page_holds_at_every_width_and_in_the_dark() {
    let scene = Scene::set();
    scene.go();
    for night in 1..=3 {
        let id = format!("night-{night}");
        scene.run("nightly_warehouse_refresh_of_all_regional_subsidiaries", &id);
        scene.run("greeting", &id);
    }
    scene.run("sales", "monday");
    for month in ["august", "september", "october", "november"] {
        scene.run("retail_retention", month);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();

    let looks =
        [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"), (PLAIN_WIDTH, "light")];
    for (width, theme) in looks {
        scene.browser.look_through(width, theme);
        scene.open("/sign-in");
        check(&scene.browser, "sign-in", width);
        if width != PLAIN_WIDTH {
            scene.browser.picture(&file(&folder, "sign-in", width, theme), HEIGHT_MOST);
        }
    }
    scene.sign_in();
    for (width, theme) in looks {
        scene.browser.look_through(width, theme);
        for (page, path) in PAGES {
            scene.open(path);
            scene.browser.until("document.readyState === 'complete'");
            check(&scene.browser, page, width);
            if width != PLAIN_WIDTH {
                scene.browser.picture(&file(&folder, page, width, theme), HEIGHT_MOST);
            }
            if *page == "error" {
                // Its status is 404, which the console says.
                assert_eq!(scene.browser.complaints().len(), 1);
            }
            show(&scene.browser, page, width, theme);
        }
        scene.assert_no_complaint();
    }
    scene.end();
}

fn file(folder: &Path, page: &str, width: u32, theme: &str) -> std::path::PathBuf {
    folder.join(format!("{page}-{width}-{theme}.png"))
}

/// Asserts what holds on every page.
fn check(browser: &Browser, page: &str, width: u32) {
    // A phone makes its window as wide as the page, so the window is no measure.
    let wide = browser.script("return document.documentElement.scrollWidth");
    assert!(wide.as_u64() <= Some(width.into()), "{page} is {wide} px wide at {width}");
    // Who cannot see: one heading of the first rank, names on what is pressed or filled in.
    assert_eq!(browser.script("return document.querySelectorAll('h1').length"), 1, "{page}");
    let nameless = browser.script(
        "return [...document.querySelectorAll('button, a[href], input:not([type=hidden]), select, \
         textarea')].filter(it => !(it.innerText || it.textContent || '').trim() \
         && !it.ariaLabel && !it.title && !(it.labels || []).length \
         && !it.querySelector('title')).map(it => it.outerHTML)",
    );
    assert_eq!(nameless, serde_json::json!([]), "{page}");
    // Fingers need room.
    if width < 600 {
        let small = browser.script(
            "return [...document.querySelectorAll('button, .button, select, input:not([type=hidden])')] \
             .filter(it => it.getClientRects().length \
             && it.getBoundingClientRect().height < (it.matches('[type=checkbox], .switch') ? 18 : 30)) \
             .map(it => it.outerHTML)",
        );
        assert_eq!(small, serde_json::json!([]), "{page}");
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
