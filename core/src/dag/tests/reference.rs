//! `docs/dag-file.md` has every key that is read and no other, with its default, and its examples are
//! right.

use std::collections::BTreeSet;

use super::pages::{keys_beside, keys_of};
use super::*;

const PAGE: &str = include_str!("../../../../docs/dag-file.md");

/// The rows of the table below a heading: the key, and the default if that is written as code.
fn documented(heading: &str) -> Vec<(&'static str, Option<&'static str>)> {
    let below = PAGE.split_once(&format!("\n## {heading}\n"));
    let below = below.unwrap_or_else(|| panic!("no part {heading:?}")).1;
    rows(below.split("\n## ").next().unwrap())
}

fn rows(part: &'static str) -> Vec<(&'static str, Option<&'static str>)> {
    let code = |cell: &'static str| cell.trim().strip_prefix('`')?.strip_suffix('`');
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix('|')?.split('|');
        Some((code(cells.next()?)?, cells.nth(1).and_then(code)))
    };
    part.lines().filter_map(row).collect()
}

#[test]
fn the_page_has_every_key_and_no_other() {
    let schema = schema();
    let owned = |keys: &[&str]| Vec::from_iter(keys.iter().map(|key| (*key).to_owned()));
    let mut all = 0;
    for (heading, keys) in [
        ("The DAG", keys_beside(&schema, &["dag_id", "schedule"])),
        ("A schedule of several parts", keys_of(&schema, "RawTimetable")),
        ("A param", keys_of(&schema, "Declaration")),
        ("A task", owned(raw::HEAD_KEYS)),
        ("Control keys", owned(raw::CONTROL_KEYS)),
        ("A task group", keys_of(&schema, "RawGroup")),
        ("A rule of `retry_policy`", keys_of(&schema, "RetryRule")),
        ("A notice", keys_of(&schema, "NoticeKeys")),
        ("A teardown", keys_of(&schema, "TeardownKeys")),
        ("An asset", keys_of(&schema, "AssetKeys")),
        ("Not built yet", owned(&[raw::DAG_NOT_YET, timing::NOT_YET].concat())),
    ] {
        let rows = documented(heading);
        let found: BTreeSet<&str> = rows.iter().map(|(key, _)| *key).collect();
        let known: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(found, known, "{heading}");
        assert_eq!(rows.len(), found.len(), "{heading} has a key twice");
        all += rows.len();
    }
    assert_eq!(rows(PAGE).len(), all, "a table that no list of keys is held against");
}

#[test]
fn the_page_has_the_defaults_of_the_reader() {
    let dag = |line: &str| good(&format!("dag_id: a\ntasks: {{x: {{operator: noop}}}}\n{line}\n"));
    let task =
        |line: &str| good(&format!("dag_id: a\ntasks:\n  x:\n    operator: noop\n    {line}\n"));
    let of = |heading: &str| {
        let rows = documented(heading).into_iter();
        Vec::from_iter(rows.filter_map(|(key, default)| Some((key, default?))))
    };
    let (of_dag, of_task) = (of("The DAG"), [of("A task"), of("Control keys")].concat());
    assert!(of_dag.len() > 10 && of_task.len() > 20, "{of_dag:?} {of_task:?}");
    for (key, default) in of_dag {
        assert_eq!(dag(&format!("{key}: {default}")), dag(""), "{key}");
    }
    for (key, default) in of_task {
        let said = task(&format!("{key}: {default}"));
        // That a weight is written counts, whatever it is.
        assert_eq!(Dag { says_weights: false, ..said }, task(""), "{key}");
    }
}

#[test]
fn the_pages_examples_are_right() {
    let examples: Vec<&str> =
        PAGE.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() > 5);
    for example in examples {
        good(example);
    }
}
