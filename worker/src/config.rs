//! What a worker is told at its start.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use subak_core::dag::model::FEEDS;
use subak_trace::Traces;

/// Tasks without an end that a worker runs at once, unless its settings name their queue.
pub const FEEDS_AT_ONCE: u32 = 16;

/// How many tries of a queue run at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub name: String,
    pub slots: u32,
}

/// The configuration of one worker.
#[derive(Debug, Clone)]
pub struct Config {
    /// Unique among running workers.
    pub name: String,
    /// `https://…`, `http://…` on loopback, or `unix:///path`; the next one is tried when one does
    /// not answer.
    pub servers: Vec<String>,
    /// As `subak workers token` prints it; needed off loopback.
    pub join_token: Option<String>,
    pub queues: Vec<Queue>,
    /// Belongs to this worker alone: its id, its lock, results not yet acknowledged.
    pub state_folder: PathBuf,
    /// Where datasets go: an object store URL.
    pub storage_url: String,
    /// Folders that paths of tasks may lead into; empty: the working folder.
    pub files: Vec<PathBuf>,
    /// Folders that they may not, apart from those in `files` below them.
    pub private: Vec<PathBuf>,
    /// Bytes that all tries together may hold before they spill.
    pub memory_bytes: usize,
    /// Between TERM and KILL of a process that is to end.
    pub grace: Duration,
    /// How long running tries may go on after the order to stop.
    pub drain: Duration,
    /// Where the tries' spans go.
    pub traces: Traces,
    /// The command that runs [`crate::keeper::main`].
    pub keeper: Vec<OsString>,
}

impl Config {
    /// A configuration with the shipped defaults: `default`, and the queue of tasks without an end.
    #[must_use]
    pub fn new(name: &str, servers: Vec<String>, state_folder: PathBuf) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        // Most tasks wait for databases and processes, and a DAG has a limit of its own (16): a slot costs
        // nothing until it is used, and fewer than 64 would hold up small machines by the way to the server.
        let slots = u32::try_from(cores * 8).unwrap_or(u32::MAX).max(64);
        let storage = state_folder.join("storage");
        Self {
            name: name.to_owned(),
            servers,
            join_token: None,
            queues: vec![
                Queue { name: "default".to_owned(), slots },
                Queue { name: FEEDS.to_owned(), slots: FEEDS_AT_ONCE },
            ],
            storage_url: format!("file://{}/", storage.display()),
            files: Vec::new(),
            private: vec![state_folder.clone()],
            state_folder,
            memory_bytes: 1 << 30,
            grace: Duration::from_secs(5),
            drain: Duration::from_secs(30),
            traces: Traces::default(),
            keeper: std::env::current_exe()
                .map(|program| vec![program.into(), "keeper".into()])
                .unwrap_or_default(),
        }
    }

    /// Slots of all queues.
    pub(crate) fn slots(&self) -> u32 {
        self.queues.iter().map(|queue| queue.slots).sum()
    }

    /// Returns the first thing that can't be right.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.name.is_empty() {
            return Err(ConfigError("the worker's name is empty".to_owned()));
        }
        if self.servers.is_empty() {
            return Err(ConfigError("the worker knows no server: name at least one".to_owned()));
        }
        if self.slots() == 0 {
            return Err(ConfigError(
                "the worker has no slot: give a queue at least one".to_owned(),
            ));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = self.queues.iter().find(|queue| !seen.insert(&queue.name)) {
            return Err(ConfigError(format!(
                "queue `{}` is named twice: name it once, with all of its slots",
                twice.name
            )));
        }
        if self.keeper.is_empty() {
            return Err(ConfigError("the keeper's command is empty".to_owned()));
        }
        Ok(())
    }
}

/// A configuration that cannot work, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(crate) String);
