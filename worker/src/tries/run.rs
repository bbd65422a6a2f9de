//! Runs one try to its end.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use serde_json::Value;
use subak_core::decide::MAP_MOST;
use subak_core::template::{self, RunContext};
use subak_task::{ErrorClass, LogSink, TaskContext, TaskError, TaskOutput};
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use super::rendered::shown_arguments;
use super::{PreparedTask, StopCause, StopOrder};
use crate::clock::Clock;
use crate::log::TryLog;

/// What an operator has to end by itself once it is told to, beyond a process's own grace.
const MARGIN: Duration = Duration::from_millis(500);
/// Rows that a task returns have at most so many bytes of JSON: as much as any XCom.
const ROWS_BYTES: usize = 1 << 20;

/// An error's text is cut here.
const ERROR_LIMIT: usize = 4 * 1024;

/// Everything that a try needs.
pub(crate) struct Try {
    pub(crate) task: Arc<PreparedTask>,
    pub(crate) ctx: TaskContext,
    pub(crate) log: Arc<TryLog>,
    /// What templates see; needed only where the task has some.
    pub(crate) templates: Option<RunContext>,
    /// The arguments as people see them, once they are rendered.
    pub(crate) rendered: OnceLock<Value>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) stop: Arc<StopOrder>,
    /// Between TERM and KILL.
    pub(crate) grace: Duration,
    pub(crate) clock: Clock,
}

/// How a try ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    /// One line for people, masked; empty on success.
    pub(crate) error: String,
    pub(crate) exit_code: Option<i32>,
    pub(crate) started_micros: i64,
    pub(crate) ended_micros: i64,
}

/// The outcome.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "moved once, and success is the usual case")]
pub(crate) enum End {
    Success(TaskOutput),
    Failed,
    FailedPermanently,
    Skipped,
    Stopped,
    WorkerLost,
}

impl End {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Success(_) => "success",
            Self::Failed | Self::FailedPermanently => "failed",
            Self::Skipped => "skipped",
            Self::Stopped => "stopped",
            Self::WorkerLost => "interrupted",
        }
    }
}

/// Runs a try. Never panics, and ends soon after the order to stop.
pub(crate) async fn run(this: &Try) -> Ended {
    let started_micros = this.clock.now_micros();
    let (result, has_timed_out) = limited(this).await;
    let ended_micros = this.clock.now_micros();
    let (end, error) = judge(this, result, has_timed_out);
    let exit_code = error.as_ref().and_then(|error| error.exit_code);
    let error = error.map(|error| shown(this, &error)).unwrap_or_default();
    if !error.is_empty() {
        // Line by line: it may hold statements that somebody is to run.
        for line in told(&end, &error).lines() {
            this.log.line(line);
        }
    }
    Ended { end, error: in_one_line(&error), exit_code, started_micros, ended_micros }
}

/// The last line of the log: how it ended, unless the error begins with that itself.
fn told(end: &End, error: &str) -> String {
    let word = end.word();
    match error.strip_prefix(word) {
        Some(rest) if rest.starts_with(':') => error.to_owned(),
        _ => format!("{word}: {error}"),
    }
}

/// The end of a try that could not begin.
pub(crate) fn not_run(this: &Try, error: &str) -> Ended {
    let now = this.clock.now_micros();
    let error = in_one_line(&shown(this, &TaskError::transient(error)));
    this.log.line(&format!("failed: {error}"));
    Ended { end: End::Failed, error, exit_code: None, started_micros: now, ended_micros: now }
}

/// Runs a try in a folder of its own, which goes with it.
pub(crate) async fn run_in_scratch(this: &Try) -> Ended {
    let folder = &this.ctx.scratch;
    if let Err(error) = std::fs::create_dir_all(folder) {
        error!(folder = %folder.display(), %error, "a try has no folder");
    }
    let ended = run(this).await;
    if let Err(error) = std::fs::remove_dir_all(folder) {
        warn!(folder = %folder.display(), %error, "a try's folder stays");
    }
    ended
}

