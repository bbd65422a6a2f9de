//! What every try of this worker shares.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use subak_task::{DatasetReader, FileAccess, Ledgers, ProcessGroups, TaskIdentity, Topics};
use subak_trace::{Ids, Traces};

use crate::clock::Clock;
use crate::config::Config;
use crate::keeper;
use crate::ledgers::AllLedgers;
use crate::registry::Registry;

/// See the module.
pub(crate) struct Host {
    pub(crate) registry: Registry,
    pub(crate) datasets: Arc<dyn DatasetReader>,
    pub(crate) topics: Arc<dyn Topics>,
    pub(crate) ledgers: Arc<dyn Ledgers>,
    pub(crate) processes: Arc<dyn ProcessGroups>,
    pub(crate) files: Arc<FileAccess>,
    /// Where datasets may lie that people want to look into: these folders, and the storage.
    pub(crate) readable: Arc<FileAccess>,
    pub(crate) memory_per_try: usize,
    pub(crate) grace: Duration,
    pub(crate) clock: Clock,
    pub(crate) traces: Traces,
    /// In the environment of every process, which is clean but for these.
    env: BTreeMap<String, String>,
    storage_url: String,
    scratch: PathBuf,
}

impl Host {
    /// Gathers it; `mark` is the keeper's.
    pub(crate) fn new(
        config: &Config,
        registry: Registry,
        datasets: Arc<dyn DatasetReader>,
        processes: Arc<dyn ProcessGroups>,
        mark: &str,
    ) -> anyhow::Result<Self> {
        // Not all slots run data tasks at once: a quarter of the memory is for the greediest.
        let slots = usize::try_from(config.slots()).unwrap_or(usize::MAX);
        let memory_per_try = (config.memory_bytes / slots).max(config.memory_bytes / 4);
        let storage_url = config.storage_url.trim_end_matches('/').to_owned();
        Ok(Self {
            files: Arc::new(files(config, None).context("the folders that tasks may use")?),
            readable: Arc::new(
                files(config, subak_tasks_data::storage_folder(&storage_url))
                    .context("the folders of datasets")?,
            ),
            registry,
            datasets,
            topics: subak_tasks_kafka::writers(),
            ledgers: Arc::new(AllLedgers::new()),
            processes,
            memory_per_try,
            grace: config.grace,
            clock: Clock::start(),
            traces: config.traces.clone(),
            env: shared_environment(mark),
            storage_url,
            scratch: config.state_folder.join("scratch"),
        })
    }

    /// The environment of a try's processes.
    pub(crate) fn environment(&self, place: &Place<'_>) -> BTreeMap<String, String> {
        let mut env = self.env.clone();
        let mut set = |name: &str, value: String| env.insert(name.to_owned(), value);
        set("SUBAK_DAG_ID", place.dag_id.to_owned());
        set("SUBAK_RUN_ID", place.run_id.to_owned());
        set("SUBAK_RUN_TYPE", place.run_type.to_owned());
        set("SUBAK_TASK_ID", place.task_id.to_owned());
        set("SUBAK_TRY_NUMBER", place.try_number.to_string());
        set("SUBAK_MAP_INDEX", place.map_index.to_string());
        if let Some(ids) = place.ids.filter(|_| self.traces.is_on()) {
            // What the process sends is below its try.
            set("TRACEPARENT", ids.traceparent());
        }
        let dates = [
            ("SUBAK_LOGICAL_DATE", place.logical_date),
            ("SUBAK_DATA_INTERVAL_START", place.data_interval_start),
            ("SUBAK_DATA_INTERVAL_END", place.data_interval_end),
        ];
        for (name, date) in dates {
            if let Some(date) = date {
                set(name, date.to_rfc3339_opts(SecondsFormat::AutoSi, false));
            }
        }
        env
    }

    /// Where a large XCom lies; `None`: the storage is none that this worker can write to by itself.
    pub(crate) fn large(&self, object: &str) -> Option<PathBuf> {
        Some(subak_tasks_data::storage_folder(&self.storage_url)?.join(object))
    }

    /// The private folder of a try.
    pub(crate) fn scratch(&self, token: i64) -> PathBuf {
        self.scratch.join(token.to_string())
    }

    /// Where a try's dataset goes: under the day of the run's creation, so that the servers drop it
    /// with the run (`store::storage` has the layout).
    pub(crate) fn storage(&self, of: &TaskIdentity, day: NaiveDate, token: i64) -> String {
        let TaskIdentity { installation, run_uuid, task_id, map_index, .. } = of;
        let run = format!("{}/{installation}/{day}/runs/{run_uuid}", self.storage_url);
        format!("{run}/{task_id}/{map_index}/{token}/")
    }
}

/// Where paths of tasks may lead.
fn files(config: &Config, also: Option<PathBuf>) -> std::io::Result<FileAccess> {
    let mut allowed = match config.files.as_slice() {
        [] => vec![std::env::current_dir()?],
        files => files.to_vec(),
    };
    allowed.extend(also);
    FileAccess::new(allowed, config.private.clone())
}

/// What a process is told of its try.
pub(crate) struct Place<'a> {
    pub(crate) dag_id: &'a str,
    pub(crate) run_id: &'a str,
    pub(crate) run_type: &'a str,
    pub(crate) task_id: &'a str,
    pub(crate) try_number: u32,
    pub(crate) map_index: i32,
    pub(crate) logical_date: Option<DateTime<Utc>>,
    pub(crate) data_interval_start: Option<DateTime<Utc>>,
    pub(crate) data_interval_end: Option<DateTime<Utc>>,
    pub(crate) ids: Option<Ids>,
}

fn shared_environment(mark: &str) -> BTreeMap<String, String> {
    let defaults = [
        ("PATH", Some("/usr/local/bin:/usr/bin:/bin")),
        ("HOME", Some("/")),
        ("LANG", Some("C.UTF-8")),
        ("TZ", None),
    ];
    let mut env = BTreeMap::from([(keeper::MARK.to_owned(), mark.to_owned())]);
    for (name, default) in defaults {
        let value = std::env::var(name).ok().or_else(|| default.map(str::to_owned));
        env.extend(value.map(|value| (name.to_owned(), value)));
    }
    env
}
