//! The keeper's own process: standard library only, no threads, almost no memory.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::MARK;

/// Times that `/proc` is searched for processes that multiply while they are killed.
const SEARCHES: u32 = 20;

/// Reads group ids from standard input until it ends, then kills those that live.
///
/// The input is lines: `=mark` names the mark of the worker's processes, `+id` adds a group, `-id`
/// removes it. The body of the hidden subcommand `keeper`.
pub fn main() {
    let mut groups = BTreeSet::new();
    let mut mark = String::new();
    for line in io::stdin().lock().lines() {
        // Not even a broken line may end the keeper before its time.
        let Ok(line) = line else { continue };
        match (line.get(..1), line.get(1..).unwrap_or_default()) {
            (Some("="), value) => mark = format!("{MARK}={value}"),
            (Some("+"), id) => groups.extend(id.parse::<i32>()),
            (Some("-"), id) => {
                if let Ok(id) = id.parse() {
                    groups.remove(&id);
                }
            }
            _ => {}
        }
    }
    for group in groups.into_iter().filter_map(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    for _ in 0..SEARCHES {
        if mark.is_empty() || kill_marked(mark.as_bytes()) == 0 {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Kills every process whose environment has the mark. Returns how many there were.
fn kill_marked(mark: &[u8]) -> usize {
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let ids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let marked = ids.filter(|id: &i32| {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    });
    marked.filter_map(Pid::from_raw).filter(|id| kill_process(*id, Signal::KILL).is_ok()).count()
}
