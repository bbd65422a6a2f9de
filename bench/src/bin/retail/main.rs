//! The retail job by Subak's operators, without a server: csv.read, aggregate, csv.write.
//!
//! `retail generate ROWS FILE` makes the data; `retail run INPUT OUTPUT` runs the job and prints the
//! seconds from the first task's start to the last one's end.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use serde_json::{Value, json};
use subak_task::TaskOutput;

mod context;

#[derive(Parser)]
enum Command {
    /// Writes a CSV file of the retail data's shape.
    Generate { rows: u64, file: String },
    /// Runs the job.
    Run { input: String, output: String },
}

/// The pipeline whose tasks are run.
const DAG: &str = include_str!("../../../../dags/retail_retention.yaml");

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
    let parsed = subak_core::dag::parse("retail_retention.yaml", DAG);
    let dag = parsed.dags.first().context("the DAG file has an error")?;
    let operators = subak_tasks_data::operators();
    let run = async |task: &str, set: &[(&str, Value)]| -> anyhow::Result<TaskOutput> {
        let task = dag
            .tasks
            .iter()
            .find(|known| known.task_id.0.as_str() == task)
            .context("no such task")?;
        let operator = operators.iter().find(|known| known.name() == task.operator);
        let mut with = task.with.clone();
        for (argument, value) in set {
            with[argument] = value.clone();
        }
        let ctx = context::of_task(task.task_id.0.as_str(), folder)?;
        Ok(operator.context("no such operator")?.run_with(with, &ctx).await?)
    };
    let extract = run("extract", &[("path", json!(input))]).await?;
    let counted = run("unique_customers", &[("input", dataset(extract)?)]).await?;
    run("write_csv", &[("input", dataset(counted)?), ("path", json!(output))]).await?;
    Ok(())
}

/// The reference that a task hands on.
fn dataset(output: TaskOutput) -> anyhow::Result<Value> {
    let (dataset, _) = output.dataset.context("the task made no dataset")?;
    Ok(serde_json::to_value(dataset)?)
}
