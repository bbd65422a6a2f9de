//! `csv.write` and `parquet.write`: files are replaced whole, and read back as they were.

use std::io::Read;

use serde_json::json;

use crate::context::{Tasks, input, rows};

#[tokio::test]
async fn csv_files_are_replaced_whole() {
    let tasks = Tasks::new();
    let extract =
        tasks.csv(&tasks.file("a.csv", "id,name\n1,\"a,b\"\n2,\"c \"\"d\"\"\"\n3,\n")).await;
    let output = tasks.path("new/folder/out.csv");
    let with = json!({"input": extract, "path": output});
    for _ in 0..2 {
        let written = tasks.run("csv.write", "write", with.clone()).await.unwrap();
        assert_eq!(written.value.unwrap(), json!({"path": output, "rows": 3, "bytes": 31}));
        assert_eq!(
            std::fs::read_to_string(&output).unwrap(),
            "id,name\n1,\"a,b\"\n2,\"c \"\"d\"\"\"\n3,\n".to_owned()
        );
    }
    let left: Vec<_> = output.parent().unwrap().read_dir().unwrap().collect();
    assert_eq!(left.len(), 1, "a staging file is left: {left:?}");
}

#[tokio::test]
async fn a_failed_write_leaves_the_old_file() {
    let tasks = Tasks::new();
    let bad = tasks.file("bad.csv", "id\n".to_owned() + &"1\n".repeat(2_000) + "x\n");
    let extract = tasks.csv(&bad).await;
    let output = tasks.file("out.csv", "old\n");
    let message = tasks.fail("csv.write", "write", json!({"input": extract, "path": output})).await;
    assert!(message.starts_with("bad.csv:2002: column id: \"x\""), "{message}");
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "old\n");
    let hidden =
        tasks.path("").read_dir().unwrap().filter(|entry| {
            entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".part")
        });
    assert_eq!(hidden.count(), 0);
}

#[tokio::test]
async fn compressed_files_are_written_and_read() {
    let tasks = Tasks::new();
    let extract = tasks.csv(&tasks.file("a.csv", "id\n1\n2\n")).await;
    let output = tasks.path("out.csv.gz");
    tasks.run("csv.write", "write", json!({"input": extract, "path": output})).await.unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(&output).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "id\n1\n2\n");
    let again = tasks.run("csv.read", "again", json!({"path": output})).await.unwrap();
    assert_eq!(rows(&again).await, [json!({"id": 1}), json!({"id": 2})]);
}

#[tokio::test]
async fn parquet_files_give_back_what_was_written() {
    let tasks = Tasks::new();
    let file = tasks.file("a.csv", "id,at,name,price\n1,2010-12-01 08:26:00,a,1.5\n2,,b,\n");
    let extract = tasks.run("csv.read", "extract", json!({"path": file})).await.unwrap();
    for compression in ["none", "snappy", "zstd", "lz4"] {
        let output = tasks.path(&format!("{compression}.parquet"));
        let with = json!({"input": input(&extract), "path": output, "compression": compression});
        tasks.run("parquet.write", "write", with).await.unwrap();
        let again = tasks.run("parquet.read", "again", json!({"path": output})).await.unwrap();
        assert_eq!(rows(&again).await, rows(&extract).await);
        let (dataset, statistics) = again.dataset.as_ref().unwrap();
        assert_eq!(statistics.rows, Some(2));
        assert_eq!(dataset.schema, extract.dataset.as_ref().unwrap().0.schema);
        let with = json!({"input": input(&again), "sql": "SELECT sum(price) AS total FROM again"});
        let total = tasks.run("aggregate", "total", with).await.unwrap();
        assert_eq!(rows(&total).await, [json!({"total": 1.5})]);
    }
    let message = tasks.fail("parquet.read", "again", json!({"path": file})).await;
    assert!(message.starts_with("a.csv is not a readable Parquet file"), "{message}");
}

#[tokio::test]
async fn a_full_disk_is_said() {
    // /dev/full answers every write as a full disk does.
    let tasks = Tasks::new();
    let extract = tasks.csv(&tasks.file("a.csv", "id\n1\n")).await;
    let folder = tasks.path("disk");
    std::fs::create_dir(&folder).unwrap();
    let context = tasks.context("write");
    let staging = format!(".out.csv.{}.write.-1.part", context.identity.run_uuid);
    std::os::unix::fs::symlink("/dev/full", folder.join(staging)).unwrap();
    let message = tasks
        .fail("csv.write", "write", json!({"input": extract, "path": folder.join("out.csv")}))
        .await;
    assert_eq!(
        message,
        "writing disk/out.csv: the disk is full: free some space; a file that was there before is untouched"
    );
}
