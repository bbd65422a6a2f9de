//! `subak runs note`.

use anyhow::{Context, bail};
use clap::Args;
use subak_core::ids::{InstanceKey, MapIndex, TaskId, TaskNo};

use super::{Which, version};
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output;

/// As the API has it.
const CHARS_MOST: usize = 1_000;

/// Notes something about a run, or about one of its tasks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs note retail_retention --text 'loaded twice, see ticket 12'
  subak runs note retail_retention --task load --text 'the table was locked'
  subak runs note retail_retention --text ''      removes it")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    #[command(flatten)]
    which: Which,
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    #[arg(long)]
    text: String,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let run = options.which.find(&store).await?;
    if options.text.chars().count() > CHARS_MOST {
        bail!("a note holds at most {CHARS_MOST} characters");
    }
    match &options.task {
        None => store.run_note_set(run.run_key, &options.text).await?,
        Some(task) => {
            let numbers = version(&store, &run).await?.numbers;
            let number = numbers.get(&TaskId(task.clone())).copied();
            let number =
                number.with_context(|| format!("DAG `{}` has no task `{task}`", run.dag_id))?;
            let of =
                InstanceKey { run: run.run_key, task: TaskNo(number), map_index: MapIndex::NONE };
            store.task_note_set(of, &options.text, "cli").await?;
        }
    }
    output::line(format!("{}  {}  noted", run.dag_id, run.run_id))?;
    Ok(Ended::Success)
}
