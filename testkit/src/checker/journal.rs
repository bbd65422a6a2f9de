//! What workers themselves noted of the functions they ran: one JSON object a line. With it goes what a
//! test noted of pauses.
//!
//! The journal shows what the database cannot: that a function ran although its try was superseded,
//! that a result was accepted which no function gave, or acknowledged and then lost.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Findings;
use super::pauses::Pauses;
use super::rows::Snapshot;

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub event: Event,
    pub run_key: i64,
    pub task: i32,
    pub try_number: i32,
    pub token: i64,
    /// The machine's monotonic clock.
    pub at_micros: i64,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The try's function began.
    Start,
    /// It ended by itself, whatever it returned.
    End,
    /// A server acknowledged its result as accepted.
    Accepted,
}

/// All lines of all workers.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Vec<Entry>,
    /// The operator whose tries are noted; `None`: all are.
    operator: Option<&'static str>,
    pauses: Pauses,
}

/// What is known of one token.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub(super) started: Option<i64>,
    pub(super) ended: Option<i64>,
    accepted: bool,
}

impl Journal {
    /// A journal of these lines.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Self {
        Self { entries, ..Self::default() }
    }

    /// A journal that only the tasks of one operator keep.
    #[must_use]
    pub fn of_operator(operator: &'static str, entries: Vec<Entry>) -> Self {
        Self { entries, operator: Some(operator), ..Self::default() }
    }

    /// The same, with what was noted of pauses.
    #[must_use]
    pub fn with_pauses(self, pauses: Pauses) -> Self {
        Self { pauses, ..self }
    }

    /// Reads a file of lines; a last line that a kill cut short is left out.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut entries = Vec::new();
        for line in io::BufReader::new(std::fs::File::open(path)?).lines() {
            entries.extend(serde_json::from_str::<Entry>(&line?));
        }
        Ok(Self::new(entries))
    }

    /// Appends one line in one write, so that writers do not mix.
    pub fn append(file: &mut impl Write, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        file.write_all(&line)
    }

    /// What was noted of pauses.
    pub(super) fn pauses(&self) -> &Pauses {
        &self.pauses
    }

    /// Tokens by run and task, in the order of hand-over.
    fn by_task(&self) -> HashMap<(i64, i32), BTreeMap<i64, Noted>> {
        let mut tasks: HashMap<(i64, i32), BTreeMap<i64, Noted>> = HashMap::new();
        for entry in &self.entries {
            let tokens = tasks.entry((entry.run_key, entry.task)).or_default();
            let noted = tokens.entry(entry.token).or_default();
            match entry.event {
                Event::Start => noted.started = Some(entry.at_micros),
                Event::End => noted.ended = Some(entry.at_micros),
                Event::Accepted => noted.accepted = true,
            }
        }
        tasks
    }

    /// Holds the notes against the database. Without a single line it says nothing.
    pub(super) fn check(&self, snapshot: &Snapshot, found: &mut Findings) {
        if self.entries.is_empty() {
            return;
        }
        let notes = self.by_task();
        for ((run, task), tokens) in &notes {
            check_overlaps(*run, *task, tokens, snapshot, found);
            for (token, _) in tokens.iter().filter(|(_, noted)| noted.accepted) {
                found.add_if(snapshot.ended(*run, *task, *token).is_none(), "I1", || {
                    format!("run {run}, task {task}: token {token} was acknowledged, then lost")
                });
            }
        }
        self.check_reported(&notes, snapshot, found);
        check_upstreams(&notes, snapshot, found);
        super::pools::replay(snapshot, &notes, found);
        super::limits::replay(snapshot, &notes, found);
    }

    /// I2: a result that was accepted under a token is one that this token's function gave.
    fn check_reported(
        &self,
        notes: &HashMap<(i64, i32), BTreeMap<i64, Noted>>,
        snapshot: &Snapshot,
        found: &mut Findings,
    ) {
        for (run, task, row) in
            snapshot.tries(self.operator).filter(|(.., row)| row.cause.is_none())
        {
            let noted = notes.get(&(run, task)).and_then(|tokens| tokens.get(&row.token));
            let ended = noted.is_some_and(|noted| noted.ended.is_some());
            found.add_if(!ended, "I2", || {
                format!(
                    "run {run}, task {task}: {} under token {}, whose function did not end",
                    row.state, row.token
                )
            });
        }
    }
}

/// I3: two functions of one task never run at once. One without an end was killed with its worker. One
/// that failed because another task did may still be ending when a user clears it.
fn check_overlaps(
    run: i64,
    task: i32,
    tokens: &BTreeMap<i64, Noted>,
    snapshot: &Snapshot,
    found: &mut Findings,
) {
    let all: Vec<(&i64, &Noted)> = tokens.iter().collect();
    let was_stopped = |token: i64| {
        let row = snapshot.ended(run, task, token);
        row.is_some_and(|row| row.cause.as_deref() == Some("fail_fast"))
    };
    for pair in all.windows(2) {
        let ((first, before), (next, after)) = (pair[0], pair[1]);
        if was_stopped(*first) {
            continue;
        }
        let overlap = before.ended.zip(after.started).is_some_and(|(end, start)| start < end);
        found.add_if(overlap, "I3", || {
            format!("run {run}, task {task}: the functions of {first} and {next} overlap")
        });
    }
}

/// I5, by the workers' clock: a function starts after the upstreams' that its rule waits for.
fn check_upstreams(
    notes: &HashMap<(i64, i32), BTreeMap<i64, Noted>>,
    snapshot: &Snapshot,
    found: &mut Findings,
) {
    for run in snapshot.runs().filter(|run| !run.row.has_resets) {
        for (task, node) in run.tasks() {
            let waits_for_all =
                !matches!(node.rule.as_str(), "always" | "one_success" | "one_failed" | "one_done");
            let tokens = notes.get(&(run.row.run_key, task));
            let started = tokens.and_then(|all| all.values().filter_map(|n| n.started).min());
            let (true, Some(started)) = (waits_for_all, started) else { continue };
            for up in &node.upstream {
                let above = notes.get(&(run.row.run_key, *up));
                let late = above.is_some_and(|all| {
                    all.values().any(|noted| noted.ended.is_some_and(|ended| ended > started))
                });
                found.add_if(late, "I5", || {
                    format!("{run}, {}: its function ran before an upstream's ended", node.id)
                });
            }
        }
    }
}
