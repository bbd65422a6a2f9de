//! A day's work in the browser: find, trigger, watch, look, mend, run again; and who may only look.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use super::driver::{ENTER, SPACE, TAB};
use super::{PASSWORD, Scene};
use crate::standalone;

impl Scene {
    /// Says yes to whatever a page asks.
    pub(super) fn sure(&self) {
        self.browser.script("window.confirm = () => true");
    }

    pub(super) fn fill(&self, field: &str, text: &str) {
        let set =
            format!("const it = document.querySelector('{field}'); it.value = ''; it.focus()");
        self.browser.script(&set);
        self.browser.press(text);
    }
}

#[test]
fn what_failed_is_found_mended_and_turns_green() {
    let scene = Scene::set();
    let browser = &scene.browser;
    scene.sign_in();

    // Find it, and trigger it with a form.
    scene.fill("[name=name]", "mend");
    browser.until("document.querySelectorAll('table.dags tbody tr').length === 1");
    browser.click("a[href='/dags/mended/trigger']");
    browser.until("document.querySelector('form.form')");
    scene.fill("[name=\"param.region\"]", "south");
    browser.click("form.form button.primary");
    browser.until("document.querySelector('#run-state.s-failed')");
    let run = browser.script("return location.pathname").as_str().unwrap().to_owned();

    // The first page shows it, by itself.
    scene.open("/");
    browser.until("document.querySelector('#home-failed a[href^=\"/dags/mended/runs/\"]')");
    browser.script("window.mark = 1");
    browser.until("document.querySelector('.tile.s-failed b').innerText === '1'");

    // What it was, and once more when it is mended; the grid turns green by itself.
    scene.open(&format!("{run}/tasks/load"));
    browser.until("document.querySelector('#log').innerText.includes('no such table: orders')");
    fs::write(scene.place.path().join("mended"), "").unwrap();
    scene.sure();
    browser.click("form[action$='/tasks/load/clear'] button");
    browser.until("document.querySelector('#task-state.s-success')");
    // What it made and the tries come to the page that is open; what is typed stays.
    browser.until("document.querySelector('#xcoms')?.innerText.includes('loaded')");
    browser.script("window.mark = 5; document.querySelector('#find').value = 'typed'");
    scene.subak.subak(&["runs", "clear", "mended", "--task", "load", "--wait"]);
    browser.until("document.querySelectorAll('#tries a').length === 3");
    browser.until("document.querySelector('#download').href.includes('try=3')");
    assert_eq!(
        browser.script("return [window.mark, document.querySelector('#find').value]"),
        serde_json::json!([5, "typed"])
    );
    scene.open("/dags/mended/grid");
    browser.script("window.mark = 2");
    browser.until("document.querySelectorAll('#grid .cell.s-success').length === 3");
    scene.open("/dags/mended/trigger");
    // The form remembers, and a second run appears in the grid.
    let region = "return document.querySelector('[name=\"param.region\"]').value";
    assert_eq!(browser.script(region), "south");
    scene.open("/dags/mended/grid");
    browser.script("window.mark = 2");
    scene.run("mended", "second");
    browser.until("document.querySelectorAll('#grid .cell.s-success').length === 6");
    assert_eq!(browser.script("return window.mark"), 2);

    // A graph becomes larger, and stays so while its run goes on.
    scene.open(&run);
    let width = "return document.querySelector('.graph svg').getBoundingClientRect().width";
    let before = browser.script(width).as_f64().unwrap();
    browser.click("[data-zoom='1.25']");
    assert!(browser.script(width).as_f64().unwrap() > before * 1.2);

    // Lists renew themselves; what is ticked stays ticked, on its own run.
    scene.open("/runs?dag=mended");
    browser.script("window.mark = 3");
    browser.click("[name=pick][aria-label='mended second']");
    scene.run("mended", "third");
    browser.until("document.querySelectorAll('table.picks .badge.s-success').length === 3");
    let picked =
        "return [...document.querySelectorAll('[name=pick]:checked')].map(it => it.ariaLabel)";
    assert_eq!(browser.script(picked), serde_json::json!(["mended second"]));
    assert_eq!(browser.script("return window.mark"), 3);
    // What is typed stays, too, and narrows what comes.
    scene.open("/dags");
    browser.script("window.mark = 4");
    scene.fill("[name=name]", "mend");
    browser.until("document.querySelectorAll('table.dags tbody tr').length === 1");
    scene.run("mended", "fourth");
    browser.until("document.querySelectorAll('table.dags .bars a').length === 4");
    assert_eq!(browser.script("return document.activeElement.value"), "mend");
    assert_eq!(browser.script("return document.querySelectorAll('table.dags tbody tr').length"), 1);
    assert_eq!(browser.script("return window.mark"), 4);

    // The timeline of the newest run, and of another one, with the keyboard.
    scene.open("/dags/mended");
    browser.tab_to("nav.tabs a[href='/dags/mended/gantt']");
    browser.press(ENTER);
    browser.until("document.querySelector('#gantt-run')?.innerText.includes('fourth')");
    browser.script("document.querySelector('select[name=run]').value = 'second'");
    browser.tab_to("main form.filter button");
    browser.press(ENTER);
    browser.until("document.querySelector('#gantt-run')?.innerText.includes('second')");
    browser.until("document.querySelectorAll('#run-tasks .c-span rect').length >= 2");

    // Several runs at once, with the keyboard: the second `m` is the second action of that letter.
    scene.open("/runs?dag=mended");
    scene.sure();
    browser.tab_to("[data-all=pick]");
    browser.press(SPACE);
    let picked = "return document.querySelectorAll('[name=pick]:checked').length";
    assert_eq!(browser.script(picked), 4);
    browser.tab_to("[name=action]");
    browser.press("mm");
    assert_eq!(browser.script("return document.activeElement.value"), "mark_failed");
    browser.tab_to(".bulk button");
    browser.press(ENTER);
    browser.until("document.querySelector('.callout')?.innerText.includes('Done with 4 runs')");
    browser.until("document.querySelectorAll('table.picks .badge.s-failed').length === 4");
    scene.sure();
    browser.click("[data-all=pick]");
    browser.script("document.querySelector('[name=action]').value = 'delete'");
    browser.click(".bulk button");
    browser.until("document.querySelector('.callout') && document.querySelector('.live .empty')");
    scene.assert_no_complaint();
    scene.end();
}

