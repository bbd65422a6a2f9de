//! `subak worker`: runs tasks.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use subak_core::dag::model::FEEDS;
use subak_worker::{Config, FEEDS_AT_ONCE, Queue, Worker};
use tokio_util::sync::CancellationToken;

use crate::config::machine_name;
use crate::exit::{Ended, Outcome};
use crate::services::Services;
use crate::telemetry;

/// Runs a worker. It needs no access to the metadata database, only to a server.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak worker                                            beside a server on this machine
  SUBAK_JOIN_TOKEN_FILE=join-token subak worker --server https://a:8081 --server https://b:8081
  subak worker --queue default=8 --queue heavy=1          two queues

With a signal it takes no more tasks, lets the running ones end, and ends.")]
pub(crate) struct Options {
    /// A server's address for workers; the next one is tried when one does not answer.
    #[arg(
        long = "server",
        env = "SUBAK_SERVERS",
        default_value = "http://127.0.0.1:8081",
        value_name = "URL",
        value_delimiter = ','
    )]
    servers: Vec<String>,
    /// The token that `subak workers token` printed; needed off loopback. Or: `SUBAK_JOIN_TOKEN`.
    #[arg(long, env = "SUBAK_JOIN_TOKEN_FILE", value_name = "FILE")]
    join_token_file: Option<PathBuf>,
    /// The worker's name, for people; `subak workers drain NAME` drains all that have it. Left out:
    /// the machine's name.
    #[arg(long, env = "SUBAK_NAME")]
    name: Option<String>,
    #[command(flatten)]
    work: Work,
    /// Folder of what this worker must not forget; its own.
    #[arg(long, env = "SUBAK_STATE", default_value = ".data/worker", value_name = "FOLDER")]
    state: PathBuf,
    /// Where datasets are kept: a folder or file:// URL that all workers and servers reach.
    #[arg(long, env = "SUBAK_STORAGE", default_value = ".data/storage", value_name = "URL")]
    storage: String,
}

/// How much a worker takes on.
#[derive(Debug, Clone, Args)]
pub(crate) struct Work {
    /// A queue, and how many of its tasks run at once; may be given several times. Left out:
    /// `default`, with eight tasks a core, 64 at least.
    #[arg(long, env = "SUBAK_QUEUES", value_name = "NAME=SLOTS", value_delimiter = ',')]
    queue: Vec<QueueSlots>,
    /// Memory of all tasks together, before they spill.
    #[arg(long, env = "SUBAK_MEMORY_MIB", value_name = "MIB")]
    memory_mib: Option<usize>,
    /// Relative paths of tasks (files, scripts, working directories) are below this folder; left
    /// out: the folder in which this was started.
    #[arg(long, env = "SUBAK_WORK_DIR", value_name = "FOLDER")]
    work_dir: Option<PathBuf>,
    /// Folders that paths of tasks (`csv.read`, `parquet.write`, …) may lead into, separated by
    /// colons; left out: the work folder.
    #[arg(long, env = "SUBAK_FILES", value_name = "FOLDERS", value_delimiter = ':')]
    files: Vec<PathBuf>,
    /// How long running tasks may go on after the order to stop.
    #[arg(long, env = "SUBAK_DRAIN_SECS", default_value_t = 30, value_name = "SECONDS")]
    drain_secs: u64,
}

/// One queue of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueSlots(Queue);

impl Work {
    /// Applies these settings; those left out stay as they are shipped.
    pub(crate) fn apply(&self, config: &mut Config) {
        if !self.queue.is_empty() {
            config.queues = self.queue.iter().map(|queue| queue.0.clone()).collect();
            let has = |name: &str| config.queues.iter().any(|queue| queue.name == name);
            // Whoever takes all kinds of tasks takes those without an end, too.
            if has("default") && !has(FEEDS) {
                config.queues.push(Queue { name: FEEDS.to_owned(), slots: FEEDS_AT_ONCE });
            }
        }
        if let Some(mib) = self.memory_mib {
            config.memory_bytes = mib.saturating_mul(1 << 20);
        }
        config.drain = Duration::from_secs(self.drain_secs);
        // Before the work folder is entered.
        let absolute = |folder: &PathBuf| std::path::absolute(folder).unwrap_or(folder.clone());
        config.files = self.files.iter().map(absolute).collect();
    }

    /// Goes to the folder that relative paths of tasks are below. Last: what else is relative in the
    /// settings is so to the folder of the start.
    pub(crate) fn enter(&self) -> anyhow::Result<()> {
        let Some(folder) = &self.work_dir else { return Ok(()) };
        std::env::set_current_dir(folder).with_context(|| {
            format!(
                "the work folder `{}` cannot be used: make it, or name another with SUBAK_WORK_DIR",
                folder.display()
            )
        })
    }

    /// How long a process with such a worker may take to end.
    pub(crate) fn grace(&self) -> Duration {
        Duration::from_secs(self.drain_secs + 10)
    }
}

pub(crate) async fn run(options: Options) -> Outcome {
    let state = std::path::absolute(&options.state).context("the state folder")?;
    let name = options.name.unwrap_or_else(machine_name);
    let mut config = Config::new(&name, options.servers, state);
    config.join_token = match &options.join_token_file {
        Some(file) => Some(
            std::fs::read_to_string(file)
                .with_context(|| format!("reading the join token `{}`", file.display()))?
                .trim()
                .to_owned(),
        ),
        None => std::env::var("SUBAK_JOIN_TOKEN").ok(),
    };
    config.storage_url = storage_url(&options.storage)?;
    config.traces = telemetry::traces("subak-worker")?;
    let traces = config.traces.clone();
    options.work.apply(&mut config);
    options.work.enter()?;
    let stop = CancellationToken::new();
    let mut services = Services::new(stop.clone())?;
    services.spawn("the worker", Worker::new(config).run(stop));
    let worked = services.run(options.work.grace()).await;
    telemetry::end(traces).await;
    worked?;
    Ok(Ended::Success)
}

/// The URL of a storage that may be given as a folder.
fn storage_url(storage: &str) -> anyhow::Result<String> {
    if storage.contains("://") {
        return Ok(storage.to_owned());
    }
    let folder = std::path::absolute(storage).context("the storage folder")?;
    Ok(format!("file://{}/", folder.display()))
}

impl FromStr for QueueSlots {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = text.split_once('=').and_then(|(name, slots)| {
            let slots = slots.parse().ok().filter(|slots| *slots > 0)?;
            (!name.is_empty()).then(|| Queue { name: name.to_owned(), slots })
        });
        read.map(Self).ok_or_else(|| "expected NAME=SLOTS, such as default=8".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_has_a_name_and_slots() {
        let queue = Queue { name: "heavy".to_owned(), slots: 2 };
        assert_eq!("heavy=2".parse(), Ok(QueueSlots(queue)));
        for wrong in ["heavy", "heavy=", "heavy=0", "=2", "heavy=-1"] {
            assert!(wrong.parse::<QueueSlots>().is_err(), "{wrong}");
        }
    }
}
