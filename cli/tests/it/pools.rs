//! `subak pools`, and what is on record of what commands change in the database.

use serde_json::{Value, json};

use crate::{clean, stderr, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn pools_are_made_listed_and_removed_and_how_they_were_is_on_record() {
    let database = subak_testkit::database().await.unwrap();
    let subak = |arguments: &[&str]| {
        let mut command = clean();
        command.args(arguments).env("SUBAK_DATABASE_URL", &database.url);
        command.env("SUBAK_SECRET_KEY", "00".repeat(32)).output().unwrap()
    };
    let pools = |arguments: &[&str]| subak(&[&["pools"][..], arguments].concat());
    for slots in ["4", "-1"] {
        let set = pools(&["set", "warehouse", slots, "--description", "connections"]);
        assert_eq!(set.status.code(), Some(0), "{}", stderr(&set));
    }
    let list = stdout(&pools(&["list"]));
    assert!(list.contains("default_pool") && list.contains("connections"), "{list}");
    assert_eq!(list.matches("default_pool").count(), 1, "{list}");
    assert!(stderr(&pools(&["remove", "default_pool"])).contains("always there"));
    assert!(stderr(&pools(&["set", "default_pool", "4"])).contains("has no limit"));
    assert!(stderr(&pools(&["set", "warehouse", "-2"])).contains("-2"));
    assert_eq!(pools(&["remove", "warehouse"]).status.code(), Some(0));
    let gone = pools(&["remove", "warehouse"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("there is no pool `warehouse`"), "{}", stderr(&gone));

    // Of values that may be secret only that they are others.
    for value in ["eu", "hunter22"] {
        for set in [
            ["variables", "set", "region", value].as_slice(),
            &["connections", "add", "db", "--host", value],
        ] {
            let done = subak(set);
            assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        }
    }
    let log = stdout(&subak(&["audit", "--output", "json"]));
    assert!(!log.contains("hunter22"), "{log}");
    let log: Vec<Value> = serde_json::from_str(&log).unwrap();
    let told = log.iter().rev().map(|it| {
        let extra: Value = serde_json::from_str(it["extra"].as_str().unwrap()).unwrap();
        json!([it["event"], extra["before"], extra["after"]])
    });
    let pool = |slots: i32| json!({"slots": slots, "include_deferred": false, "description": "connections"});
    let variable = |value: &str| json!({"key": "region", "value": value, "description": null});
    let connection =
        |value: &str| json!({"conn_type": "postgres", "description": null, "value": value});
    let (hidden, changed) = ("***", "*** (changed)");
    let expected = [
        json!(["patch_pool", null, pool(4)]),
        json!(["patch_pool", pool(4), pool(-1)]),
        json!(["delete_pool", pool(-1), null]),
        json!(["patch_variable", null, variable(hidden)]),
        json!(["patch_connection", null, connection(hidden)]),
        json!(["patch_variable", variable(hidden), variable(changed)]),
        json!(["patch_connection", connection(hidden), connection(changed)]),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}
