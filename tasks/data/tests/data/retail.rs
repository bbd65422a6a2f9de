//! The retail job: distinct customers a month.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::context::{Tasks, input};

/// The arguments of a task of `dags/retail_retention.yaml`.
fn with(task: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dags/retail_retention.yaml");
    let parsed =
        subak_core::dag::parse("retail_retention.yaml", &std::fs::read_to_string(file).unwrap());
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    parsed.dags[0].tasks.iter().find(|known| known.task_id.0.as_str() == task).unwrap().with.clone()
}

/// Runs the DAG's tasks up to the CSV file, whose text it returns.
async fn job(tasks: &Tasks, path: &Path) -> String {
    let output = tasks.path("out/retention.csv");
    let run = async |operator: &str, task: &str, set: &[(&str, Value)]| {
        let mut with = with(task);
        for (argument, value) in set {
            with[argument] = value.clone();
        }
        tasks.run(operator, task, with).await.unwrap()
    };
    let extract = run("csv.read", "extract", &[("path", json!(path))]).await;
    let counted = run("aggregate", "unique_customers", &[("input", input(&extract))]).await;
    let set = [("input", input(&counted)), ("path", json!(output))];
    let written = run("csv.write", "write_csv", &set).await;
    assert_eq!(written.value.unwrap()["rows"], 13);
    std::fs::read_to_string(output).unwrap()
}

/// Returns the real file, or `None` where nobody has put it: a fresh checkout needs no download. Where
/// it is said to be, it must be.
fn real_file() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let said = std::env::var_os("SUBAK_TEST_DATA").map(PathBuf::from);
    let folder = workspace.join(said.clone().unwrap_or_else(|| "../shared/data".into()));
    let file = folder.join("online-retail-dataset.csv.gz");
    if file.exists() {
        return Some(file);
    }
    assert!(said.is_none() && !folder.exists(), "{} is not there", file.display());
    // Past the capture of output: a test that leaves something out says so.
    let _ = writeln!(std::io::stderr(), "skipped, SUBAK_TEST_DATA has it not: {}", file.display());
    None
}

#[tokio::test]
async fn the_real_file_gives_its_thirteen_months() {
    let Some(compressed) = real_file() else { return };
    let expected = "InvoiceYear,InvoiceMonth,unique_customers\n2010,12,948\n2011,1,783\n2011,2,798\n\
                    2011,3,1020\n2011,4,899\n2011,5,1079\n2011,6,1051\n2011,7,993\n2011,8,980\n\
                    2011,9,1302\n2011,10,1425\n2011,11,1711\n2011,12,686\n";
    let tasks = Tasks::new();
    assert_eq!(job(&tasks, &compressed).await, expected);

    let mut text = Vec::new();
    let file = std::fs::File::open(&compressed).unwrap();
    flate2::read::MultiGzDecoder::new(file).read_to_end(&mut text).unwrap();
    let plain = tasks.file("online-retail-dataset.csv", text);
    assert_eq!(job(&tasks, &plain).await, expected);
    // A second run replaces what the first wrote by the same.
    assert_eq!(job(&tasks, &plain).await, expected);
}

#[tokio::test]
async fn generated_sales_are_deterministic_and_of_the_real_shape() {
    let tasks = Tasks::new();
    let generate = |rows, seed| {
        let mut text = Vec::new();
        subak_tasks_feed::generate::retail(rows, seed, &mut text).unwrap();
        text
    };
    let text = generate(60_000, 1);
    assert_eq!(text, generate(60_000, 1));
    assert_ne!(text, generate(60_000, 2));
    let mut file = std::fs::File::create(tasks.path("sales.csv")).unwrap();
    file.write_all(&text).unwrap();
    job(&tasks, &tasks.path("sales.csv")).await;

    let extract =
        tasks.run("csv.read", "extract", json!({"path": tasks.path("sales.csv")})).await.unwrap();
    let types: Vec<_> = extract
        .dataset
        .as_ref()
        .unwrap()
        .0
        .schema
        .iter()
        .map(|column| column.data_type.as_str())
        .collect();
    assert_eq!(types, ["Utf8", "Utf8", "Utf8", "Int64", "Utf8", "Float64", "Int64", "Utf8"]);
    let sql = "SELECT count(*) AS rows, count(CustomerID) / 600 AS percent_with_customer, \
                      count(*) FILTER (WHERE InvoiceNo LIKE 'C%') > 500 AS cancelled, \
                      count(*) FILTER (WHERE Quantity < 0) > 500 AS returned, \
                      count(*) FILTER (WHERE Description LIKE '%,%') > 100 AS commas, \
                      count(*) FILTER (WHERE Description LIKE '%\"%') > 100 AS quotes, \
                      count(DISTINCT Country) AS countries, \
                      min(InvoiceDate) FILTER (WHERE InvoiceDate LIKE '12/1/2010%') AS first \
               FROM extract";
    let counted = tasks
        .run("aggregate", "shape", json!({"input": input(&extract), "sql": sql}))
        .await
        .unwrap();
    let row = crate::context::rows(&counted).await.remove(0);
    let percent = row["percent_with_customer"].as_i64().unwrap();
    assert!((70..=80).contains(&percent), "{row}");
    for quirk in ["cancelled", "returned", "commas", "quotes"] {
        assert_eq!(row[quirk], json!(true), "{quirk}: {row}");
    }
    assert_eq!((&row["rows"], &row["countries"]), (&json!(60_000), &json!(9)));
}
