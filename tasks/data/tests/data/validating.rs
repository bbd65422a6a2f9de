//! `validate`: every rule, all reasons, nothing lost.

use serde_json::{Value, json};
use subak_task::TaskOutput;

use crate::context::{Tasks, input, rows};

/// Validates a CSV file; every column but those named is text.
async fn validate(tasks: &Tasks, csv: &str, columns: Value, rules: Value) -> TaskOutput {
    let path = tasks.file("rows.csv", csv);
    let read = json!({"path": path, "columns": columns});
    let extract = tasks.run("csv.read", "extract", read).await.unwrap();
    let with = json!({"input": input(&extract), "rules": rules});
    tasks.run("validate", "check", with).await.unwrap()
}

/// The rejected rows: place and reasons.
fn rejected(tasks: &Tasks) -> Vec<(i64, Vec<String>)> {
    let letters = tasks.recorded.dead_letters.lock().unwrap();
    letters.iter().map(|letter| (letter.position, letter.reasons.clone())).collect()
}

#[tokio::test]
async fn a_row_is_rejected_with_all_of_its_reasons() {
    let tasks = Tasks::new();
    let csv = "name,email,age\n\
               Made,made@subak.dev,30\n\
               \" \",not-an-address,-1\n\
               ,ketut@subak.dev,\n";
    let rules = json!([
        {"column": "name", "not_empty": true},
        {"column": "email", "matches": "email"},
        {"column": "age", "min": 0, "max": 150},
    ]);
    let output = validate(&tasks, csv, json!({"age": "integer"}), rules).await;
    assert_eq!(
        rows(&output).await,
        [json!({"name": "Made", "email": "made@subak.dev", "age": 30})]
    );
    assert_eq!(output.rows_rejected, 2);
    assert_eq!(
        rejected(&tasks),
        [
            (
                2,
                vec![
                    "`name` is empty".to_owned(),
                    "`email` is not an e-mail address".to_owned(),
                    "`age` is less than 0".to_owned(),
                ]
            ),
            (3, vec!["`name` is empty".to_owned()]),
        ]
    );
    let letters = tasks.recorded.dead_letters.lock().unwrap();
    assert_eq!(letters[0].source, "extract");
    let raw: Value = serde_json::from_slice(&letters[0].raw).unwrap();
    assert_eq!(raw, json!({"name": " ", "email": "not-an-address", "age": -1}));
}

/// Values of the column `a` that a rule keeps.
async fn kept(values: &[&str], data_type: &str, rule: Value) -> Vec<Value> {
    let tasks = Tasks::new();
    // A second column, so that a null is not an empty line.
    let csv = values.iter().fold("a,b\n".to_owned(), |csv, value| format!("{csv}{value},1\n"));
    let output = validate(&tasks, &csv, json!({"a": data_type}), json!([rule])).await;
    let rows = rows(&output).await;
    assert_eq!(rows.len() + rejected(&tasks).len(), values.len());
    rows.into_iter().map(|mut row| row["a"].take()).collect()
}

#[tokio::test]
async fn a_condition_may_use_functions_that_planning_replaces() {
    for sql in ["coalesce(a, '') <> ''", "nvl(a, '') <> ''"] {
        assert_eq!(kept(&["x", ""], "string", json!({"sql": sql})).await, ["x"]);
    }
}

#[tokio::test]
async fn a_null_breaks_only_what_refuses_nulls() {
    for rule in [
        json!({"column": "a", "type": "integer"}),
        json!({"column": "a", "matches": "uuid"}),
        json!({"column": "a", "min": 1}),
        json!({"column": "a", "in": ["x"]}),
        json!({"column": "a", "min_length": 3}),
        json!({"column": "a", "unique": true}),
        json!({"sql": "a > 'b'"}),
    ] {
        assert_eq!(kept(&["", ""], "string", rule.clone()).await.len(), 2, "{rule}");
    }
    for check in ["not_null", "not_empty"] {
        let rule = json!({"column": "a", check: true});
        assert_eq!(kept(&["", "x"], "string", rule).await, ["x"], "{check}");
    }
}

