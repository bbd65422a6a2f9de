//! Rejected rows are found, what rejected them is mended, and they go through: all in the browser, but
//! for the file that a person edits.

use std::fs;

use super::driver::ENTER;
use super::{Scene, dags};

const PRICES: &str = "\
dag_id: prices
tasks:
  read:
    operator: csv.read
    with: {path: data/prices.csv, columns: {article: string, price: integer}, on_bad_row: dead_letter}
  load:
    operator: postgres.load
    with: {connection: warehouse, input: '{{ tasks.read.output }}', table: price, create: true}
";

/// Two rows wait for somebody to say what stands for null; one is never right.
const ROWS: &str = "article,price\nbowl,12\ncup,n/a\nlid,many\njar,n/a\n";

#[test]
fn what_was_rejected_is_mended_and_goes_through() {
    let place = dags::place();
    let file = place.path().join("dags/prices.yaml");
    fs::write(&file, PRICES).unwrap();
    fs::write(place.path().join("data/prices.csv"), ROWS).unwrap();
    let scene = Scene::at(place);
    let browser = &scene.browser;
    scene.sign_in();
    scene.run("prices", "monday");

    // From the run to what it rejected, and to why.
    scene.open("/dags/prices/runs/monday");
    browser.until("document.querySelector('#run-state.s-success')");
    browser.click("a[href^='/dead-letters?']");
    browser.until("document.querySelectorAll('table.letters tbody tr').length === 3");
    scene.fill("[name=reason]", "n/a");
    browser.click("form.filter button");
    browser.until("document.querySelectorAll('table.letters tbody tr').length === 2");
    browser.click("table.letters a.name");
    browser.until("document.querySelector('pre.code')?.innerText.includes(',n/a')");
    assert!(scene.text().contains("column price: \"n/a\" is not an integer"), "{}", scene.text());

    // Mended: the server reads the file by itself, and its newest version is what a replay takes.
    fs::write(&file, PRICES.replace("on_bad_row:", "null_values: [n/a], on_bad_row:")).unwrap();
    scene.open_until(
        "/dags/prices/versions",
        "document.querySelectorAll('table tbody tr').length === 2",
    );
    scene.open("/dead-letters?dag=prices&reason=n%2Fa");
    scene.sure();
    browser.tab_to("form.replay button");
    browser.press(ENTER);
    browser.until("document.querySelector('#run-state.s-success')");
    let run = browser.script("return location.pathname").as_str().unwrap().to_owned();
    scene.open(&format!("{run}/tasks/load"));
    browser.until("document.querySelector('.xcoms')?.innerText.includes('\"rows\": 2')");
    scene.open("/dead-letters?dag=prices");
    let states = "return [...document.querySelectorAll('table.letters .badge')].map(it => it.innerText).sort().join()";
    browser.until("document.querySelectorAll('table.letters tbody tr').length === 3");
    assert_eq!(browser.script(states), "open,replayed,replayed");
    scene.assert_no_complaint();
    scene.end();
}