/// Runs the operator within its time. Returns also whether the time was over.
async fn limited(this: &Try) -> (Result<TaskOutput, TaskError>, bool) {
    let mut work = std::pin::pin!(guarded(this));
    if this.task.is_immediate() {
        return (work.await, false);
    }
    let limit = async {
        match this.timeout {
            Some(limit) => sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let has_timed_out = tokio::select! {
        biased;
        result = &mut work => return (result, false),
        () = this.stop.token.cancelled() => false,
        () = limit => true,
    };
    this.stop.token.cancel();
    let within = this.stop.within().unwrap_or(this.grace + MARGIN);
    let result = timeout(within, work).await;
    (result.unwrap_or_else(|_| Err(TaskError::cancelled())), has_timed_out)
}

/// Runs the operator; a panic is an error.
async fn guarded(this: &Try) -> Result<TaskOutput, TaskError> {
    let work = AssertUnwindSafe(operate(this)).catch_unwind();
    work.await.unwrap_or_else(|panic| {
        let text = panic_text(&*panic);
        let operator = &this.task.task.operator;
        Err(TaskError::permanent(format!("operator `{operator}` panicked: {text}")))
    })
}

async fn operate(this: &Try) -> Result<TaskOutput, TaskError> {
    let task = &this.task.task;
    let operator = this.task.operator.as_ref().ok_or_else(|| {
        TaskError::permanent(format!(
            "this worker does not know operator `{}`: start a worker of the server's version",
            task.operator
        ))
    })?;
    if !is_wanted(this)? {
        return Err(TaskError::skip("skipped: its `when` is not true"));
    }
    let is_given = this.templates.as_ref().is_some_and(|context| !context.arguments.is_empty());
    let is_rendered = this.task.has_templates || is_given;
    let with = if is_rendered { rendered(this)? } else { task.with.clone() };
    let output = operator.run_with(with, &this.ctx).await?;
    if task.returns_rows { with_rows(output).await } else { Ok(output) }
}

/// The rows of its dataset are what the task returns: others are mapped over them.
async fn with_rows(output: TaskOutput) -> Result<TaskOutput, TaskError> {
    let Some((dataset, _)) = &output.dataset else { return Ok(output) };
    let rows = subak_tasks_data::rows(dataset, MAP_MOST as usize, ROWS_BYTES);
    let rows = rows.await.map_err(|error| {
        let message = format!("a task is mapped over the rows of this one's dataset: {error}");
        TaskError { message, ..error }
    })?;
    Ok(TaskOutput { value: Some(Value::from(rows)), ..output })
}

/// Whether the task's `when` is true, if it has one.
fn is_wanted(this: &Try) -> Result<bool, TaskError> {
    let Some(when) = &this.task.task.when else { return Ok(true) };
    let value = template::render(&Value::from(when.as_str()), templates(this)?);
    value.map(|value| template::is_true(&value)).map_err(TaskError::permanent)
}

fn templates(this: &Try) -> Result<&RunContext, TaskError> {
    let templates = this.templates.as_ref();
    templates.ok_or_else(|| TaskError::permanent("the run's values are missing"))
}

fn rendered(this: &Try) -> Result<Value, TaskError> {
    let with = template::render_task(&this.task.task, templates(this)?);
    let with = with.map_err(TaskError::permanent)?;
    this.rendered.get_or_init(|| shown_arguments(&with, this.log.patterns()));
    Ok(with)
}

fn judge(
    this: &Try,
    result: Result<TaskOutput, TaskError>,
    has_timed_out: bool,
) -> (End, Option<TaskError>) {
    let error = match result {
        Ok(output) => return (End::Success(output), None),
        Err(error) => error,
    };
    if has_timed_out {
        let limit = this.timeout.unwrap_or_default();
        let text = format!("ended after its `execution_timeout` of {limit:?}");
        return (End::Failed, Some(TaskError::transient(text)));
    }
    match this.stop.cause() {
        Some(StopCause::Server(reason)) => {
            (End::Stopped, Some(TaskError::transient(format!("stopped: {reason}"))))
        }
        Some(StopCause::LeaseLost) => {
            let text = "ended by the worker: no server renewed its lease in time";
            (End::WorkerLost, Some(TaskError::transient(text)))
        }
        Some(StopCause::ShuttingDown) => {
            let text = "ended by the worker, which was shut down";
            (End::WorkerLost, Some(TaskError::transient(text)))
        }
        None => match error.class {
            ErrorClass::Permanent => (End::FailedPermanently, Some(error)),
            ErrorClass::Skip => (End::Skipped, Some(error)),
            ErrorClass::Transient | ErrorClass::Cancelled => (End::Failed, Some(error)),
        },
    }
}

/// The error's text without secrets.
fn shown(this: &Try, error: &TaskError) -> String {
    let mut text = this.log.mask(&error.message).trim().to_owned();
    text.truncate(text.floor_char_boundary(ERROR_LIMIT));
    text
}

/// As lists show it.
fn in_one_line(error: &str) -> String {
    let mut line = error.replace('\n', " | ");
    line.truncate(line.floor_char_boundary(ERROR_LIMIT));
    line
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
