//! `subak runs logs`: what tasks have written, also while they run.

mod source;

use std::time::Duration;

use anyhow::bail;
use clap::Args;

use self::source::{Cursor, Source};
use super::Which;
use super::look::Watched;
use super::view::Task;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::place::Place;

/// Prints the logs of a run's tasks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak runs logs retail_retention                      all tasks of the last run
  subak runs logs retail_retention --task load          one task
  subak runs logs retail_retention --task load --follow until it ends")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Which,
    /// Only this task.
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// This try; left out: the last one.
    #[arg(long, value_name = "NUMBER", requires = "task",
        value_parser = clap::value_parser!(i32).range(1..))]
    try_number: Option<i32>,
    /// Goes on until the task ends.
    #[arg(long, short, requires = "task")]
    follow: bool,
}

/// Between two looks of `--follow`.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(crate) async fn run(options: Options) -> Outcome {
    let at = options.place.open_with_storage().await?;
    let watched = Watched::find(&at, &options.which).await?;
    let (run, mut tasks) = watched.look().await?;
    if let Some(task) = &options.task {
        tasks.retain(|it| it.task_id == *task);
        if tasks.is_empty() {
            bail!("DAG `{}` has no task `{task}`", run.dag_id);
        }
    }
    let source = Source::of(&watched);
    if let (Some(only), false) = (options.try_number, options.follow) {
        // Of a mapped task some instances may have had it.
        if let Some(most) = tasks.iter().max_by_key(|it| it.try_number)
            && most.try_number < only
        {
            return Err(no_try(most, only));
        }
        tasks.retain(|it| it.try_number >= only);
    }
    let several = tasks.len() > 1;
    for task in tasks {
        let try_number = options.try_number.unwrap_or(task.try_number);
        if several && task.try_number > 0 {
            output::line(format!("== {}, try {try_number}", task.name()))?;
        }
        if options.follow {
            follow(&watched, &source, task, options.try_number).await?;
        } else if try_number > 0 {
            source.print(&task, try_number, Cursor::default()).await?;
        }
    }
    Ok(Ended::Success)
}

/// Prints the log as it grows, over all tries unless one was asked for, until the task has ended.
async fn follow(
    watched: &Watched<'_>,
    source: &Source<'_>,
    mut task: Task,
    only_try: Option<i32>,
) -> anyhow::Result<()> {
    let mut shown = only_try.unwrap_or(task.try_number.max(1));
    let mut cursor = Cursor::default();
    loop {
        // What was written before the task ended is there once it is seen to have ended.
        let over = task.is_final();
        // Before its first try there is no log.
        if task.try_number >= shown {
            cursor = source.print(&task, shown, cursor).await?;
        }
        if only_try.is_none() && task.try_number > shown {
            shown += 1;
            cursor = Cursor::default();
            output::line(format!("== {}, try {shown}", task.name()))?;
            continue;
        }
        if over || only_try.is_some_and(|only| task.try_number > only) {
            if let Some(only) = only_try.filter(|only| task.try_number < *only) {
                return Err(no_try(&task, only));
            }
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
        let (_, tasks) = watched.look().await?;
        let is_it = |it: &Task| it.task_id == task.task_id && it.map_index == task.map_index;
        if let Some(next) = tasks.into_iter().find(is_it) {
            task = next;
        }
    }
}

/// The task has not had so many tries.
fn no_try(task: &Task, wanted: i32) -> anyhow::Error {
    let name = task.name();
    match task.try_number {
        0 => anyhow::anyhow!("task `{name}` has no try {wanted}: it has had none"),
        last => anyhow::anyhow!("task `{name}` has no try {wanted}: its last one is {last}"),
    }
}
