//! The pages in `docs/errors`: each shows a wrong file with what is said of it, and a right one; every
//! key of DAGs, tasks and groups leads to a page that tells of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/errors")
}

fn text_of(page: Page) -> String {
    let path = folder().join(page.name()).with_extension("md");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The example in front of a message, or without one.
struct Example {
    yaml: String,
    /// Where the message stands in the page.
    said: Option<std::ops::Range<usize>>,
}

fn examples(page: &str) -> Vec<Example> {
    let (mut found, mut at) = (Vec::<Example>::new(), 0);
    while let Some(open) = page[at..].find("```") {
        let first = at + open;
        let body = first + page[first..].find('\n').unwrap() + 1;
        let end = body + page[body..].find("```").unwrap();
        match &page[first..body] {
            "```yaml\n" => found.push(Example { yaml: page[body..end].to_owned(), said: None }),
            "```text\n" => found.last_mut().unwrap().said = Some(body..end),
            other => panic!("a block of `{}`", other.trim()),
        }
        at = end + 3;
    }
    found
}

#[test]
fn every_page_shows_what_is_wrong_and_what_is_right() {
    let mut wrong = Vec::new();
    for page in Page::ALL {
        let mut text = text_of(*page);
        let all = examples(&text);
        assert!(all.iter().any(|it| it.said.is_some()), "{page:?} shows nothing wrong");
        assert!(all.iter().any(|it| it.said.is_none()), "{page:?} shows nothing right");
        for example in all.iter().rev() {
            let parsed = parse("dags/sales.yaml", &example.yaml);
            let said: Vec<String> = parsed.diagnostics.iter().map(Diagnostic::headline).collect();
            let Some(place) = &example.said else {
                wrong.extend(said.into_iter().map(|it| format!("{page:?}, the right one: {it}")));
                continue;
            };
            let others = parsed.diagnostics.iter().filter(|it| it.page != *page);
            wrong.extend(others.map(|it| format!("{page:?}: {it}")));
            let said = format!("{}\n", said.join("\n"));
            if std::env::var_os("SUBAK_REGENERATE").is_some() {
                text.replace_range(place.clone(), &said);
            } else if text[place.clone()] != said {
                wrong.push(format!("{page:?} says otherwise: {said}"));
            }
        }
        if std::env::var_os("SUBAK_REGENERATE").is_some() {
            fs::write(folder().join(page.name()).with_extension("md"), text).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_is_in_the_index_and_every_file_is_a_page() {
    let index = fs::read_to_string(folder().join("dag-file.md")).unwrap();
    for page in Page::ALL {
        let text = text_of(*page);
        let title = text.lines().next().unwrap().trim_start_matches("# ");
        let entry = format!("- [{title}]({}.md)\n", page.name());
        assert!(index.contains(&entry), "{entry}");
    }
    let names: BTreeSet<&str> = Page::ALL.iter().map(|page| page.name()).collect();
    let files = fs::read_dir(folder()).unwrap().map(|it| it.unwrap().file_name());
    for file in files.map(|name| name.into_string().unwrap()) {
        let name = file.trim_end_matches(".md");
        let is_other = !name.starts_with("dag-") || ["dag-file", "dag-not-found"].contains(&name);
        assert!(is_other || names.contains(name), "nothing leads to {file}");
    }
}

/// The keys of the one object of the schema that has these.
pub(super) fn keys_beside(schema: &Value, known: &[&str]) -> Vec<String> {
    let own = schema.get("properties").and_then(Value::as_object);
    if let Some(own) = own.filter(|own| known.iter().all(|key| own.contains_key(*key))) {
        return own.keys().cloned().collect();
    }
    let inner: Vec<&Value> = match schema {
        Value::Object(members) => members.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    let found = inner.into_iter().map(|it| keys_beside(it, known));
    found.into_iter().find(|keys| !keys.is_empty()).unwrap_or_default()
}

/// Where a key may stand: the file with this line, and the line's number.
type Place = fn(&str) -> (String, u32);

/// A DAG with this line.
fn in_dag(line: &str) -> (String, u32) {
    (format!("dag_id: a\ntasks: {{x: {{operator: noop}}}}\n{line}\n"), 3)
}

/// A task with this line.
fn in_task(line: &str) -> (String, u32) {
    (format!("dag_id: a\ntasks:\n  x:\n    operator: noop\n    {line}\n"), 5)
}

/// A group with this line.
fn in_group(line: &str) -> (String, u32) {
    (format!("dag_id: a\ntasks: {{x: {{operator: noop}}}}\ntask_groups:\n  g:\n    {line}\n"), 5)
}

/// The keys of one of the schema's definitions.
pub(super) fn keys_of(schema: &Value, name: &str) -> Vec<String> {
    schema["$defs"][name]["properties"].as_object().unwrap().keys().cloned().collect()
}

/// The key with one letter too many, in the middle.
fn misspelt(key: &str) -> String {
    format!("{}q{}", &key[..key.len() / 2], &key[key.len() / 2..])
}

/// What is wrong on the line.
fn told((text, line): (String, u32)) -> Vec<Diagnostic> {
    let mut told = parse("dags/users.yaml", &text).diagnostics;
    told.retain(|it| it.line == line && it.column > 0);
    told
}

#[test]
fn every_key_is_refused_at_its_place_with_a_page_that_tells_of_it() {
    let schema = schema();
    let dag = keys_beside(&schema, &["dag_id", "schedule"]);
    let task = keys_beside(&schema, &["operator", "trigger_rule"]);
    let group = keys_beside(&schema, &["parent", "tooltip"]);
    assert!(dag.len() > 20 && task.len() > 30 && group.len() > 3, "{dag:?} {task:?} {group:?}");
    let mut wrong = Vec::new();
    for (keys, line, own) in [
        (&dag, in_dag as Place, &["dag_id", "tasks"][..]),
        (&task, in_task as Place, &["operator", "task_id"][..]),
        (&group, in_group as Place, &[][..]),
    ] {
        for key in keys.iter().filter(|key| !own.contains(&key.as_str())) {
            // No key takes a list of lists.
            let refused = told(line(&format!("{key}: [[[]]]")));
            let Some(first) = refused.first() else {
                wrong.push(format!("{key}: a wrong value is taken"));
                continue;
            };
            let page = text_of(first.page);
            let is_named = page.contains(&format!("`{key}")) || page.contains(&format!("{key}:"));
            if !is_named && !["description", "doc_md", "owner"].contains(&key.as_str()) {
                wrong.push(format!("{key}: {:?} does not tell of it", first.page));
            }
            let misspelt = misspelt(key);
            let refused = told(line(&format!("{misspelt}: 1")));
            let meant = format!("did you mean {key:?}?");
            if !refused.iter().any(|it| {
                it.message.starts_with("unknown key")
                    && it.message.ends_with(&meant)
                    && it.page == Page::Keys
            }) {
                wrong.push(format!("{key}: no word of what was meant: {refused:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn keys_of_defaults_and_of_what_lies_in_keys_are_refused_at_their_place() {
    const TASK: &str = "dag_id: a\ntasks:\n  x:\n    operator: noop\n";
    const DAG: &str = "dag_id: a\ntasks: {x: {operator: noop}}\n";
    let schema = schema();
    let mut wrong = Vec::new();
    for (name, before, any) in [
        ("DefaultArgs", format!("{DAG}default_args:\n  "), &[][..]),
        ("DefaultArgs", format!("{DAG}task_groups:\n  g:\n    default_args:\n      "), &[][..]),
        ("RawTimetable", format!("{DAG}schedule:\n  "), &[][..]),
        (
            "Declaration",
            format!("{DAG}params:\n  p:\n    "),
            &["default", "enum", "examples", "items"][..],
        ),
        ("RetryRule", format!("{TASK}    retry_policy:\n    - "), &[][..]),
        ("NoticeKeys", format!("{TASK}    on_failure:\n      "), &[][..]),
        ("NoticeKeys", format!("{TASK}    on_retry:\n    - "), &[][..]),
        ("TeardownKeys", format!("{TASK}    teardown:\n      "), &[][..]),
        ("AssetKeys", format!("{TASK}    outlets:\n    - "), &[][..]),
    ] {
        let line = u32::try_from(before.matches('\n').count()).unwrap() + 1;
        let told = |text: &str| told((format!("{before}{text}\n"), line));
        for key in keys_of(&schema, name) {
            if !any.contains(&key.as_str()) && told(&format!("{key}: [[[]]]")).is_empty() {
                wrong.push(format!("{before}{key}: a wrong value is taken"));
            }
            let misspelt = misspelt(&key);
            let refused = told(&format!("{misspelt}: 1"));
            let meant = format!("unknown key {misspelt:?}");
            let near = format!(": did you mean {key:?}?");
            if !refused.iter().any(|it| it.message.contains(&meant) && it.message.ends_with(&near))
            {
                wrong.push(format!("{before}{misspelt}: no word of what was meant: {refused:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_misspelt_argument_of_any_operator_is_told_with_the_one_that_was_meant() {
    let mut wrong = Vec::new();
    for operator in crate::operators::OPERATORS {
        let (name, properties) = (operator.name, operator.with_schema().get("properties"));
        for key in properties.and_then(Value::as_object).into_iter().flat_map(|it| it.keys()) {
            let misspelt = misspelt(key);
            let text = format!(
                "dag_id: a\ntasks:\n  x:\n    operator: {name}\n    with:\n      {misspelt}: 1\n"
            );
            let near = format!(": did you mean {key:?}?");
            let is_told = |it: &Diagnostic| {
                it.message.starts_with(&format!("unknown key {misspelt:?}"))
                    && it.message.ends_with(&near)
                    && it.page == Page::Arguments
            };
            let refused = told((text, 6));
            if !refused.iter().any(is_told) {
                wrong.push(format!("{name}, {key}: {refused:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
