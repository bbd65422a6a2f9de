//! Forks the postmaster so that it ends with this process: the one unsafe place.
#![expect(unsafe_code, reason = "PR_SET_PDEATHSIG is set between fork and exec, by `pre_exec`")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use crate::account::Account;

type Forked = (Command, Sender<io::Result<Child>>);

/// Makes a command run as the account, in a process group of its own: Ctrl-C in a terminal reaches
/// this process, which then stops PostgreSQL when it no longer needs it.
pub(crate) fn become_account(command: &mut Command, account: &Account) {
    // With a uid and no groups the standard library drops all of root's groups.
    if account.switch {
        command.uid(account.uid).gid(account.gid);
    }
    command.process_group(0);
}

/// Starts a command that is told to shut down (SIGINT, PostgreSQL's fast shutdown) when this process
/// ends, even by SIGKILL.
///
/// The kernel watches the *thread* that forked, so all forks are made by one that never ends.
pub(crate) fn spawn_bound(mut command: Command) -> io::Result<Child> {
    static FORKER: OnceLock<Option<Sender<Forked>>> = OnceLock::new();
    let parent = getpid();
    // SAFETY: the closure makes two system calls and neither allocates nor takes a lock. It runs
    // after setuid, which would clear the death signal.
    unsafe {
        command.pre_exec(move || end_with(parent));
    }
    let (answer, answered) = channel();
    FORKER
        .get_or_init(|| forker().ok())
        .as_ref()
        .and_then(|forker| forker.send((command, answer)).ok())
        .ok_or_else(|| io::Error::other("the thread that forks cannot be started"))?;
    answered.recv().map_err(io::Error::other)?
}

fn forker() -> io::Result<Sender<Forked>> {
    let (sender, receiver) = channel::<Forked>();
    thread::Builder::new().name("postgres-forker".to_owned()).spawn(move || {
        for (mut command, answer) in receiver {
            let _ = answer.send(command.spawn());
        }
    })?;
    Ok(sender)
}

fn end_with(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::INT))?;
    // The parent may have ended before the call above: then no signal comes.
    if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}
