//! What the commands of `bash` tasks note of themselves, each as its try: the workers' journal.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use subak_store::Store;

use crate::checker::Journal;
use crate::checker::journal::{Entry, Event};

/// Notes its start, takes `SECS`, notes its end, and fails in the first `FAILS` tries.
///
/// Its private folder has the fencing token for a name. One `printf` is one write, so that lines of
/// several processes do not mix.
const SCRIPT: &str = r#"note() {
    printf '{"event":"%s","run_id":"%s","task_id":"%s","try_number":%s,"token":%s,"at_micros":%s}\n' \
        "$1" "$SUBAK_RUN_ID" "$SUBAK_TASK_ID" "$SUBAK_TRY_NUMBER" "${PWD##*/}" \
        "${EPOCHREALTIME/[.,]/}" >>"$JOURNAL"
}
note start
sleep "$SECS"
note end
[ "$SUBAK_TRY_NUMBER" -gt "$FAILS" ]
"#;

/// See the module.
#[derive(Debug)]
pub struct Notes {
    script: PathBuf,
    journal: PathBuf,
}

/// A line, with the names by which a process knows its try.
#[derive(Deserialize)]
struct Line {
    event: Event,
    run_id: String,
    task_id: String,
    try_number: i32,
    token: i64,
    at_micros: i64,
}

impl Notes {
    pub(super) fn make(folder: &Path) -> io::Result<Self> {
        let notes = Self { script: folder.join("task.sh"), journal: folder.join("journal") };
        fs::write(&notes.script, SCRIPT)?;
        fs::write(&notes.journal, "")?;
        Ok(notes)
    }

    /// The keys of a task that takes `secs` and fails `fails` times before it succeeds, for a DAG
    /// file.
    #[must_use]
    pub fn task(&self, secs: f64, fails: u32) -> String {
        format!(
            "operator: bash, with: {{command: '. \"$TASK\"', env: {{TASK: {}, JOURNAL: {}, \
             SECS: '{secs:.3}', FAILS: '{fails}'}}}}",
            self.script.display(),
            self.journal.display()
        )
    }

    /// Bytes that were noted so far.
    pub fn length(&self) -> io::Result<u64> {
        Ok(fs::metadata(&self.journal)?.len())
    }

    /// How many lines follow the first `offset` bytes.
    pub fn lines_since(&self, offset: u64) -> io::Result<usize> {
        let mut file = fs::File::open(&self.journal)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(text.iter().filter(|byte| **byte == b'\n').count())
    }

    /// All notes, by the keys that the database has for the names.
    pub async fn journal(&self, store: &Store) -> anyhow::Result<Journal> {
        let keys: Vec<(String, String, i64, i32)> = sqlx::query_as(
            "SELECT run_id, task_id, run_key, task FROM run JOIN dag_task USING (dag)",
        )
        .fetch_all(store.pool())
        .await?;
        let keys: HashMap<_, _> =
            keys.into_iter().map(|(run, name, key, task)| ((run, name), (key, task))).collect();
        let mut entries = Vec::new();
        for line in fs::read_to_string(&self.journal)?.lines() {
            let line: Line = serde_json::from_str(line)?;
            let (event, try_number, token) = (line.event, line.try_number, line.token);
            let (run_key, task) = keys[&(line.run_id, line.task_id)];
            let at_micros = line.at_micros;
            entries.push(Entry { event, run_key, task, try_number, token, at_micros });
        }
        Ok(Journal::of_operator("bash", entries))
    }
}
