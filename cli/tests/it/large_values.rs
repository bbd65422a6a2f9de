//! Through real processes: XComs that are too large for the database.

use subak_core::ids::MapIndex;
use subak_core::xcom;
use subak_store::Storage;
use subak_testkit::peek;
use subak_testkit::stack::{Stack, StackOptions};

use crate::stdout;

/// A list of 3 texts of 60,000 characters, a text for each of them, and who names them.
const VALUES: &str = r#"
dag_id: large
tasks:
  make:
    operator: python
    with:
      code: |
        import json, os
        json.dump([str(n) + "x" * 60000 for n in range(3)], open(os.environ["SUBAK_RESULT"], "w"))
  count:
    operator: bash
    depends_on: [make]
    with:
      command: echo "$COUNT $FIRST"
      env: {COUNT: "{{ ti.xcom_pull('make') | length }}", FIRST: "{{ ti.xcom_pull('make')[2][:3] }}"}
  long: {operator: short_circuit, depends_on: [make], with: {condition: "{{ ti.xcom_pull('make') | length == 3 }}"}}
  each:
    operator: python
    expand: {input: "{{ ti.xcom_pull('make') }}"}
    with:
      code: |
        import json, os
        value = json.load(open(os.environ["SUBAK_INPUT"])) + "y" * 10000
        json.dump(value, open(os.environ["SUBAK_RESULT"], "w"))
  sum:
    operator: bash
    depends_on: [each]
    with: {command: echo "$BYTES", env: {BYTES: "{{ ti.xcom_pull('each') | join | length }}"}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn large_xcoms_lie_under_the_storage_and_go_with_their_run() {
    let options = StackOptions::small(env!("CARGO_BIN_EXE_subak"));
    let stack = Stack::start(options).await.unwrap();
    stack.add_dag("large", VALUES).await.unwrap();
    let run = stack.trigger("large", "first").await.unwrap();
    assert_eq!(stack.ended(run).await.unwrap(), "success", "{}", stack.logs());

    // 1 for the list, 3 for what is made of its texts; nothing of them is in the database.
    let places = "SELECT count(object) || ' ' || (max(length(value::text)) < 1000) FROM xcom";
    assert_eq!(peek::text(&stack.store, places).await.unwrap().as_deref(), Some("4 true"));
    let installation = stack.store.installation().await.unwrap().to_string();
    let storage = Storage::open(&stack.storage().display().to_string(), &installation).unwrap();
    let store = stack.store.clone().with_storage(storage);
    let numbers = peek::task_numbers(&stack.store, run).await.unwrap();
    let value = async |task: &str, index: MapIndex| {
        let found = store.xcom_list(run, numbers[task].0, index).await.unwrap().pop().unwrap();
        store.xcom_value(found).await.unwrap()
    };
    let list = value("make", MapIndex::NONE).await;
    assert_eq!(list[2].as_str().unwrap(), format!("2{}", "x".repeat(60_000)));
    let text = value("each", MapIndex(1)).await;
    assert_eq!(text.as_str().unwrap(), format!("1{}{}", "x".repeat(60_000), "y".repeat(10_000)));
    assert_eq!(value("count", MapIndex::NONE).await, "3 2xx");
    assert_eq!(value("sum", MapIndex::NONE).await, "210003");

    let folder = stack.storage().join(xcom::folder(&installation, run));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 4);
    let deleted = stack.subak(&["runs", "delete", "large", "first"]).await.unwrap();
    assert!(deleted.status.success(), "{}", stdout(&deleted));
    let left = std::fs::read_dir(&folder).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}