#[test]
fn data_is_looked_at_and_what_tasks_reach_is_kept() {
    let scene = Scene::set();
    let browser = &scene.browser;
    scene.run("retail_retention", "november");
    scene.sign_in();
    scene.open("/dags/retail_retention/runs/november/tasks/unique_customers");
    browser.until("document.querySelectorAll('.tall table.data tbody tr').length > 0");

    // A connection to this very server: made, tested, changed.
    scene.open("/connections/new");
    scene.fill("[name=connection_id]", "site");
    browser.script("document.querySelector('[name=conn_type]').value = 'http'");
    scene.fill("[name=host]", &scene.url);
    scene.fill("[name=password]", "hunter2");
    browser.click("form.form button.primary");
    browser.until("document.querySelector('#connection-site')");
    browser.click("#connection-site form button");
    browser.until("document.querySelector('#connection-site .callout')");
    // A worker has reached it.
    let said =
        browser.script("return document.querySelector('#connection-site .callout').innerText");
    assert!(said.as_str().unwrap().starts_with("It works: HTTP"), "{said}");
    assert_eq!(
        browser.script("return document.querySelectorAll('#connection-site .callout.bad').length"),
        0
    );
    browser.click("#connection-site a.button");
    browser.until("document.querySelector('form.form [name=host]')");
    assert!(!scene.text().contains("hunter2"));

    scene.open("/pools");
    scene.fill("section [name=name]", "warehouse");
    scene.fill("section [name=slots]", "3");
    browser.click("section form button.primary");
    browser.until("document.body.innerText.includes('0 / 3')");
    // What is opened and typed stays as the list renews itself.
    browser.click(".pools summary");
    scene.fill(".pools [name=slots]", "7");
    browser.script(
        "fetch('/pools', {method: 'POST', body: new URLSearchParams({name: 'aside', slots: '5'})})",
    );
    browser.until("document.body.innerText.includes('0 / 5')");
    assert_eq!(
        browser.script(
            "const it = document.querySelector('#row-warehouse');
             return [it.querySelector('details').open, it.querySelector('[name=slots]').value]",
        ),
        serde_json::json!([true, "7"])
    );
    scene.open("/variables");
    scene.fill("section [name=key]", "api_token");
    scene.fill("section [name=value]", "hunter2");
    browser.click("section form button.primary");
    browser.until("document.querySelector('.variables .tag')");
    assert!(!scene.text().contains("hunter2"));

    // A worker that is to go takes no more tasks; what it runs it may end.
    scene.subak.subak(&["runs", "trigger", "greeting", "--run-id", "held"]);
    scene.open("/workers");
    browser.until("document.querySelector('.workers td.n')?.innerText === '1'");
    scene.sure();
    browser.tab_to("form[action$='/drain'] button");
    browser.press(ENTER);
    browser.until("document.querySelector('.workers .tag.bad')?.innerText === 'draining'");
    assert_eq!(
        browser.script("return document.querySelector('form[action$=\"/drain\"]')"),
        serde_json::Value::Null
    );

    // Somebody who may only look.
    let mut command = standalone::command(scene.place.path());
    command.args(["users", "add", "budi", "--role", "viewer", "--password-stdin"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    assert!(child.wait().unwrap().success());
    browser.click("form[action='/sign-out'] button");
    browser.until("document.querySelector('#username')");
    scene.open("/dags");
    browser.until("document.activeElement.id === 'username'");
    browser.press(&format!("budi{TAB}{PASSWORD}{ENTER}"));
    browser.until("document.querySelector('table.dags')");
    for path in ["/dags", "/runs", "/pools", "/workers", "/dags/retail_retention/runs/november"] {
        scene.open(path);
        browser.until("document.readyState === 'complete'");
        let forms =
            "return [...document.querySelectorAll('main form[method=post]:not(.pause)')].length";
        assert_eq!(browser.script(forms), 0, "{path}");
    }
    scene.assert_no_complaint();
    // What the worker still runs ends, and it after that.
    scene.go();
    scene.end();
}
