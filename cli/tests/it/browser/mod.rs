//! What people see: the pages in a real browser, on a real server with a real worker.

mod dags;
mod driver;
mod journey;
mod large;
mod letters;
mod pictures;
mod restart;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Instant;

use crate::standalone::{self, Standalone};
use driver::{Browser, ENTER, ESCAPE, PATIENCE, SPACE, TAB};
use tempfile::TempDir;

const PASSWORD: &str = "correct horse battery";

/// A server with DAGs, a user `ana`, and a browser that shows nothing yet.
struct Scene {
    browser: Browser,
    subak: Standalone,
    url: String,
    place: TempDir,
}

impl Scene {
    fn set() -> Self {
        Self::at(dags::place())
    }

    /// In a folder that has its DAG files.
    fn at(place: TempDir) -> Self {
        let browser = Browser::start();
        let subak = Standalone::start(place.path());
        let url = subak.said().split_whitespace().skip_while(|word| *word != "pages").nth(1);
        let url = url.unwrap().to_owned();
        let scene = Self { browser, subak, url, place };
        scene.add_user();
        scene
    }

    fn add_user(&self) {
        let mut command = standalone::command(self.place.path());
        command.args(["users", "add", "ana", "--role", "admin", "--password-stdin"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn open(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.url));
    }

    /// Looks at a page that is not live until it shows what is waited for.
    fn open_until(&self, path: &str, expression: &str) {
        let began = Instant::now();
        loop {
            self.open(path);
            if self.browser.script(&format!("return Boolean({expression})")) == true {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "`{expression}` at {path}: {}", self.text());
        }
    }

    /// Signs in by the form, with the keyboard alone.
    fn sign_in(&self) {
        self.open("/dags");
        self.browser.until("document.activeElement.id === 'username'");
        self.browser.press(&format!("ana{TAB}{PASSWORD}{ENTER}"));
        self.browser.until("document.querySelector('table.dags')");
    }

    /// Runs a DAG from the terminal, whatever comes of it.
    fn run(&self, dag: &str, run_id: &str) {
        self.subak.subak(&["runs", "trigger", dag, "--run-id", run_id, "--wait"]);
    }

    /// Lets `greet` go on.
    fn go(&self) {
        fs::write(self.place.path().join("go"), "").unwrap();
    }

    fn text(&self) -> String {
        self.browser.script("return document.body.innerText").as_str().unwrap().to_owned()
    }

    fn assert_no_complaint(&self) {
        assert_eq!(self.browser.complaints(), Vec::<String>::new());
    }

    fn end(self) {
        assert_eq!(self.subak.stop(), Some(0));
    }
}

#[test]
fn a_run_is_started_and_followed_with_the_keyboard_alone() {
    let scene = Scene::set();
    let browser = &scene.browser;
    scene.sign_in();

    // The list, the form, the run: Tab and Enter lead there.
    browser.tab_to("a[href='/dags/greeting/trigger']");
    browser.press(ENTER);
    browser.until("document.querySelector('form.form')");
    browser.tab_to("[name='param.name']");
    browser.script("document.activeElement.select()");
    browser.press("Wayan");
    browser.tab_to("form.form button");
    browser.press(ENTER);
    browser.until("document.querySelector('#run-state')");

    // What follows happens on this very page: a reload would lose the mark.
    browser.script("window.mark = 1");
    browser.until("document.querySelector('#run-tasks .s-running')");
    let run = browser.script("return location.pathname").as_str().unwrap().to_owned();

    browser.tab_to("#run-tasks a[href$='/tasks/greet']");
    browser.press(ENTER);
    browser.until("document.querySelector('#log')?.innerText.includes('hello Wayan')");
    browser.script("window.mark = 2");
    assert_eq!(
        browser.script("return document.querySelector('#log').innerText.includes('goodbye')"),
        false
    );
    scene.go();
    browser.until("document.querySelector('#log').innerText.includes('goodbye Wayan')");
    browser.until("document.querySelector('#task-state.s-success')");
    assert_eq!(browser.script("return window.mark"), 2);
    // Colours of the terminal are colours here.
    assert_eq!(browser.script("return document.querySelector('#log .c2').innerText"), "goodbye");

    // Of its lines those are shown that are looked for, and long ones stay one line when wanted.
    browser.tab_to("#find");
    browser.press("GOODBYE w");
    let found = "document.querySelectorAll('#log .l:not(.hidden)').length === 1";
    browser.until(found);
    browser.tab_to("#wrap");
    browser.press(SPACE);
    let space = "return getComputedStyle(document.querySelector('#log .l > span')).whiteSpace";
    assert_eq!(browser.script(space), "pre");
    // As a file it has a name of its own; to be read it stays in the browser.
    browser.script(
        "window.said = []; for (const it of document.querySelectorAll('.head a.quiet'))
             fetch(it.href).then((answer) => said.push(answer.headers.get('content-disposition')))",
    );
    browser.until("said.length === 2");
    let said = browser.script("return said.map(it => it.split('; filename=')[0]).sort().join()");
    assert_eq!(said, "attachment,inline");
    scene.open(&run);
    browser.until("document.querySelector('#run-state.s-success')");

    // A group of the grid is unfolded and folded; a menu opens, and Escape leaves it at its button.
    scene.open("/dags/greeting/grid");
    let shown = "return getComputedStyle(document.querySelector('#grid tr.inner')).display";
    assert_eq!(browser.script(shown), "none");
    browser.tab_to("#grid .fold");
    browser.press(SPACE);
    assert_eq!(browser.script(shown), "table-row");
    browser.press(SPACE);
    assert_eq!(browser.script(shown), "none");
    scene.open("/dags");
    browser.tab_to(".menu summary");
    browser.press(ENTER);
    browser.tab_to(".menu[open] a[href='/variables']");
    browser.press(ESCAPE);
    browser.until("document.activeElement.matches('.menu:not([open]) summary')");
    browser.press(SPACE);
    browser.tab_to(".menu[open] a[href='/workers']");
    browser.press(ENTER);
    browser.until("document.querySelector('.workers tbody tr')");
    scene.assert_no_complaint();
    scene.end();
}

#[test]
fn a_run_page_turns_green_by_itself() {
    let scene = Scene::set();
    let browser = &scene.browser;
    scene.sign_in();
    scene.open("/dags/greeting/trigger");
    browser.click("form.form button.primary");
    browser.until("document.querySelector('#run-tasks .s-running')");

    // Its first stream does not come: it says so, shows what it has, and asks again until it does.
    browser.block(&["*/events*"]);
    let run = browser.script("return location.pathname").as_str().unwrap().to_owned();
    scene.open(&run);
    browser.script("window.mark = 1");
    browser.until("!away.hidden");
    assert!(scene.text().contains("Not connected"));
    browser.block(&[]);
    browser.until("away.hidden");
    assert!(browser.complaints().iter().all(|it| it.contains("Failed to fetch")));
    browser.until("document.querySelector('#run-tasks .s-running')");
    assert_eq!(browser.script("return document.querySelectorAll('.node.s-success').length"), 0);
    scene.go();
    browser.until("document.querySelector('#run-state.s-success')");
    assert_eq!(browser.script("return window.mark"), 1);
    assert_eq!(browser.script("return document.querySelectorAll('.node.s-success').length"), 2);
    // The buttons of a run that goes on have left with it.
    assert_eq!(
        browser.script("return document.querySelector('form[action$=\"/cancel\"]')"),
        serde_json::Value::Null
    );

    // Paused by its switch, without a reload.
    scene.open("/dags");
    browser.script("window.mark = 1");
    browser.click("form[action='/dags/greeting/pause'] button");
    browser.until(
        "document.querySelector(\"form[action='/dags/greeting/pause'] [aria-checked=false]\")",
    );
    assert_eq!(browser.script("return window.mark"), 1);
    scene.assert_no_complaint();

    // Signed out elsewhere: the page leads to the sign-in, and that leads back.
    browser.script("fetch('/sign-out', {method: 'POST'})");
    browser.until("document.activeElement.id === 'username'");
    browser.press(&format!("ana{TAB}{PASSWORD}{ENTER}"));
    browser.until("location.pathname === '/dags' && document.querySelector('table.dags')");
    // So does a form that is sent too late.
    scene.open("/dags/greeting/trigger");
    browser
        .script("window.out = false; fetch('/sign-out', {method: 'POST'}).then(() => out = true)");
    browser.until("out");
    browser.click("form.form button.primary");
    browser.until("document.activeElement.id === 'username'");
    browser.press(&format!("ana{TAB}{PASSWORD}{ENTER}"));
    browser.until("location.pathname === '/dags/greeting/trigger'");
    scene.end();
}

#[test]
fn nothing_that_people_wrote_is_executed() {
    let scene = Scene::set();
    let browser = &scene.browser;
    scene.run("sales", "monday");
    let conf = r#"{"<img src=x onerror=hacked=1>": "</pre><script>hacked = 1</script>"}"#;
    let evil = ["runs", "trigger", "hostile", "--run-id", "evil", "--conf", conf, "--wait"];
    scene.subak.subak(&evil);
    scene.sign_in();
    for path in [
        "/",
        "/dags",
        "/runs",
        "/dead-letters",
        "/dead-letters/1",
        "/dags/hostile",
        "/dags/hostile/grid",
        "/dags/hostile/trigger",
        "/dags/hostile/trigger?from=evil",
        "/dags/hostile/versions",
        "/dags/hostile/runs/evil",
        "/dags/hostile/runs/evil/tasks/choose",
        "/dags/hostile/runs/evil/tasks/print",
    ] {
        scene.open(path);
        browser.until("document.readyState === 'complete'");
        assert_eq!(browser.script("return typeof hacked"), "undefined", "{path}");
        let made =
            "return document.querySelectorAll('img, iframe, main script, main style').length";
        assert_eq!(browser.script(made), 0, "{path}");
    }
    // What was written is there to be read.
    for (path, place, text) in [
        ("/dags/hostile", "#doc", "<iframe srcdoc=\"<script>"),
        ("/dags/hostile", ".edges text title", "</text><script>hacked=1</script>"),
        ("/dags/hostile/trigger", "form.form", "</textarea><img src=x onerror=hacked=1>"),
        ("/dags/hostile/runs/evil", "pre.code", "</pre><script>hacked = 1</script>"),
    ] {
        scene.open(path);
        browser.until(&format!(
            "document.querySelector('{place}')?.textContent.includes({})",
            serde_json::json!(text)
        ));
    }
    // Lines of 64 KiB, of 10 MB once, break; the page does not, and says that it is the end.
    let print = "/dags/hostile/runs/evil/tasks/print";
    scene.open_until(
        print,
        "!document.querySelector('#log-cut').hidden \
         && document.querySelector('#log').innerText.includes('<script>hacked = 1</script>')",
    );
    assert_eq!(browser.script("return document.querySelectorAll('#log a').length"), 0);
    assert!(scene.text().contains("far away"));
    let log = "return document.querySelector('#log')";
    let chars = browser.script(&format!("{log}.textContent.length")).as_u64().unwrap();
    assert!((1 << 19..3 << 19).contains(&chars), "{chars} characters");
    let spans = browser.script(&format!("{log}.querySelectorAll('.l span span').length"));
    assert_eq!(spans, 100);
    // What comes by and by is trimmed, too.
    browser.script(
        "document.querySelector('#log').append(...Array.from({length: 6000}, (_, n) => {
             const line = document.createElement('div');
             line.innerHTML = `<i>${n}</i><span>late ${n}</span>`;
             return line;
         }))",
    );
    browser.until("document.querySelectorAll('#log > div').length === 5000");
    assert!(scene.text().contains("late 5999"));
    // Its end is followed until somebody scrolls up, and again when they want it.
    let is_at_end = "log.scrollTop + log.clientHeight >= log.scrollHeight - 24";
    let add = "log.append(log.lastElementChild.cloneNode(true))";
    browser.until(is_at_end);
    browser.script("log.scrollTop = 0");
    browser.until("!follow.checked");
    browser.script(add);
    assert_eq!(browser.script("return log.scrollTop < 100"), true);
    browser.click("#follow");
    browser.until(is_at_end);
    browser.script(add);
    browser.until(is_at_end);
    assert_eq!(browser.script("return follow.checked"), true);
    scene.open(print);
    assert!(scene.text().contains("{{ 7*7 }}"));
    browser.look_through(390, "light");
    assert_eq!(browser.script("return document.documentElement.scrollWidth"), 390);
    scene.assert_no_complaint();
    scene.end();
}
