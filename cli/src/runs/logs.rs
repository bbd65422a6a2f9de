//! `subak runs logs`: what tasks have written, also while they run.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use subak_store::Store;
use subak_store::read::{InstanceRecord, LogCursor, RunRecord};

use super::show::name;
use super::{Which, version};
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output;

/// Prints the logs of a run's tasks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs logs retail_retention                      all tasks of the last run
  subak runs logs retail_retention --task load          one task
  subak runs logs retail_retention --task load --follow until it ends")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    #[command(flatten)]
    which: Which,
    /// Only this task.
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// This try; left out: the last one.
    #[arg(long, value_name = "NUMBER", requires = "task")]
    try_number: Option<i32>,
    /// Goes on until the task ends.
    #[arg(long, short, requires = "task")]
    follow: bool,
}

/// Between two looks of `--follow`.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store_and_storage().await?;
    let run = options.which.find(&store).await?;
    let instances = instances(&store, &run, options.task.as_deref()).await?;
    let several = instances.len() > 1;
    for instance in instances {
        let try_number = options.try_number.unwrap_or(instance.try_number);
        if several && instance.try_number > 0 {
            output::line(format!("== {}, try {try_number}", name(&instance)))?;
        }
        if options.follow {
            follow(&store, &run, instance, options.try_number).await?;
        } else {
            print(&store, &run, &instance, try_number, LogCursor::default()).await?;
        }
    }
    Ok(Ended::Success)
}

/// The run's task instances, or those of one task.
async fn instances(
    store: &Store,
    run: &RunRecord,
    task: Option<&str>,
) -> anyhow::Result<Vec<InstanceRecord>> {
    let mut instances = store.instance_list(run, &version(store, run).await?).await?;
    if let Some(task) = task {
        instances.retain(|instance| instance.task_id.0 == task);
        if instances.is_empty() {
            bail!("DAG `{}` has no task `{task}`", run.dag_id);
        }
    }
    Ok(instances)
}

/// Prints a try's log from `cursor` on, and returns where it ends for now.
async fn print(
    store: &Store,
    run: &RunRecord,
    instance: &InstanceRecord,
    try_number: i32,
    mut cursor: LogCursor,
) -> anyhow::Result<LogCursor> {
    loop {
        let part = store
            .log_read(run.run_key, instance.task, instance.map_index, try_number, cursor)
            .await?;
        let mut out = io::stdout().lock();
        for line in &part.lines {
            out.write_all(line)?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
        drop(out);
        cursor = part.next;
        if !part.more {
            return Ok(cursor);
        }
    }
}

/// Prints the log as it grows, over all tries unless one was asked for, until the task has ended.
async fn follow(
    store: &Store,
    run: &RunRecord,
    mut instance: InstanceRecord,
    only_try: Option<i32>,
) -> anyhow::Result<()> {
    let mut shown = only_try.unwrap_or(instance.try_number.max(1));
    let mut cursor = LogCursor::default();
    loop {
        // What was written before the task ended is there once it is seen to have ended.
        let over = instance.state.is_some_and(|state| state.is_final());
        cursor = print(store, run, &instance, shown, cursor).await?;
        if only_try.is_none() && instance.try_number > shown {
            shown += 1;
            cursor = LogCursor::default();
            output::line(format!("== {}, try {shown}", name(&instance)))?;
            continue;
        }
        if over || only_try.is_some_and(|only| instance.try_number > only) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
        let task = instance.task_id.0.clone();
        let current = instances(store, run, Some(&task)).await?.into_iter();
        if let Some(next) = current.into_iter().find(|next| next.map_index == instance.map_index) {
            instance = next;
        }
    }
}
