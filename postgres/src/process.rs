//! One postmaster: signalled while it lives, reaped when it ends.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::watch;

use crate::spawn::spawn_bound;

/// A running or ended postmaster.
#[derive(Debug)]
pub(crate) struct Postmaster {
    pid: Pid,
    /// `None` once reaped: from then on the pid may be another process's.
    child: Arc<Mutex<Option<Child>>>,
    status: watch::Receiver<Option<ExitStatus>>,
}

impl Postmaster {
    pub(crate) fn start(command: Command) -> io::Result<Self> {
        let child = spawn_bound(command)?;
        let pid = Pid::from_child(&child);
        let child = Arc::new(Mutex::new(Some(child)));
        let (ended, status) = watch::channel(None);
        let reaped = Arc::clone(&child);
        thread::Builder::new()
            .name("postgres-reaper".to_owned())
            .spawn(move || reap(pid, &reaped, &ended))?;
        Ok(Self { pid, child, status })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal, unless the process was reaped.
    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if child.is_some() {
            // A process that has just ended cannot be signalled, and need not be.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Returns how it ended, if it has.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        *self.status.borrow()
    }

    /// Waits until it has ended and was reaped.
    pub(crate) async fn wait(&self) -> ExitStatus {
        let mut status = self.status.clone();
        let ended = status.wait_for(Option::is_some).await;
        // The reaper is the only sender and always sends before it ends.
        ended.ok().and_then(|status| *status).unwrap_or_default()
    }

    /// Waits likewise without a runtime, for so long at most; returns whether it has ended.
    pub(crate) fn wait_blocking(&self, patience: Duration) -> bool {
        let since = Instant::now();
        while self.ended().is_none() && since.elapsed() < patience {
            thread::sleep(Duration::from_millis(2));
        }
        self.ended().is_some()
    }
}

/// Waits without reaping, then reaps under the lock, so that no signal reaches a reused pid.
fn reap(pid: Pid, child: &Mutex<Option<Child>>, ended: &watch::Sender<Option<ExitStatus>>) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(pid), options).is_err_and(|error| error == Errno::INTR) {}
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    let status = child.take().and_then(|mut child| child.wait().ok()).unwrap_or_default();
    ended.send_replace(Some(status));
}