#[tokio::test]
async fn each_rule_keeps_what_it_says() {
    let addresses = ["a@b.co", "a.b+c@d-e.org", "a@b", "@b.co", "a b@c.de", "a@-b.co", "é@b.co"];
    let rule = json!({"column": "a", "matches": "email"});
    assert_eq!(kept(&addresses, "string", rule).await, ["a@b.co", "a.b+c@d-e.org"]);

    let dates = ["2026-02-28", "2026-02-30", "2026-2-1", "yesterday"];
    let rule = json!({"column": "a", "matches": "date"});
    assert_eq!(kept(&dates, "string", rule).await, ["2026-02-28"]);

    let ids = ["0e37df36-f698-11e6-8dd4-cb9ced3df976", "0e37df36f69811e68dd4cb9ced3df976"];
    let rule = json!({"column": "a", "matches": "uuid"});
    assert_eq!(kept(&ids, "string", rule).await, [ids[0]]);

    let rule = json!({"column": "a", "matches": "[A-Z]{2}|x"});
    assert_eq!(kept(&["AB", "ABC", "x", "xx"], "string", rule).await, ["AB", "x"]);

    let numbers = ["1", "1.5", "x", "99999999999"];
    let rule = json!({"column": "a", "type": "integer"});
    assert_eq!(kept(&numbers, "string", rule).await, ["1"]);
    // What is no number is in no range of numbers.
    let rule = json!({"column": "a", "max": 2});
    assert_eq!(kept(&numbers, "string", rule).await, ["1", "1.5"]);

    let rule = json!({"column": "a", "min": "2026-01-01", "max": "2026-12-31"});
    let days = ["2025-12-31", "2026-01-01", "2026-12-31", "2027-01-01"];
    assert_eq!(kept(&days, "date", rule).await, ["2026-01-01", "2026-12-31"]);

    let rule = json!({"column": "a", "in": [1, 3]});
    assert_eq!(kept(&["1", "2", "3"], "bigint", rule).await, [1, 3]);

    let rule = json!({"column": "a", "min_length": 2, "max_length": 3});
    assert_eq!(kept(&["é", "éé", "ééé", "éééé"], "string", rule).await, ["éé", "ééé"]);

    let rule = json!({"sql": "a * b < 10"});
    assert_eq!(kept(&["9", "10"], "bigint", rule).await, [9]);
}

#[tokio::test]
async fn what_is_no_number_is_told_from_one_out_of_range() {
    let tasks = Tasks::new();
    let rules = json!([{"column": "name", "min": 3, "max": 9}]);
    validate(&tasks, "name\nann\n2\n5\n10\n", json!({"name": "string"}), rules).await;
    let reason = |text: &str| vec![format!("`name` is {text}")];
    assert_eq!(
        rejected(&tasks),
        [(1, reason("not a number")), (2, reason("less than 3")), (4, reason("more than 9"))]
    );
}

#[tokio::test]
async fn of_rows_with_the_same_value_the_first_good_one_is_kept() {
    let tasks = Tasks::new();
    let csv = "email,age\na@b.co,-1\na@b.co,1\na@b.co,2\nc@d.co,3\na@b.co,-2\n";
    let rules = json!([{"column": "email", "unique": true}, {"column": "age", "min": 0}]);
    let output = validate(&tasks, csv, json!({"age": "integer"}), rules).await;
    let ages: Vec<_> = rows(&output).await.into_iter().map(|mut row| row["age"].take()).collect();
    assert_eq!(ages, [1, 3]);
    let (less, twice) = ("`age` is less than 0".to_owned(), "`email` is not unique".to_owned());
    assert_eq!(
        rejected(&tasks),
        [(1, vec![less.clone()]), (3, vec![twice.clone()]), (5, vec![less, twice])]
    );
}

