//! `subak pools`.

use crate::{clean, stderr, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn pools_are_made_listed_and_removed() {
    let database = subak_testkit::database().await.unwrap();
    let pools = |arguments: &[&str]| {
        let mut command = clean();
        command.arg("pools").args(arguments).env("SUBAK_DATABASE_URL", &database.url);
        command.output().unwrap()
    };
    for slots in ["4", "-1"] {
        let set = pools(&["set", "warehouse", slots, "--description", "connections"]);
        assert_eq!(set.status.code(), Some(0), "{}", stderr(&set));
    }
    let list = stdout(&pools(&["list"]));
    assert!(list.contains("default_pool") && list.contains("connections"), "{list}");
    assert!(stderr(&pools(&["set", "default_pool", "4"])).contains("has no limit"));
    assert!(stderr(&pools(&["set", "warehouse", "-2"])).contains("-2"));
    assert_eq!(pools(&["remove", "warehouse"]).status.code(), Some(0));
    let gone = pools(&["remove", "warehouse"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("there is no pool `warehouse`"), "{}", stderr(&gone));
}
