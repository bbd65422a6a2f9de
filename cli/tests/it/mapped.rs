//! Through real processes: one instance of a mapped task, explained and marked by itself.

use subak_testkit::stack::{Stack, StackOptions};

use crate::{stderr, stdout};

const MANY: &str = "
dag_id: many
tasks:
  each:
    operator: bash
    expand: {env: [{N: '0'}, {N: '1'}, {N: '2'}]}
    with: {command: test $N != 1}
  last: {operator: noop, depends_on: [each]}
";

#[tokio::test(flavor = "multi_thread")]
async fn one_instance_is_explained_and_marked() {
    let options = StackOptions::small(env!("CARGO_BIN_EXE_subak"));
    let stack = Stack::start(options).await.unwrap();
    stack.add_dag("many", MANY).await.unwrap();
    let run = stack.trigger("many", "first").await.unwrap();
    assert_eq!(stack.ended(run).await.unwrap(), "failed", "{}", stack.logs());
    let explain = async |index: &str| {
        let why = ["explain", "many", "each", "--map-index", index];
        stdout(&stack.subak(&why).await.unwrap())
    };
    assert!(explain("0").await.contains("has ended (success)"), "{}", explain("0").await);
    assert!(explain("1").await.contains("has ended (failed)"), "{}", explain("1").await);
    let never = stack.subak(&["explain", "many", "each", "--map-index", "3"]).await.unwrap();
    assert!(stderr(&never).contains("task `each` has no instance 3"), "{}", stderr(&never));

    let logs = ["runs", "logs", "many", "first", "--task", "each", "--try-number", "7"];
    for (wrong, why) in [
        (&logs[..], "has no try 7: its last one is 1"),
        (&["runs", "list", "nosuch"][..], "DAG `nosuch` does not exist"),
    ] {
        let told = stack.subak(wrong).await.unwrap();
        assert_eq!(told.status.code(), Some(1), "{}", stdout(&told));
        assert!(stderr(&told).contains(why), "{}", stderr(&told));
    }

    let mark = async |more: &[&str]| {
        let mark = ["runs", "mark", "many", "first", "--task", "each", "--success"];
        stack.subak(&[&mark, more].concat()).await.unwrap()
    };
    let wrong = mark(&["--map-index", "1", "--downstream"]).await;
    assert!(stderr(&wrong).contains("--map-index names one instance"), "{}", stderr(&wrong));
    let none = mark(&["--map-index", "3"]).await;
    assert!(stderr(&none).contains("task `each` has no instance 3"), "{}", stderr(&none));
    let marked = mark(&["--map-index", "1"]).await;
    assert!(stdout(&marked).contains("marked as success: each[1]"), "{}", stdout(&marked));
    assert!(stdout(&marked).contains("judged again: last"), "{}", stdout(&marked));
    assert_eq!(stack.ended(run).await.unwrap(), "success", "{}", stack.logs());
    assert!(explain("1").await.contains("marked as success by cli"), "{}", explain("1").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_mapped_task_what_failed_is_cleared_alone() {
    let options = StackOptions::small(env!("CARGO_BIN_EXE_subak"));
    let stack = Stack::start(options).await.unwrap();
    let folder = stack.folder().to_owned();
    let command = format!(
        "echo ran >> {0}/ran-$N; test $N != 1 || test -e {0}/mended",
        folder.to_str().unwrap()
    );
    stack.add_dag("many", &MANY.replace("test $N != 1", &format!("'{command}'"))).await.unwrap();
    let run = stack.trigger("many", "first").await.unwrap();
    assert_eq!(stack.ended(run).await.unwrap(), "failed", "{}", stack.logs());
    let clear = async |more: &[&str]| {
        let clear = ["runs", "clear", "many", "first", "--wait"];
        stack.subak(&[&clear, more].concat()).await.unwrap()
    };
    let ran = |index: u32| {
        std::fs::read_to_string(folder.join(format!("ran-{index}"))).unwrap().lines().count()
    };
    std::fs::write(folder.join("mended"), "").unwrap();
    let failed = clear(&["--failed"]).await;
    assert!(failed.status.success(), "{}", stderr(&failed));
    assert_eq!([ran(0), ran(1), ran(2)], [1, 2, 1]);
    let one = clear(&["--task", "each", "--map-index", "2"]).await;
    assert!(one.status.success(), "{}", stderr(&one));
    assert_eq!([ran(0), ran(1), ran(2)], [1, 2, 2]);
    for (task, index) in [("each", "3"), ("last", "0")] {
        let none = clear(&["--task", task, "--map-index", index]).await;
        let why = format!("task `{task}` has no instance {index}");
        assert!(stderr(&none).contains(&why), "{}", stderr(&none));
    }
    let wrong = clear(&["--task", "each", "--map-index", "2", "--past"]).await;
    assert!(stderr(&wrong).contains("--map-index names one instance"), "{}", stderr(&wrong));
}
