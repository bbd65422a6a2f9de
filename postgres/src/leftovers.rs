//! Ends what a killed predecessor left in a data folder.
//!
//! A pid file proves nothing: its pid may be a zombie, another process, or gone. What counts is
//! whether a process named `postgres` works in the folder; each of PostgreSQL's does.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::PostgresError;
use crate::error::At;

/// How long each signal may take before a stronger one follows. A postmaster that lost its parent is
/// shutting down already; a backend that lost its postmaster ends when it notices.
const PATIENCE: [(Option<Signal>, Duration); 4] = [
    (None, Duration::from_millis(500)),
    (Some(Signal::INT), Duration::from_secs(10)),
    (Some(Signal::QUIT), Duration::from_secs(3)),
    (Some(Signal::KILL), Duration::from_secs(5)),
];

/// Returns once no process uses the folder, and removes the lock file that then proves nothing.
/// The caller holds the folder's lock, so that none of these belongs to another live supervisor.
pub(crate) fn clear(data: &Path) -> Result<(), PostgresError> {
    for (signal, patience) in PATIENCE {
        if let Some(signal) = signal {
            for pid in processes_in(data) {
                // One that has ended meanwhile needs no signal.
                let _ = kill_process(pid, signal);
            }
        }
        if gone_within(data, patience) {
            return remove_lock_file(data);
        }
    }
    let pid = processes_in(data).first().map_or(0, |pid| pid.as_raw_nonzero().get());
    Err(PostgresError::Leftover { pid, data: data.to_owned() })
}

fn gone_within(data: &Path, patience: Duration) -> bool {
    let since = Instant::now();
    // They are not children of this process: looking is the only way to learn of their end.
    while !processes_in(data).is_empty() {
        if since.elapsed() > patience {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

fn remove_lock_file(data: &Path) -> Result<(), PostgresError> {
    let file = data.join("postmaster.pid");
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).at("removing", &file)
        }
        _ => Ok(()),
    }
}

/// Live processes named `postgres` whose working directory is the folder.
pub(crate) fn processes_in(data: &Path) -> Vec<Pid> {
    let Ok(data) = fs::canonicalize(data) else { return Vec::new() };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| works_in(*pid, &data))
        .filter_map(Pid::from_raw)
        .collect()
}

fn works_in(pid: i32, data: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    // A zombie has no working directory any more, so it does not count.
    fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == data)
        && fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "postgres")
}
