//! The retail job by Subak's operators, without a server: csv.read, aggregate, csv.write.
//!
//! `retail generate ROWS FILE` makes the data; `retail run INPUT OUTPUT` runs the job and prints the
//! seconds from the first task's start to the last one's end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Parser;
use serde_json::{Value, json};
use subak_task::{ErasedOperator, TaskContext, TaskOutput};

mod context;

#[derive(Parser)]
enum Command {
    /// Writes a CSV file of the retail data's shape.
    Generate { rows: u64, file: String },
    /// Runs the job.
    Run { input: String, output: String },
}

/// The same as in `dags/retail_retention.yaml`.
const SQL: &str = "SELECT CAST(date_part('year', InvoiceDate) AS INTEGER) AS InvoiceYear, \
                          CAST(date_part('month', InvoiceDate) AS INTEGER) AS InvoiceMonth, \
                          count(DISTINCT CustomerID) AS unique_customers \
                   FROM extract GROUP BY 1, 2 ORDER BY 1, 2";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Generate { rows, file } => {
            let target = File::create(&file).with_context(|| format!("making {file}"))?;
            subak_tasks_data::generate::retail(rows, 1, target)?;
            Ok(())
        }
        Command::Run { input, output } => {
            let folder = tempfile::tempdir()?;
            let started = Instant::now();
            job(&input, &output, folder.path()).await?;
            writeln!(std::io::stdout(), "{:.3}", started.elapsed().as_secs_f64())?;
            Ok(())
        }
    }
}

async fn job(input: &str, output: &str, folder: &Path) -> anyhow::Result<()> {
    let operators: BTreeMap<&str, Arc<dyn ErasedOperator>> = subak_tasks_data::operators()
        .into_iter()
        .map(|operator| (operator.name(), operator))
        .collect();
    let run = async |operator: &str, task: &str, with: Value| -> anyhow::Result<TaskOutput> {
        let Some(found) = operators.get(operator) else { bail!("no operator {operator}") };
        let ctx: TaskContext = context::of_task(task, folder)?;
        let started = Instant::now();
        let output = found.run_with(with, &ctx).await.with_context(|| task.to_owned())?;
        if std::env::var_os("VERBOSE").is_some() {
            writeln!(std::io::stderr(), "{task}: {:.3} s", started.elapsed().as_secs_f64())?;
        }
        Ok(output)
    };
    let dataset = |output: TaskOutput| -> anyhow::Result<Value> {
        let (dataset, _) = output.dataset.context("no dataset")?;
        Ok(serde_json::to_value(dataset)?)
    };
    let columns = json!({
        "InvoiceNo": "string", "StockCode": "string", "Description": "string", "Quantity": "integer",
        "InvoiceDate": {"type": "timestamp", "format": "%m/%d/%Y %H:%M"},
        "UnitPrice": "double", "CustomerID": "bigint", "Country": "string",
    });
    let extract = run("csv.read", "extract", json!({"path": input, "columns": columns})).await?;
    let with = json!({"input": dataset(extract)?, "sql": SQL});
    let aggregated = run("aggregate", "aggregate", with).await?;
    run("csv.write", "write", json!({"input": dataset(aggregated)?, "path": output})).await?;
    Ok(())
}
