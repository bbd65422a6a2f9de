//! Watches the folder of DAG files by content: what changed is parsed and saved as a new version. A
//! file that no longer parses leaves its last good version running and shows an import error.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use subak_core::dag::{self, model::Dag, version};
use subak_store::{NewVersion, News};
use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock;
use crate::engine::{Engine, first_tick};

/// A change is seen this late at most.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks between two that read every file, whatever its date says.
const LOOKS_BETWEEN_FULL: u32 = 60;

/// Larger files are refused by the parser; they are not even read.
const FILE_BYTES_MOST: u64 = 4 << 20;

/// Folders within folders that are looked into.
const DEPTH_MOST: usize = 8;

/// One folder of DAG files.
pub struct Folder {
    engine: Engine,
    path: PathBuf,
    files: BTreeMap<PathBuf, Known>,
    looks: u32,
}

struct Known {
    stamp: Stamp,
    dags: Vec<Dag>,
    source: String,
    problem: Option<String>,
    saved: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Folder {
    /// Watches `path` for `engine`.
    #[must_use]
    pub fn new(engine: Engine, path: PathBuf) -> Self {
        Self { engine, path, files: BTreeMap::new(), looks: 0 }
    }

    /// Looks again and again until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            if let Err(error) = self.look().await {
                error!(error = format!("{error:#}"), "DAG files: will try again");
            }
            select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// Compares the folder with what is known of it, and saves what changed.
    pub async fn look(&mut self) -> anyhow::Result<()> {
        let full = self.looks.is_multiple_of(LOOKS_BETWEEN_FULL);
        self.looks = self.looks.wrapping_add(1);
        let path = self.path.clone();
        let listed = tokio::task::spawn_blocking(move || list(&path)).await??;
        let mut changed = self.files.len() != listed.len();
        self.files.retain(|file, _| listed.contains_key(file));
        for (file, stamp) in listed {
            let known = self.files.get(&file).is_some_and(|known| known.stamp == stamp);
            if known && !full {
                continue;
            }
            let read = self.read(&file, stamp);
            let same = self
                .files
                .get(&file)
                .is_some_and(|known| known.source == read.source && known.problem == read.problem);
            if same {
                if let Some(known) = self.files.get_mut(&file) {
                    known.stamp = stamp;
                }
            } else {
                changed = true;
                self.files.insert(file, read);
            }
        }
        if changed || self.files.values().any(|known| !known.saved) {
            self.save().await?;
        }
        let now = clock::now().timestamp_micros();
        self.engine.core.folder_micros.store(now, Ordering::Relaxed);
        Ok(())
    }

    /// Reads and parses one file.
    fn read(&self, file: &Path, stamp: Stamp) -> Known {
        let mut known =
            Known { stamp, dags: Vec::new(), source: String::new(), problem: None, saved: false };
        let name = self.name(file);
        if stamp.bytes > FILE_BYTES_MOST {
            known.problem = Some(format!("{name}: the file is larger than 4 MiB"));
            return known;
        }
        match std::fs::read_to_string(file) {
            Ok(text) => {
                let parsed = dag::parse(&name, &text);
                known.source = text;
                known.dags = parsed.dags;
                if !parsed.diagnostics.is_empty() {
                    let all: Vec<String> =
                        parsed.diagnostics.iter().map(ToString::to_string).collect();
                    known.problem = Some(all.join("\n\n"));
                }
            }
            Err(error) => known.problem = Some(format!("{name}: cannot be read: {error}")),
        }
        known
    }

    /// The file's path as people see it: from the folder on.
    fn name(&self, file: &Path) -> String {
        let folder = self.path.file_name().map(PathBuf::from).unwrap_or_default();
        let inside = file.strip_prefix(&self.path).unwrap_or(file);
        folder.join(inside).display().to_string()
    }

    /// Saves new versions, import errors, and which DAGs have no file any more.
    async fn save(&mut self) -> anyhow::Result<()> {
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        let mut errors: BTreeMap<String, String> = BTreeMap::new();
        let mut failed_files = BTreeSet::new();
        let names: Vec<(PathBuf, String)> =
            self.files.keys().map(|file| (file.clone(), self.name(file))).collect();
        for (file, name) in &names {
            let known = &self.files[file];
            if let Some(problem) = &known.problem {
                errors.insert(name.clone(), problem.clone());
                failed_files.insert(name.clone());
            }
            for model in &known.dags {
                let id = model.dag_id.0.clone();
                if let Some(other) = owners.get(&id) {
                    let message = format!("{name}: DAG `{id}` is in {other} already: rename one");
                    errors.insert(name.clone(), message);
                    continue;
                }
                owners.insert(id, name.clone());
                if !known.saved {
                    self.save_dag(model, &known.source, name).await?;
                }
            }
        }
        let store = &self.engine.core.store;
        let errors: Vec<_> = errors.into_iter().collect();
        store.import_errors_replace(&errors).await?;
        // DAGs of a file that does not parse now go on with their last good version.
        let mut present: Vec<String> = owners.into_keys().collect();
        let broken: Vec<String> = failed_files.into_iter().collect();
        present.extend(store.dags_of_files(&broken).await?);
        for gone in store.dags_mark_stale(&present).await? {
            warn!(dag.id = gone, "the file of a DAG is gone");
        }
        for known in self.files.values_mut() {
            known.saved = true;
        }
        self.engine.timers_wake();
        Ok(())
    }

    async fn save_dag(&self, model: &Dag, source: &str, file: &str) -> anyhow::Result<()> {
        let store = &self.engine.core.store;
        let hash = version::hash(model);
        let new = NewVersion { dag: model, hash: hash.as_bytes(), source, file };
        let saved = store.version_save(&new).await?;
        if saved.is_new {
            info!(dag.id = model.dag_id.0, version = saved.version, file, "a DAG was read");
        }
        let head = store
            .dag_head(&model.dag_id)
            .await?
            .with_context(|| format!("DAG `{}` was saved", model.dag_id))?;
        let now = store.timer_next().await?.now;
        let next = first_tick(model, &head, now)?;
        store.schedule_set(head.dag, next).await?;
        if saved.is_new {
            self.engine.core.tell(vec![News::Yields(head.dag)]).await;
        }
        Ok(())
    }
}

/// All YAML files below `folder`, with what tells that they changed.
fn list(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, Stamp>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| {
            format!("the folder of DAG files {} cannot be read", folder.display())
        })?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            // Follows links: mounted configuration consists of them.
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if metadata.is_dir() && !hidden && depth < DEPTH_MOST {
                folders.push((path, depth + 1));
            } else if metadata.is_file()
                && !hidden
                && matches!(path.extension().and_then(|e| e.to_str()), Some("yaml" | "yml"))
            {
                let stamp = Stamp { modified: metadata.modified().ok(), bytes: metadata.len() };
                files.insert(path, stamp);
            }
        }
    }
    Ok(files)
}