#[tokio::test]
async fn values_to_compare_are_bounded() {
    let mut tasks = Tasks::new();
    tasks.memory_bytes = 400;
    let csv = (0..100).fold("a\n".to_owned(), |csv, n| format!("{csv}{n}\n"));
    let extract = tasks.csv(&tasks.file("a.csv", csv)).await;
    let with = json!({"input": extract, "rules": [{"column": "a", "unique": true}]});
    let message = tasks.fail("validate", "check", with).await;
    assert!(message.starts_with("`a` has more than 10 values, too many to compare"), "{message}");
}

#[tokio::test]
async fn a_path_leads_into_nested_columns() {
    let tasks = Tasks::new();
    let people = tasks.csv(&tasks.file("p.csv", "first,last\nMade,Wayan\n,Ketut\n")).await;
    let with = json!({
        "input": people,
        "sql": "SELECT named_struct('first', first, 'last', last) AS name FROM extract",
    });
    let nested = tasks.run("transform", "nested", with).await.unwrap();
    let rules = json!([{"column": "name.first", "not_empty": true}]);
    let with = json!({"input": input(&nested), "rules": rules});
    let output = tasks.run("validate", "check", with).await.unwrap();
    assert_eq!(rows(&output).await, [json!({"name": {"first": "Made", "last": "Wayan"}})]);
    assert_eq!(rejected(&tasks), [(2, vec!["`name.first` is empty".to_owned()])]);

    let rules = json!([{"column": "name.fist", "not_empty": true}]);
    let with = json!({"input": input(&nested), "rules": rules});
    let message = tasks.fail("validate", "check", with).await;
    assert_eq!(
        message,
        "rule 1: no column `name.fist`: did you mean `first`?; there is: first, last"
    );
}

#[tokio::test]
async fn a_bad_row_can_fail_the_task_or_be_skipped() {
    let tasks = Tasks::new();
    let extract = tasks.csv(&tasks.file("a.csv", "a,b\n1,x\n2,\n")).await;
    let with = |fate: &str| {
        let rules = json!([{"column": "b", "not_null": true, "reason": "no b"}]);
        json!({"input": extract, "rules": rules, "on_bad_row": fate})
    };
    assert_eq!(tasks.fail("validate", "check", with("fail")).await, "extract:2: no b");
    let output = tasks.run("validate", "check", with("skip")).await.unwrap();
    assert_eq!(rows(&output).await, [json!({"a": 1, "b": "x"})]);
    assert_eq!(output.rows_rejected, 1);
    assert!(rejected(&tasks).is_empty());
}

#[tokio::test]
async fn a_wrong_rule_is_named_before_a_row_is_read() {
    let tasks = Tasks::new();
    let extract = tasks.csv(&tasks.file("a.csv", "a\n1\n")).await;
    for (rule, expected) in [
        (json!({"column": "a"}), "rule 1: it checks nothing"),
        (json!({"not_null": true}), "rule 1: \"column\" is missing"),
        (
            json!({"column": "a", "matches": "("}),
            "rule 1: `(` is not a regular expression: unclosed group",
        ),
        (
            json!({"column": "a", "min": "abc"}),
            "rule 1: `min`: `abc` can't be compared with column `a`, which is Int64: write a number",
        ),
        (json!({"column": "a", "in": [1, "abc"]}), "rule 1: `in`: `abc` can't be compared"),
        (json!({"sql": "a +"}), "rule 1: sql: expected an expression"),
        (json!({"sql": "b > 1"}), "rule 1: sql: no column `b`"),
        (json!({"sql": "a + 1"}), "rule 1: `sql` must be a condition; `a + 1` gives Int64"),
    ] {
        let with = json!({"input": extract, "rules": [rule]});
        let message = tasks.fail("validate", "check", with).await;
        assert!(message.contains(expected), "{expected}: {message}");
    }
}
