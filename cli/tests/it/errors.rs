//! Every problem type of the API has a page in docs/errors, and every page a problem type.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_problem_type_has_its_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let source = fs::read_to_string(root.join("server/src/problem.rs")).unwrap();
    // Each type stands between its status and its title: `(S::NOT_FOUND, "dag-not-found", "…")`.
    let shapes = source.split("(S::").skip(1);
    let types: BTreeSet<&str> = shapes.filter_map(|shape| shape.split('"').nth(1)).collect();
    let pages: BTreeSet<String> = fs::read_dir(root.join("docs/errors"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
        // Messages about DAG files have places instead of types: `core` looks after their pages.
        .filter(|name| name != "README" && !name.starts_with("dag-") || name == "dag-not-found")
        .collect();
    assert!(types.len() > 10, "{types:?}");
    assert_eq!(pages.iter().map(String::as_str).collect::<BTreeSet<_>>(), types);
}
