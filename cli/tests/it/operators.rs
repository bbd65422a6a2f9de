//! docs/operators is made from the operators' doc comments: `SUBAK_REGENERATE=1` writes it anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::{stdout, subak};

#[test]
fn the_reference_pages_are_those_that_the_command_prints() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/operators");
    let pages = pages();
    if std::env::var_os("SUBAK_REGENERATE").is_some() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, page) in &pages {
            fs::write(folder.join(name), page).unwrap();
        }
    }
    let kept: BTreeMap<String, String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    assert!(kept == pages, "docs/operators is out of date: run this test with SUBAK_REGENERATE=1");
}

/// File name to content: a page for each operator, and the list of them.
fn pages() -> BTreeMap<String, String> {
    let list = stdout(&subak(&["dags", "operators"]));
    let mut index =
        "# Operators\n\nWhat stands in `operator:` of a task. Arguments stand in `with:`.\n\n"
            .to_owned();
    let mut pages = BTreeMap::new();
    for line in list.lines().skip(1) {
        let (name, summary) = line.split_once(' ').unwrap();
        index += &format!("- [{name}]({name}.md): {}\n", summary.trim_start());
        let page = stdout(&subak(&["dags", "operators", name]));
        assert!(!page.contains("|  |\n"), "an argument of {name} has no doc comment:\n{page}");
        pages.insert(format!("{name}.md"), page);
    }
    assert!(pages.len() >= 12, "{list}");
    pages.insert("README.md".to_owned(), index);
    pages
}
