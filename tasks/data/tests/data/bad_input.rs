//! Bad input: one clear message each, naming the file and what to do.

use serde_json::{Value, json};

use crate::context::{Tasks, input};

async fn refuses(tasks: &Tasks, with: Value, expected: &str) {
    let message = tasks.fail("csv.read", "extract", with).await;
    assert_eq!(message, expected);
}

#[tokio::test]
async fn files_that_cannot_be_read_are_named() {
    let tasks = Tasks::new();
    let path = |name: &str| json!({"path": tasks.path(name)});
    refuses(
        &tasks,
        path("none.csv"),
        "none.csv does not exist (while opening it): check the path; it is looked up on the worker",
    )
    .await;
    refuses(&tasks, path("*.csv"), "no file matches *.csv: check the pattern").await;
    tasks.file("empty.csv", "");
    refuses(&tasks, path("empty.csv"), "empty.csv is empty: expected a header").await;
    tasks.file("twice.csv", "a,b,a\n1,2,3\n");
    refuses(
        &tasks,
        path("twice.csv"),
        "twice.csv:1: the header names `a` twice: give every column a name of its own, or set `header: false` and `names: […]`",
    )
    .await;
    tasks.file("nameless.csv", "a,,b\n1,2,3\n");
    refuses(
        &tasks,
        path("nameless.csv"),
        "nameless.csv:1: column 2 of the header has no name: give every column a name of its own, or set `header: false` and `names: […]`",
    )
    .await;
    refuses(
        &tasks,
        json!({"path": "s3://bucket/a.csv"}),
        "`s3://bucket/a.csv`: s3:// is not supported yet: use a path or a file:// URL",
    )
    .await;
}

#[tokio::test]
async fn columns_that_the_file_lacks_are_named() {
    let tasks = Tasks::new();
    let file = tasks.file("sales.csv", "InvoiceNo,CustomerID\n1,2\n");
    refuses(
        &tasks,
        json!({"path": file, "columns": {"CustomerId": "bigint"}}),
        "sales.csv has no column `CustomerId`: did you mean `CustomerID`?; it has: InvoiceNo, CustomerID",
    )
    .await;
    refuses(
        &tasks,
        json!({"path": file, "columns": {"InvoiceNo": {"type": "timestamp", "format": "%Y-%Q"}}}),
        "column InvoiceNo: `%Y-%Q` is not a strftime format",
    )
    .await;
    tasks.file("sales-2.csv", "InvoiceNo,Customer\n1,2\n");
    refuses(
        &tasks,
        json!({"path": tasks.path("sales*.csv")}),
        "sales.csv:1: column 2 is `CustomerID`, but `Customer` in sales-2.csv: files read together must have the same header",
    )
    .await;
}

/// Reads a file's rows by a query and returns the error.
async fn reading_fails(tasks: &Tasks, with: Value) -> String {
    let extract = tasks.run("csv.read", "extract", with).await.unwrap();
    tasks
        .fail("transform", "all", json!({"input": input(&extract), "sql": "SELECT * FROM extract"}))
        .await
}

#[tokio::test]
async fn a_bad_value_is_shown_with_file_line_and_column() {
    let tasks = Tasks::new();
    let file = tasks.file("sales.csv", "no,at\n1,12/1/2010 8:26\n\"2\n\",13/1/2010 8:26\n");
    let with = json!({"path": file, "columns": {"no": "string", "at": {"type": "timestamp", "format": "%m/%d/%Y %H:%M"}}});
    assert_eq!(
        reading_fails(&tasks, with).await,
        "sales.csv:3: column at: \"13/1/2010 8:26\" is not a timestamp of format %m/%d/%Y %H:%M; correct the line, or set on_bad_row to skip or dead_letter"
    );
    let file = tasks.file("short.csv", "a,b\n1,2\n3\n");
    assert_eq!(
        reading_fails(&tasks, json!({"path": file})).await,
        "short.csv:3: 1 fields instead of 2; correct the line, or set on_bad_row to skip or dead_letter"
    );
    let file = tasks.file("open.csv", "a,b\n1,x\n2,\"y\n3,z\n");
    assert_eq!(
        reading_fails(&tasks, json!({"path": file})).await,
        "open.csv:3: column b: the quote that the value begins with is never closed, so the rest of the file is one value: close it, write a quote within a value twice, or set another `quote`; correct the line, or set on_bad_row to skip or dead_letter"
    );
    let file = tasks.file("opened.csv", "a,\"b\n1,x\n");
    refuses(
        &tasks,
        json!({"path": file}),
        "opened.csv:1: a quote in the first record is never closed, so the whole file is one record: close it, or set another `quote`",
    )
    .await;
    let mut text = "n\n".to_owned();
    text.push_str(&"1\n".repeat(200_000));
    text.push_str("one\n");
    let file = tasks.file("late.csv", text);
    assert_eq!(
        reading_fails(&tasks, json!({"path": file})).await,
        "late.csv:200002: column n: \"one\" is not an integer (64 bits) (the type was taken from the first rows: declare another with `columns: {n: string}`); correct the line, or set on_bad_row to skip or dead_letter"
    );
}

#[tokio::test]
async fn a_wrong_query_is_shown_with_its_place_and_a_suggestion() {
    let tasks = Tasks::new();
    let file = tasks.file("sales.csv", "InvoiceNo,CustomerID\n1,2\n");
    let extract = tasks.csv(&file).await;
    let extract = serde_json::to_value(extract).unwrap();
    let check = async |sql: &str, expected: &str| {
        let message = tasks.fail("aggregate", "count", json!({"input": extract, "sql": sql})).await;
        assert_eq!(message, expected, "{sql}");
    };
    check(
        "SELECT\n  CustomerIDs FROM extract",
        "sql:2:3: no column `CustomerIDs`: did you mean `CustomerID`?; there is: InvoiceNo, CustomerID",
    )
    .await;
    check(
        "SELECT *\nFROM extrakt",
        "sql:2:6: no table `extrakt`: did you mean `extract`?; there is: extract",
    )
    .await;
    check("WITH a AS (SELECT 1) SELECT * FROM a, b", "sql:1:39: no table `b`; there is: extract")
        .await;
    check("DROP TABLE extract", "sql is not a query: aggregate and transform take one SELECT; the result is the task's dataset").await;
    check("SELECT 1; SELECT 2", "sql has 2 statements: write one SELECT").await;
    let message = tasks
        .fail("aggregate", "count", json!({"input": extract, "sql": "SELECT 1 FORM extract x"}))
        .await;
    assert!(message.starts_with("sql:1:15: expected "), "{message}");
    let message = tasks.fail("aggregate", "count", json!({"input": null, "sql": "SELECT 1"})).await;
    assert!(message.contains("\"input\" or \"inputs\" is missing"), "{message}");
}
