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

async fn stack() -> Result<Stack> {
    let options =
        StackOptions { slots: Some(2), ..StackOptions::small(env!("CARGO_BIN_EXE_subak")) };
    Stack::start(options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_are_listed_and_shown() -> Result<()> {
    let stack = stack().await?;
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

    let file = stack.folder().join("letters.csv");
    let to = file.to_str().context("a name")?;
    let said = asked(&stack, &["export", "--dag", "sales", "--to", to]).await?;
    assert!(said.starts_with("2 dead letters in "), "{said}");
    let text = fs::read_to_string(&file)?;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("dead_letter_id,dag_id,dag_run_id,"), "{text}");
    assert!(lines[1].starts_with("1,sales,monday,read,-1,1,"), "{text}");
    assert!(lines[1].ends_with(r#","many,yesterday","#), "{text}");
    assert!(lines[2].ends_with(",,fffe2c323032362d31312d3232") && lines.len() == 3, "{text}");
    let lines_file = file.with_extension("jsonl");
    let to = lines_file.to_str().context("a name")?;
    asked(&stack, &["export", "--reason", "yesterday", "--open", "--to", to]).await?;
    let text = fs::read_to_string(&lines_file)?;
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(serde_json::from_str::<Value>(&text)?["text"], "many,yesterday");

    // Done twice, each is in the table once, and at least once in the topic.
    let warehouse = stack.add_database("warehouse").await?;
    let broker = subak_testkit::kafka::broker().await?;
    stack.add_broker("broker", broker).await?;
    let topic = broker.topic("letters", 2, &[]).await?;
    let to_topic = format!("kafka://broker/{topic}");
    for _ in 0..2 {
        let said = asked(&stack, &["export", "--to", "postgres://warehouse/rejected"]).await?;
        assert_eq!(said, "2 dead letters in postgres://warehouse/rejected\n");
        asked(&stack, &["export", "--to", &to_topic]).await?;
    }
    let rows = "SELECT dead_letter_id || ' ' || of_run || ' ' || task_id || ' ' || position || ' '
                    || coalesce(record_text, encode(record, 'hex')) || ' '
                    || jsonb_array_length(reasons) || ' ' || (details ->> 'try_number')
                FROM rejected ORDER BY 1";
    let expected =
        ["1 monday read 3 many,yesterday 2 1", "2 monday read 4 fffe2c323032362d31312d3232 1 1"];
    assert_eq!(warehouse.texts(rows).await?, expected);
    let records = broker.records(&topic).await?;
    assert_eq!(records.len(), 4, "{records:?}");
    let keys: std::collections::BTreeSet<&str> = records.iter().map(|it| &*it.0).collect();
    assert_eq!(keys.len(), 2, "{records:?}");
    for (key, value) in &records {
        let (key, value): (Value, Value) =
            (serde_json::from_str(key)?, serde_json::from_str(value)?);
        assert_eq!((&key["dag_id"], &key["line"]), (&json!("sales"), &value["line"]));
        assert_eq!((&key["dag_run_id"], &value["state"]), (&json!("monday"), &json!("open")));
    }

    warehouse.run("CREATE TABLE other (id integer)").await?;
    for (to, said) in [
        ("postgres://warehouse/other", "CREATE TABLE IF NOT EXISTS \"other\" ("),
        ("kafka://broker/no-such-topic", "has no topic `no-such-topic`: create it"),
        ("kafka://warehouse/x", "connection `warehouse` is of type `postgres`, but a `kafka` one"),
        ("kafka://none/x", "connection `none` does not exist"),
        ("mysql://warehouse/x", "neither kafka:// nor postgres://"),
    ] {
        let output = stack.subak(&["deadletters", "export", "--to", to]).await?;
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }

    for (arguments, said) in [
        (["export", "--to=letters.txt"], "says no format: let its name end in .csv or .jsonl"),
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

const LOADS: &str = "  load:
    operator: postgres.load
    with: {connection: warehouse, input: '{{ tasks.read.output }}', table: sale}
";

/// Of these, one is right, two are mended by naming what stands for null, and one is never right.
const MENDED: &str =
    "amount,day\n12,2026-11-20\nn/a,2026-11-21\n\"x\ny\",2026-11-22\n-,2026-11-23\n";

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_file_go_through_again_and_no_others() -> Result<()> {
    let stack = stack().await?;
    let warehouse = stack.add_database("warehouse").await?;
    warehouse.run("CREATE TABLE sale (amount integer, day date)").await?;
    let file = stack.folder().join("sales.csv");
    fs::write(&file, MENDED)?;
    let dag = READS.replace("DIR", &stack.folder().display().to_string()) + LOADS;
    stack.add_dag("sales", &dag).await?;
    let run = stack.trigger("sales", "monday").await?;
    ensure!(stack.ended(run).await? == "success", "{}", stack.logs());
    let rows = "SELECT day || ' ' || coalesce(amount::text, 'null') FROM sale ORDER BY day";
    assert_eq!(warehouse.texts(rows).await?, ["2026-11-20 12"]);

    // Only what was rejected is taken: neither a row that came meanwhile, nor those that are loaded.
    fs::write(&file, format!("{MENDED}99,2026-11-24\n"))?;
    let mended = dag.replace("on_bad_row:", "null_values: [n/a, '-'], on_bad_row:");
    stack.replace_dag("sales", &mended).await?;
    let said = asked(&stack, &["replay", "--dag", "sales", "--wait"]).await?;
    assert!(said.contains("sales  read  3 "), "{said}");
    let loaded = ["2026-11-20 12", "2026-11-21 null", "2026-11-23 null"];
    assert_eq!(warehouse.texts(rows).await?, loaded);
    let letters: Value = serde_json::from_str(&asked(&stack, &["list", "--json"]).await?)?;
    let states: Vec<_> = letters.as_array().context("a list")?.iter().collect();
    let states: Vec<_> =
        states.iter().map(|it| (it["state"].as_str(), it["line"].as_i64())).collect();
    assert_eq!(states[0], (Some("open"), Some(4)));
    assert_eq!(states[1..].iter().filter(|it| it.0 == Some("replayed")).count(), 3);
    assert_eq!(letters[0]["replay_of"], 2);

    let again = stack.subak(&["deadletters", "replay", "1", "2", "3"]).await?;
    let said = stderr(&again);
    assert!(said.contains("nothing is open to be replayed: 3 replayed already"), "{said}");
    assert_eq!(warehouse.texts(rows).await?, loaded);

    // What is replaced as a whole cannot be replayed.
    let replaces = mended.replace("table: sale}", "table: sale, mode: replace}");
    stack.replace_dag("sales", &replaces).await?;
    let refused = stack.subak(&["deadletters", "replay", "--dag", "sales"]).await?;
    let said = stderr(&refused);
    assert!(said.contains("task `load` replaces all that it wrote before"), "{said}");
    assert_eq!(warehouse.texts(rows).await?, loaded);

    // What is never right is dismissed, and neither replayed nor dismissed again.
    assert_eq!(
        asked(&stack, &["dismiss", "--dag", "sales", "--reason", "integer"]).await?,
        "1 dismissed\n"
    );
    for (again, said) in [
        (
            ["dismiss", "--dag", "sales"],
            "nothing is open to be dismissed: 3 replayed already; 1 dismissed",
        ),
        (
            ["replay", "--dag", "sales"],
            "nothing is open to be replayed: 3 replayed already; 1 dismissed",
        ),
    ] {
        let refused = stack.subak(&[&["deadletters"], &again[..]].concat()).await?;
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains(said), "{}", stderr(&refused));
    }
    let all = stack.subak(&["deadletters", "dismiss"]).await?;
    assert!(stderr(&all).contains("say which: by ids, or by --dag"), "{}", stderr(&all));
    Ok(())
}
