//! `subak dags` without a server.

use std::fs;

use subak_core::dag::{self, version};
use subak_store::NewVersion;

use crate::{clean, stderr, stdout, subak};

const GOOD: &str = "\
dag_id: good
tasks:
  hello: {operator: bash, with: {command: echo hello}}
";

#[test]
fn validate_accepts_a_good_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.yaml"), GOOD).unwrap();
    fs::write(folder.path().join("notes.txt"), "no DAG").unwrap();

    let output = subak(&["dags", "validate", folder.path().to_str().unwrap()]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "1 file, 1 DAG without an error, 0 errors\n");
}

#[test]
fn validate_shows_every_error_with_its_place_and_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.yaml");
    fs::write(&file, GOOD.replace("command", "comand").replace("bash", "bahs")).unwrap();
    let file = file.to_str().unwrap();

    let output = subak(&["dags", "validate", file]);

    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains(&format!("{file}:3:")), "{text}");
    assert!(text.contains("did you mean \"bash\"?"), "{text}");

    let json = subak(&["dags", "validate", "--json", file]);
    let errors: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(errors[0]["line"], 3);
}

#[test]
fn a_missing_file_is_one_clear_message() {
    let output = subak(&["dags", "validate", "nowhere.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "error: reading `nowhere.yaml`: No such file or directory (os error 2)\n"
    );
}

#[test]
fn schema_is_a_json_schema_of_the_file() {
    let output = subak(&["dags", "schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["properties"]["dag_id"].is_object());
}

#[test]
fn without_a_database_the_message_says_what_to_do() {
    let output = subak(&["dags", "list", "--data", "nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("`subak standalone`") && text.contains("SUBAK_DATABASE_URL"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn diff_shows_what_differs_between_two_versions() {
    let database = subak_testkit::database().await.unwrap();
    for source in [GOOD, &GOOD.replace("echo hello", "echo bye")] {
        let model = dag::parse("good.yaml", source).dags.remove(0);
        let hash = version::hash(&model);
        let new = NewVersion { dag: &model, hash: hash.as_bytes(), source, file: "good.yaml" };
        database.store.version_save(&new).await.unwrap();
    }
    let diff = |arguments: &[&str]| {
        let mut command = clean();
        command.args(["dags", "diff"]).args(arguments).env("SUBAK_DATABASE_URL", &database.url);
        command.output().unwrap()
    };
    let newest = diff(&["good"]);
    assert_eq!(newest.status.code(), Some(0), "{}", stderr(&newest));
    let lines = "\
--- good version 1
+++ good version 2
@@ -1,3 +1,3 @@
 dag_id: good
 tasks:
-  hello: {operator: bash, with: {command: echo hello}}
+  hello: {operator: bash, with: {command: echo bye}}
";
    assert_eq!(stdout(&newest), lines);
    assert!(
        stdout(&diff(&["good", "2", "1"]))
            .contains("\n+  hello: {operator: bash, with: {command: echo hello}}")
    );
    assert_eq!(
        stdout(&diff(&["good", "1", "1"])),
        "the sources of versions 1 and 1 are the same\n"
    );
    let missing = diff(&["good", "1", "7"]);
    assert_eq!(missing.status.code(), Some(1), "{}", stdout(&missing));
    assert_eq!(diff(&["bad"]).status.code(), Some(1));
}
