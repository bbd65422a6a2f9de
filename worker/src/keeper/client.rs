//! The worker's end of the keeper's pipe.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use subak_task::ProcessGroups;
use tracing::error;

/// Tells the keeper which groups live; starts another one should it die.
#[derive(Debug)]
pub(crate) struct Keeper {
    command: Vec<OsString>,
    lock: Option<File>,
    mark: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    child: Child,
    groups: BTreeSet<i32>,
}

impl Keeper {
    /// Starts the keeper with `command`; it shares `lock` until it ends.
    pub(crate) fn start(command: Vec<OsString>, lock: Option<File>) -> io::Result<Self> {
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let child = spawn(&command, lock.as_ref(), &mark)?;
        let state = Mutex::new(State { child, groups: BTreeSet::new() });
        Ok(Self { command, lock, mark, state })
    }

    /// The value of [`super::MARK`] for the worker's processes.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    fn tell(&self, change: impl FnOnce(&mut BTreeSet<i32>) -> String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let line = change(&mut state.groups);
        if write(&mut state.child, &line).is_ok() {
            return;
        }
        if let Err(error) = self.restart(&mut state) {
            error!(error = format!("{error:#}"), "the keeper died and no other one starts");
        }
    }

    fn restart(&self, state: &mut State) -> io::Result<()> {
        state.child.stdin = None;
        let _ = state.child.wait();
        state.child = spawn(&self.command, self.lock.as_ref(), &self.mark)?;
        let groups: String = state.groups.iter().map(|id| format!("+{id}\n")).collect();
        write(&mut state.child, &groups)
    }
}

impl Drop for Keeper {
    /// Ends the pipe, and with it the keeper; waits, so that no zombie stays.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.child.stdin = None;
        let _ = state.child.wait();
    }
}

impl ProcessGroups for Keeper {
    fn started(&self, pgid: i32) {
        self.tell(|groups| {
            groups.insert(pgid);
            format!("+{pgid}\n")
        });
    }

    fn ended(&self, pgid: i32) {
        self.tell(|groups| {
            groups.remove(&pgid);
            format!("-{pgid}\n")
        });
    }
}

/// Starts a keeper in a group of its own, where a signal to the worker's group does not reach it.
fn spawn(command: &[OsString], lock: Option<&File>, mark: &str) -> io::Result<Child> {
    let [program, arguments @ ..] = command else {
        return Err(io::Error::other("the keeper's command is empty"));
    };
    let mut keeper = Command::new(program);
    keeper.args(arguments).stdin(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    // The lock travels as standard output, which the keeper never uses: an open file is locked
    // until its last copy is closed.
    match lock {
        Some(lock) => keeper.stdout(Stdio::from(lock.try_clone()?)),
        None => keeper.stdout(Stdio::null()),
    };
    let mut child = keeper.spawn()?;
    write(&mut child, &format!("={mark}\n"))?;
    Ok(child)
}

fn write(keeper: &mut Child, line: &str) -> io::Result<()> {
    keeper.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(line.as_bytes())
}
