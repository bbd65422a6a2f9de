//! A server ends and comes back while people watch: pages that are open catch up by themselves.

use subak_testkit::peek;
use subak_testkit::stack::{Process, Stack};

use super::PASSWORD;
use super::driver::{Browser, ENTER, TAB};
use crate::moving::{running, stack};
use crate::stderr;

const RUN: &str = "/dags/waits/runs/first";

/// The lines of the log that is shown, each behind its number.
const LINES: &str = "return [...document.querySelectorAll('#log > div')].map(it => \
    it.querySelector('i').textContent + ' ' + it.querySelector('span').textContent.trim())";

/// Waits for the end of a server that was asked for it, and starts another one where it was.
async fn restart(stack: &mut Stack, mut server: Process, place: usize, url: &str) {
    let gone = stack.until("the server to end", async || Ok(server.ended()?.is_some()));
    gone.await.unwrap();
    stack.start_server_at(place, url).unwrap();
}

fn lines(browser: &Browser) -> Vec<String> {
    let shown = browser.script(LINES);
    let lines = shown.as_array().unwrap().iter();
    lines.map(|line| line.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_hands_its_workers_over_and_its_pages_go_on() {
    let mut stack = stack(2, 1).await;
    let go = stack.folder().join("go");
    let run = running(&stack, &go).await;
    let add = ["users", "add", "ana", "--role", "op", "--password-stdin"];
    let added = stack.subak_with_input(&add, &format!("{PASSWORD}\n")).await.unwrap();
    assert!(added.status.success(), "{}", stderr(&added));
    let before = stack.store.workers().await.unwrap().remove(0);
    let place = usize::from(before.server == "server-1");
    let url = stack.address(place).unwrap();

    // A log grows.
    let browser = Browser::start();
    browser.open(&format!("{url}{RUN}/tasks/wait"));
    browser.until("document.activeElement.id === 'username'");
    browser.press(&format!("ana{TAB}{PASSWORD}{ENTER}"));
    browser.until("document.querySelectorAll('#log > div').length > 1");
    browser.script("window.mark = 1");
    let shown = lines(&browser).len();
    browser.until(&format!("document.querySelectorAll('#log > div').length > {shown}"));

    // Its server restarts: the worker goes on at the other one, with what it runs.
    let server = stack.end_server(place).unwrap();
    let moved = stack.until("the worker to move", async || {
        let now = stack.store.workers().await?.remove(0);
        Ok(now.session == before.session && now.server != before.server)
    });
    moved.await.unwrap();
    restart(&mut stack, server, place, &url).await;
    let shown = lines(&browser).len();
    browser.until(&format!("document.querySelectorAll('#log > div').length > {}", shown + 20));
    assert_eq!(browser.script("return window.mark"), 1);
    // None is lost, and none is there twice.
    for (at, line) in lines(&browser).into_iter().enumerate() {
        let said = if at == 0 { "began".to_owned() } else { at.to_string() };
        assert_eq!(line, format!("{} {said}", at + 1));
    }

    // So does the page of a run, whose end comes after the restart.
    browser.open(&format!("{url}{RUN}"));
    browser.until("document.querySelector('#run-tasks .s-running')");
    browser.script("window.mark = 2");
    let server = stack.end_server(place).unwrap();
    // Meanwhile it says that it hears nothing.
    browser.until("!away.hidden");
    restart(&mut stack, server, place, &url).await;
    std::fs::write(&go, "").unwrap();
    browser.until("away.hidden && document.querySelector('#run-state.s-success')");
    assert_eq!(browser.script("return window.mark"), 2);
    assert_eq!(stack.ended(run).await.unwrap(), "success", "{}", stack.logs());
    assert_eq!(peek::history(&stack.store, run).await.unwrap(), ["wait#1 success"]);
}
