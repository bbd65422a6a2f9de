//! An independent checker of what the engine did: it reads the metadata database by plain SQL, and
//! what the workers noted themselves, and reports where an invariant was broken.
//!
//! It uses no code of the engine and none of the product's queries. One transaction reads one
//! snapshot, so it may run at any time, also under load.

mod counters;
mod graph;
pub mod journal;
mod limits;
mod order;
mod past;
pub mod pauses;
mod pools;
mod rows;
mod rules;
mod runs;
mod tries;

use std::fmt;

use sqlx::PgPool;

/// Between the numbers of two instances of a task.
const PLACES: i32 = 100_000;

/// The number under which the checker knows a task instance: a task that is not mapped, or not expanded,
/// has its own.
#[must_use]
pub const fn place(task: i32, map_index: i32) -> i32 {
    task + (map_index + 1) * PLACES
}

pub use journal::Journal;
use rows::{RunView, Snapshot};

/// One broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// `I1` … `I17`.
    pub invariant: &'static str,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// What the checker may presume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Runs may still be going on.
    Under,
    /// Every run should have ended.
    AtTheEnd,
}

/// Reads the database and returns every broken invariant, sorted.
pub async fn check(
    pool: &PgPool,
    journal: &Journal,
    moment: Moment,
) -> Result<Vec<Violation>, sqlx::Error> {
    let snapshot = Snapshot::read(pool).await?;
    let mut found = Findings::default();
    for run in snapshot.runs() {
        check_run(&run, &mut found);
        if moment == Moment::AtTheEnd && !run.row.is_final() {
            found.add("I1", format!("{run} has not ended: {}", run.row.state));
        }
    }
    pools::check(&snapshot, &mut found);
    limits::check_tasks(&snapshot, &mut found);
    past::check(&snapshot, &mut found);
    pauses::check(&snapshot, journal.pauses(), &mut found);
    journal.check(&snapshot, &mut found);
    found.list.sort_unstable();
    Ok(found.list)
}

/// Checks, and fails with a readable list of what is broken.
///
/// # Panics
/// If an invariant is broken, or the database cannot be read.
pub async fn assert_kept(pool: &PgPool, journal: &Journal, moment: Moment) {
    let found = check(pool, journal, moment).await.expect("the checker reads the database");
    let shown: Vec<String> = found.iter().take(20).map(Violation::to_string).collect();
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), shown.join("\n"));
}

fn check_run(run: &RunView<'_>, found: &mut Findings) {
    runs::check(run, found);
    tries::check(run, found);
    order::check(run, found);
    rules::check(run, found);
    counters::check(run, found);
    limits::check(run, found);
}

/// Collects violations.
#[derive(Debug, Default)]
struct Findings {
    list: Vec<Violation>,
}

impl Findings {
    fn add(&mut self, invariant: &'static str, what: String) {
        self.list.push(Violation { invariant, what });
    }

    fn add_if(&mut self, broken: bool, invariant: &'static str, what: impl FnOnce() -> String) {
        if broken {
            self.add(invariant, what());
        }
    }
}
