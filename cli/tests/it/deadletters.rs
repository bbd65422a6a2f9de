//! Records that tasks rejected, as people find them, through real processes.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use subak_testkit::stack::{Stack, StackOptions};

use crate::{stderr, stdout};

const READS: &str = "\
dag_id: sales
tasks:
  read:
    operator: csv.read
    with: {path: DIR/sales.csv, columns: {amount: integer, day: date}, on_bad_row: dead_letter}
";

const ROWS: &[u8] = b"amount,day\n12,2026-11-20\nmany,yesterday\n\xff\xfe,2026-11-22\n";

async fn asked(stack: &Stack, arguments: &[&str]) -> Result<String> {
    let output = stack.subak(&[&["deadletters"], arguments].concat()).await?;
    ensure!(output.status.success(), "{}", stderr(&output));
    Ok(stdout(&output))
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_are_listed_and_shown() -> Result<()> {
    let options = StackOptions {
        binary: env!("CARGO_BIN_EXE_subak").into(),
        servers: 1,
        workers: 1,
        slots: Some(2),
        lease_secs: 30,
    };
    let stack = Stack::start(options).await?;
    let folder = stack.folder().display().to_string();
    fs::write(stack.folder().join("sales.csv"), ROWS)?;
    stack.add_dag("sales", &READS.replace("DIR", &folder)).await?;
    let run = stack.trigger("sales", "monday").await?;
    ensure!(stack.ended(run).await? == "success", "{}", stack.logs());

    let list = asked(&stack, &["list", "--dag", "sales", "--open"]).await?;
    let lines: Vec<&str> = list.lines().map(str::trim).collect();
    assert_eq!(lines.len(), 3, "{list}");
    assert!(lines[0].starts_with("ID  DAG    TASK  RUN     RECORD"), "{list}");
    let both = r#"open   column amount: "many" is not an integer (32 bits) (and 1 more)"#;
    assert!(lines[2].starts_with("1   sales  read  monday") && lines[2].ends_with(both), "{list}");
    assert!(lines[2].contains("/sales.csv:3  "), "{list}");

    let some = asked(&stack, &["list", "--reason", "yesterday", "--json"]).await?;
    let some: Value = serde_json::from_str(&some)?;
    let one = some.as_array().filter(|all| all.len() == 1).context("one")?[0].clone();
    assert_eq!(
        (&one["line"], &one["offset"], &one["try_number"]),
        (&json!(3), &Value::Null, &json!(1))
    );
    assert_eq!(asked(&stack, &["list", "--run", "tuesday"]).await?.lines().count(), 1);

    let shown = asked(&stack, &["show", "1"]).await?;
    for part in
        ["task  read, try 1", "  column day: \"yesterday\"", "record (14 bytes):\nmany,yesterday"]
    {
        assert!(shown.contains(part), "no `{part}` in {shown}");
    }
    let bytes = asked(&stack, &["show", "2"]).await?;
    assert!(bytes.contains("not UTF-8):\n00000000  ff fe 2c 32"), "{bytes}");
    let bytes: Value = serde_json::from_str(&asked(&stack, &["show", "2", "--json"]).await?)?;
    assert_eq!(
        (&bytes["hex"], &bytes["text"]),
        (&json!("fffe2c323032362d31312d3232"), &Value::Null)
    );

    for (arguments, said) in [
        (["show", "9"], "dead letter 9 does not exist: see `subak deadletters list`"),
        (
            ["list", "--dag=none"],
            "DAG `none` does not exist: `subak dags list` shows those that do",
        ),
    ] {
        let output = stack.subak(&[&["deadletters"], &arguments[..]].concat()).await?;
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
    Ok(())
}
