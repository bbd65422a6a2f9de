//! A dead letter as commands show it, from the database or from a server.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subak_core::hex;
use subak_store::read::LetterRecord;

use crate::output::Row;

/// A reason is cut at this many characters.
const REASON_CHARS: usize = 80;

/// A dead letter, spelt as the API spells it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Letter {
    pub(super) dead_letter_id: i64,
    pub(super) dag_id: String,
    pub(super) dag_run_id: Option<String>,
    pub(super) task_id: String,
    map_index: i32,
    pub(super) try_number: Option<i32>,
    source: String,
    partition: Option<i32>,
    offset: Option<i64>,
    line: Option<i64>,
    reasons: Value,
    pub(super) size_bytes: i64,
    pub(super) state: String,
    pub(super) replay_dag_run_id: Option<String>,
    pub(super) replay_of: Option<i64>,
    pub(super) replayed_as: Option<i64>,
    pub(super) timestamp: DateTime<Utc>,
}

/// A dead letter with its record: as text, or in hexadecimal digits where it is not UTF-8.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Whole {
    #[serde(flatten)]
    pub(super) letter: Letter,
    pub(super) text: Option<String>,
    pub(super) hex: Option<String>,
}

impl Whole {
    pub(super) fn new(letter: &LetterRecord, record: Vec<u8>) -> Self {
        let (text, hex) = match String::from_utf8(record) {
            Ok(text) => (Some(text), None),
            Err(bytes) => (None, Some(hex::encode(bytes.as_bytes()))),
        };
        Self { letter: letter.into(), text, hex }
    }
}

impl Letter {
    /// Where the record was: `sales:3:12` (topic, partition, offset), `sales.csv:12`.
    pub(super) fn place(&self) -> String {
        let source = &self.source;
        match (self.partition, self.offset.or(self.line)) {
            (Some(partition), Some(offset)) => format!("{source}:{partition}:{offset}"),
            (None, Some(line)) => format!("{source}:{line}"),
            _ => source.clone(),
        }
    }

    pub(super) fn reasons(&self) -> Vec<&str> {
        self.reasons.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

impl Row for Letter {
    const HEADING: &'static [&'static str] =
        &["id", "dag", "task", "run", "record", "state", "reasons"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.dead_letter_id.to_string(),
            self.dag_id.clone(),
            self.task_id.clone(),
            self.dag_run_id.clone().unwrap_or_else(|| "-".to_owned()),
            self.place(),
            self.state.clone(),
            shortened(&self.reasons()),
        ]
    }
}

/// The first reason, and how many more there are.
fn shortened(reasons: &[&str]) -> String {
    let first = reasons.first().copied().unwrap_or_default();
    let mut text: String = first.chars().take(REASON_CHARS).collect();
    if text.len() < first.len() {
        text.push('…');
    }
    match reasons.len() {
        ..2 => text,
        all => format!("{text} (and {} more)", all - 1),
    }
}

impl From<&LetterRecord> for Letter {
    fn from(letter: &LetterRecord) -> Self {
        let of_topic = letter.is_of_topic;
        Self {
            dead_letter_id: letter.id,
            dag_id: letter.dag_id.clone(),
            dag_run_id: letter.run_id.clone(),
            task_id: letter.task_id.clone(),
            map_index: letter.map_index,
            try_number: letter.try_number,
            source: letter.source.clone(),
            partition: of_topic.then_some(letter.partition),
            offset: of_topic.then_some(letter.position),
            line: (!of_topic).then_some(letter.position),
            reasons: letter.reasons.clone(),
            size_bytes: letter.size_bytes,
            state: letter.state.clone(),
            replay_dag_run_id: letter.replay_run_id.clone(),
            replay_of: letter.replay_of,
            replayed_as: letter.replayed_as,
            timestamp: letter.created_at,
        }
    }
}
