//! Runs one process in its own group: output to the log, ended whole.
//!
//! The command is started without any hook between fork and exec: only so does the standard library
//! use `posix_spawn`, which costs a fraction of a fork of a large worker. What a hook could do (a
//! death signal for the direct child) the keeper does better, for every descendant.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use subak_task::{Pipe, ProcessGroups, TaskContext, TaskError};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// Airflow's: the task has nothing to do.
const SKIP_EXIT_CODE: i32 = 99;
/// How long output may go on after the process: something that left its group holds the pipe.
const OUTPUT_AFTER_END: Duration = Duration::from_millis(500);
/// A last line is kept up to here.
const LAST_LINE_LIMIT: usize = 64 * 1024;

/// What a process that succeeded left behind.
#[derive(Debug)]
pub(super) struct Finished {
    /// The last line of standard output that is not empty.
    pub(super) last_line: Option<String>,
}

/// Runs `command` to its end. On cancellation: TERM to the group, `grace`, KILL.
pub(super) async fn run(
    mut command: Command,
    ctx: &TaskContext,
    grace: Duration,
) -> Result<Finished, TaskError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| cannot_start(&command, &error))?;
    let group = Group::of(&child, ctx)?;
    let stdout = pump(child.stdout.take(), Pipe::Stdout, ctx);
    let stderr = pump(child.stderr.take(), Pipe::Stderr, ctx);
    let mut output = std::pin::pin!(async { tokio::join!(stdout, stderr) });

    let mut lines = None;
    let ended = {
        let mut end = std::pin::pin!(end_of(&mut child, &group, ctx, grace));
        loop {
            tokio::select! {
                ended = &mut end => break ended,
                last = &mut output, if lines.is_none() => lines = Some(last),
            }
        }
    };
    // What the process left running ends with it.
    drop(group);
    if lines.is_none() {
        lines = timeout(OUTPUT_AFTER_END, output).await.ok();
    }
    let (last_line, last_error) = lines.unwrap_or_default();
    if ctx.cancel.is_cancelled() {
        return Err(TaskError::cancelled());
    }
    let status = ended.map_err(|error| TaskError::transient(format!("waiting: {error}")))?;
    judge(status, last_error)?;
    Ok(Finished { last_line })
}

async fn end_of(
    child: &mut Child,
    group: &Group,
    ctx: &TaskContext,
    grace: Duration,
) -> io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status,
        () = ctx.cancel.cancelled() => group.signal(Signal::TERM),
    }
    tokio::select! {
        status = child.wait() => return status,
        () = sleep(grace) => group.signal(Signal::KILL),
    }
    child.wait().await
}

/// Copies a pipe into the log. Returns its last line that is not empty.
async fn pump(
    pipe: Option<impl AsyncRead + Unpin>,
    name: Pipe,
    ctx: &TaskContext,
) -> Option<String> {
    let mut pipe = pipe?;
    let mut buffer = vec![0; 8 * 1024];
    let mut last = LastLine::default();
    loop {
        match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => return last.finish(),
            Ok(read) => {
                ctx.log.bytes(name, &buffer[..read]);
                last.feed(&buffer[..read]);
                ctx.log.room().await;
            }
        }
    }
}

fn judge(status: ExitStatus, last_error: Option<String>) -> Result<(), TaskError> {
    use std::os::unix::process::ExitStatusExt;

    if status.success() {
        return Ok(());
    }
    let why = last_error.map(|line| format!(": {line}")).unwrap_or_default();
    let mut error = match (status.code(), status.signal()) {
        (Some(SKIP_EXIT_CODE), _) => {
            TaskError::skip(format!("the process ended with exit code {SKIP_EXIT_CODE}{why}"))
        }
        (Some(code), _) => {
            TaskError::transient(format!("the process ended with exit code {code}{why}"))
        }
        (None, Some(9)) => TaskError::transient(format!(
            "the process was ended by signal 9 (KILL), perhaps for want of memory{why}"
        )),
        (None, signal) => TaskError::transient(format!(
            "the process was ended by signal {}{why}",
            signal.unwrap_or_default()
        )),
    };
    error.exit_code = status.code();
    Err(error)
}

fn cannot_start(command: &Command, error: &io::Error) -> TaskError {
    let command = command.as_std();
    let program = command.get_program().display();
    match (error.kind(), command.get_current_dir()) {
        (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, Some(folder))
            if !folder.is_dir() =>
        {
            let folder = folder.display();
            TaskError::permanent(format!("working directory `{folder}` does not exist"))
        }
        (io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied, _) => {
            TaskError::permanent(format!("cannot start `{program}`: {error}"))
        }
        _ => TaskError::transient(format!("cannot start `{program}`: {error}")),
    }
}

/// Returns the file that the shell would run for `name`. An absolute path also keeps the spawn
/// cheap: looking along another `PATH` than the worker's would need a fork.
pub(super) fn find_program(name: &str, path: Option<&str>) -> Option<std::path::PathBuf> {
    if name.contains('/') {
        return std::path::absolute(name).ok().filter(|file| file.is_file());
    }
    path?.split(':').map(|folder| Path::new(folder).join(name)).find(|file| {
        file.is_absolute() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
    })
}

/// A process group that is killed when it goes out of scope.
struct Group {
    id: Pid,
    keeper: Arc<dyn ProcessGroups>,
}

impl Group {
    fn of(child: &Child, ctx: &TaskContext) -> Result<Self, TaskError> {
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let id = id.ok_or_else(|| TaskError::transient("the process ended before it began"))?;
        ctx.processes.started(id.as_raw_nonzero().get());
        Ok(Self { id, keeper: Arc::clone(&ctx.processes) })
    }

    /// An empty group is no error: it has ended.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.id, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.keeper.ended(self.id.as_raw_nonzero().get());
    }
}

/// Remembers the last line of a stream that is not empty.
#[derive(Default)]
struct LastLine {
    open: Vec<u8>,
    last: Option<Vec<u8>>,
}

impl LastLine {
    fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.extend(&rest[..end]);
            self.end();
            rest = &rest[end + 1..];
        }
        self.extend(rest);
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = LAST_LINE_LIMIT.saturating_sub(self.open.len());
        self.open.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end(&mut self) {
        let line = std::mem::take(&mut self.open);
        if !line.trim_ascii().is_empty() {
            self.last = Some(line);
        }
    }

    fn finish(mut self) -> Option<String> {
        self.end();
        self.last.map(|line| String::from_utf8_lossy(line.trim_ascii_end()).into_owned())
    }
}
