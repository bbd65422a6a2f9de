//! Through real processes: a large log, what its reader counts, and what relative paths mean.

use subak_testkit::peek;
use subak_testkit::stack::{Stack, StackOptions};

use crate::stdout;

/// About 12 MB that do not compress, each line with its number.
const PRINTS: &str = "\
dag_id: prints
tasks:
  much:
    operator: bash
    with:
      command: head -c 9000000 /dev/urandom | base64 -w 76 | awk '{print NR, $0}'
";

const COUNTS: &str = "\
dag_id: counts
tasks:
  extract: {operator: csv.read, with: {path: DIR/rows.csv}}
  sum:
    operator: aggregate
    with: {input: '{{ tasks.extract.output }}', sql: SELECT sum(n) AS n FROM extract}
  head:
    operator: transform
    with: {input: '{{ tasks.other.output }}', sql: SELECT n FROM other LIMIT 1}
  other: {operator: csv.read, with: {path: DIR/many.csv}}
";

async fn stack() -> Stack {
    let options = StackOptions { servers: 2, ..StackOptions::small(env!("CARGO_BIN_EXE_subak")) };
    Stack::start(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_log_is_whole_and_fills_no_database() {
    let stack = stack().await;
    stack.add_dag("prints", PRINTS).await.unwrap();
    let run = stack.trigger("prints", "first").await.unwrap();
    assert_eq!(stack.ended(run).await.unwrap(), "success", "{}", stack.logs());

    // The last chunks may be kept just after the result.
    let lines = 9_000_000_usize.div_ceil(57);
    let mut text = String::new();
    let whole = stack.until("the whole log", async || {
        let printed = stack.subak(&["runs", "logs", "prints", "--task", "much"]).await?;
        text = stdout(&printed);
        Ok(text.lines().count() >= lines)
    });
    whole.await.unwrap();
    let numbers = text.lines().map(|line| line.split(' ').next().unwrap().parse::<usize>());
    let numbers: Vec<usize> = numbers.collect::<Result<_, _>>().unwrap();
    assert!(numbers.iter().copied().eq(1..=lines), "{} of {lines}", numbers.len());

    let (kept, objects) = peek::log_places(&stack.store, run).await.unwrap();
    assert!(kept < 3 << 19, "{kept} bytes in the database");
    assert!(objects > 5, "{objects} objects");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_scan_are_known_once_somebody_has_read_all_of_it() {
    let stack = stack().await;
    let folder = tempfile::tempdir_in(stack.folder()).unwrap();
    let rows: String = (0..1_234).map(|n| format!("{n}\n")).collect();
    std::fs::write(folder.path().join("rows.csv"), format!("n\n{rows}")).unwrap();
    let many: String = (0..2_000_000).map(|n| format!("{n}\n")).collect();
    std::fs::write(folder.path().join("many.csv"), format!("n\n{many}")).unwrap();
    let dag = COUNTS.replace("DIR", &folder.path().display().to_string());
    stack.add_dag("counts", &dag).await.unwrap();
    let run = stack.trigger("counts", "first").await.unwrap();
    assert_eq!(stack.ended(run).await.unwrap(), "success", "{}", stack.logs());
    let counted = peek::dataset_rows(&stack.store, run).await.unwrap();
    let expected = [("extract", Some(1_234)), ("head", Some(1)), ("other", None), ("sum", Some(1))];
    assert_eq!(counted, expected.map(|(name, rows)| (name.to_owned(), rows)));
}
