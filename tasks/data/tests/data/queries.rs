//! `aggregate` and `transform`: results, statistics, order, memory, cancelling.

use std::fmt::Write as _;

use arrow::array::AsArray as _;
use futures::TryStreamExt;
use serde_json::json;
use subak_task::{ErrorClass, TaskOutput};

use crate::context::{Tasks, input, rows};

fn numbers(rows: u64) -> String {
    (0..rows).fold("id,half\n".to_owned(), |mut text, id| {
        writeln!(text, "{id},{}", id / 2).unwrap();
        text
    })
}

#[tokio::test]
async fn tables_go_by_the_names_of_tasks_and_inputs() {
    let tasks = Tasks::new();
    let extract = tasks.csv(&tasks.file("a.csv", "id,name\n1,a\n2,b\n3,\n")).await;
    let other = tasks.csv(&tasks.file("b.csv", "id,city\n1,Ubud\n2,Denpasar\n")).await;
    let with = json!({
        "inputs": {"people": extract, "Cities": other},
        "sql": "SELECT people.id, city, name FROM people JOIN Cities ON people.id = Cities.id ORDER BY people.id",
    });
    let joined = tasks.run("transform", "joined", with).await.unwrap();
    assert_eq!(
        rows(&joined).await,
        [
            json!({"id": 1, "city": "Ubud", "name": "a"}),
            json!({"id": 2, "city": "Denpasar", "name": "b"})
        ]
    );
    let with = json!({"input": input(&joined), "sql": "SELECT max(id) AS last FROM joined"});
    let last = tasks.run("aggregate", "last", with).await.unwrap();
    assert_eq!(rows(&last).await, [json!({"last": 2})]);
}

#[tokio::test]
async fn rows_stay_in_the_order_of_the_file() {
    let tasks = Tasks::new();
    let extract = tasks.csv(&tasks.file("a.csv", numbers(300_000))).await;
    let with = json!({"input": extract, "sql": "SELECT id FROM extract WHERE id % 3 = 0"});
    let thirds = tasks.run("transform", "thirds", with).await.unwrap();
    assert!(ids(&tasks, &thirds).await.eq((0..100_000).map(|third| third * 3)));
    // Of a dataset of ours each thread does a part.
    let with = json!({"input": input(&thirds), "sql": "SELECT id FROM thirds WHERE id % 2 = 0"});
    let sixths = tasks.run("transform", "sixths", with).await.unwrap();
    assert!(ids(&tasks, &sixths).await.eq((0..50_000).map(|sixth| sixth * 6)));
    let with = json!({"input": input(&sixths), "sql": "SELECT id FROM sixths LIMIT 40000"});
    let some = tasks.run("transform", "some", with).await.unwrap();
    assert!(ids(&tasks, &some).await.eq((0..40_000).map(|sixth| sixth * 6)));
}

/// All of them: a preview is bounded.
async fn ids(tasks: &Tasks, output: &TaskOutput) -> impl Iterator<Item = i64> {
    let (dataset, ctx) = (&output.dataset.as_ref().unwrap().0, tasks.context("check"));
    let stream = ctx.datasets.read(dataset, None, &ctx).await.unwrap();
    let batches: Vec<_> = stream.batches.try_collect().await.unwrap();
    batches.into_iter().flat_map(|batch| {
        let ids =
            arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Int64).unwrap();
        ids.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
    })
}

#[tokio::test]
async fn results_are_described_as_they_are_written() {
    let tasks = Tasks::new();
    let extract = tasks.csv(&tasks.file("a.csv", numbers(50_000))).await;
    let sql = "SELECT id, half, CASE WHEN id % 10 = 0 THEN NULL ELSE 'x' END AS text FROM extract";
    let output =
        tasks.run("transform", "described", json!({"input": extract, "sql": sql})).await.unwrap();
    let (dataset, statistics) = output.dataset.as_ref().unwrap();
    assert_eq!(statistics.rows, Some(50_000));
    assert_eq!(statistics.preview.len(), 100);
    assert_eq!(statistics.preview[1], json!({"id": 1, "half": 0, "text": "x"}));
    let half = &statistics.columns["half"];
    assert_eq!(
        (half.min.as_deref(), half.max.as_deref(), half.nulls),
        (Some("0"), Some("24999"), 0)
    );
    let distinct = half.distinct.unwrap();
    assert!((24_000..26_000).contains(&distinct), "{distinct}");
    assert_eq!(statistics.columns["text"].nulls, 5_000);
    assert_eq!(statistics.columns["text"].distinct, Some(1));
    let types: Vec<_> = dataset.schema.iter().map(|column| column.data_type.as_str()).collect();
    assert_eq!(types, ["Int64", "Int64", "Utf8"]);

    // The reader gives the wanted columns, in the wanted order.
    let columns = ["text".to_owned(), "id".to_owned()];
    let stream = subak_tasks_data::reader()
        .read(dataset, Some(&columns), &tasks.context("reading"))
        .await
        .unwrap();
    assert_eq!(stream.schema.field(0).name(), "text");
    let batches: Vec<_> = stream.batches.try_collect().await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 50_000);
    assert!(batches.iter().all(|batch| batch.schema().field(1).name() == "id"));
}

#[tokio::test]
async fn a_result_without_rows_is_a_dataset_too() {
    let tasks = Tasks::new();
    let extract = tasks.csv(&tasks.file("a.csv", numbers(10))).await;
    let with = json!({"input": extract, "sql": "SELECT id FROM extract WHERE id > 100"});
    let none = tasks.run("transform", "none", with).await.unwrap();
    assert_eq!(none.dataset.as_ref().unwrap().1.rows, Some(0));
    assert!(rows(&none).await.is_empty());
    let with = json!({"input": input(&none), "sql": "SELECT count(*) AS rows FROM none"});
    assert_eq!(
        rows(&tasks.run("aggregate", "count", with).await.unwrap()).await,
        [json!({"rows": 0})]
    );
}

#[tokio::test]
async fn a_sort_larger_than_its_memory_spills() {
    let mut tasks = Tasks::new();
    tasks.memory_bytes = 48 << 20;
    let extract = tasks.csv(&tasks.file("a.csv", numbers(2_000_000))).await;
    let sql = "SELECT id, half, 'padding' || id AS padding FROM extract ORDER BY id DESC";
    let sorted =
        tasks.run("transform", "sorted", json!({"input": extract, "sql": sql})).await.unwrap();
    let statistics = &sorted.dataset.as_ref().unwrap().1;
    assert_eq!(statistics.rows, Some(2_000_000));
    assert_eq!(statistics.preview[0]["id"], json!(1_999_999));
}

#[tokio::test]
async fn a_cancelled_query_ends() {
    let tasks = Tasks::new();
    let extract = tasks.csv(&tasks.file("a.csv", numbers(20_000))).await;
    // Four hundred million pairs: it does not end by itself in time.
    let sql = "SELECT count(*) FROM extract a, extract b WHERE a.id * b.id % 7 = 1";
    tasks.cancel.cancel();
    let error =
        tasks.run("aggregate", "pairs", json!({"input": extract, "sql": sql})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Cancelled);
}
