//! `transform` with steps.

use serde_json::{Value, json};
use subak_task::TaskOutput;

use crate::context::{Tasks, input, rows};

/// A dataset of one user, nested as a users API gives it.
async fn user(tasks: &Tasks) -> TaskOutput {
    let csv = "title,first,last,email,number,street,phone,age\n\
               mr, maDE ,o'BRIEN wayan,\" Made@Subak.DEV\t\",12,Jalan Raya,(0361) 55-٣12,42\n\
               ,,,,,,,\n";
    let columns = json!({"age": "string", "number": "string", "phone": "string"});
    let path = tasks.file("users.csv", csv);
    let flat = tasks.run("csv.read", "flat", json!({"path": path, "columns": columns})).await;
    let sql = "SELECT CASE WHEN last IS NOT NULL THEN named_struct('first', first, 'last', last) END AS name,
                      email, named_struct('number', number, 'name', street) AS street, phone, age
               FROM flat";
    let with = json!({"input": input(&flat.unwrap()), "sql": sql});
    tasks.run("transform", "users", with).await.unwrap()
}

async fn cleaned(tasks: &Tasks, steps: Value) -> Vec<Value> {
    let users = user(tasks).await;
    let with = json!({"input": input(&users), "steps": steps});
    rows(&tasks.run("transform", "clean", with).await.unwrap()).await
}

#[tokio::test]
async fn steps_clean_columns_and_fields_of_nested_ones() {
    let tasks = Tasks::new();
    let steps = json!([
        {"trim": ["name.first", "name.last", "email"]},
        {"title_case": ["name.first", "name.last"]},
        {"lower": ["email"]},
        {"digits": ["phone"]},
        {"set": {"street_address": "concat_ws(' ', street['number'], street['name'])"}},
        {"drop": ["street"]},
        {"cast": {"age": "integer"}},
        {"rename": {"phone": "phone_cleaned"}},
    ]);
    assert_eq!(
        cleaned(&tasks, steps).await,
        [
            json!({
                "name": {"first": "Made", "last": "O'Brien Wayan"},
                "email": "made@subak.dev",
                "phone_cleaned": "03615512",
                "age": 42,
                "street_address": "12 Jalan Raya",
            }),
            // A null stays a null, nested or not.
            json!({
                "name": null,
                "email": null,
                "phone_cleaned": null,
                "age": null,
                "street_address": "",
            }),
        ]
    );
}

#[tokio::test]
async fn a_field_can_be_taken_out_of_a_nested_column() {
    let tasks = Tasks::new();
    let row = cleaned(&tasks, json!([{"drop": ["name.last", "street", "phone", "age"]}])).await;
    assert_eq!(row[0], json!({"name": {"first": " maDE "}, "email": " Made@Subak.DEV\t"}));
}

#[tokio::test]
async fn a_step_that_does_not_fit_says_so() {
    let tasks = Tasks::new();
    let users = user(&tasks).await;
    for (steps, expected) in [
        (json!([{"trim": ["emai"]}]), "step 1: no column `emai`: did you mean `email`?"),
        (
            json!([{"drop": ["age"]}, {"lower": ["age"]}]),
            "step 2: no column `age`; there is: name, email, street, phone",
        ),
        (json!([{"lower": ["name"]}]), "step 1: column `name` is Struct"),
        (json!([{"rename": {"name.first": "first"}}]), "step 1: `name.first` is nested"),
        (json!([{"set": {"a": "age +"}}]), "step 1: sql: expected an expression"),
        (
            json!([{"cast": {"email": "integer"}}]),
            "users:1: step 1: column `email`: Cannot cast string",
        ),
        (
            json!([{"rename": {"age": "email"}}]),
            "step 1: two columns would be called `email`: drop or rename the other one",
        ),
        (json!([{"trim": ["email"], "lower": ["email"]}]), "step 1 must do one thing"),
        (json!([{"shout": ["email"]}]), "unknown field `shout`"),
    ] {
        let with = json!({"input": input(&users), "steps": steps});
        let message = tasks.fail("transform", "clean", with).await;
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[tokio::test]
async fn the_row_that_cannot_be_computed_is_named() {
    let tasks = Tasks::new();
    // More than one batch.
    let mut csv = "id,a\n".to_owned();
    csv.extend((1..=20_000).map(|id| format!("{id},{id}\n")));
    csv.push_str("20001,abc\n20002,def\n");
    let path = tasks.file("numbers.csv", csv);
    let with = json!({"path": path, "columns": {"id": "bigint", "a": "string"}});
    let extract = input(&tasks.run("csv.read", "extract", with).await.unwrap());
    let no_number = "Cannot cast string 'abc' to value of";
    for (operator, with, expected) in [
        (
            "transform",
            json!({"steps": [{"trim": ["a"]}, {"cast": {"a": "integer"}}]}),
            format!(
                "extract:20001: step 2: column `a`: {no_number} Int32 type: clean or leave out"
            ),
        ),
        (
            "transform",
            json!({"steps": [{"set": {"b": "id / (id - 7)"}}]}),
            "extract:7: step 1: column `b`: division by zero: divide by nullif(".to_owned(),
        ),
        (
            "aggregate",
            json!({"sql": "SELECT sum(id / (id - 7)) AS b FROM extract"}),
            "sql: division by zero: divide by nullif(".to_owned(),
        ),
        (
            "validate",
            json!({"rules": [{"column": "id", "min": 1}, {"sql": "a > 3"}]}),
            format!("extract:20001: rule 2: {no_number}"),
        ),
    ] {
        let mut with = with;
        with["input"] = extract.clone();
        let message = tasks.fail(operator, "bad", with).await;
        assert!(message.starts_with(&expected), "{expected}: {message}");
    }
}

#[tokio::test]
async fn columns_may_take_each_others_names() {
    let tasks = Tasks::new();
    let extract = tasks.csv(&tasks.file("a.csv", "a,b\n1,2\n")).await;
    let with = json!({"input": extract, "steps": [{"rename": {"a": "b", "b": "a"}}]});
    let swapped = tasks.run("transform", "swapped", with).await.unwrap();
    assert_eq!(rows(&swapped).await, [json!({"b": 1, "a": 2})]);
}
