//! I17: nothing starts while its DAG is paused.
//!
//! What a worker has goes on, and a start counts from its hand-over. What was ready before the pause, or
//! waited for its pool, is held back by a look that follows every pause: until that is through it may
//! start. By what the test noted of a pause, and by the database's clock:
//!
//! - what became ready after the pause does not start before the DAG goes on;
//! - nothing starts from the look on.
//!
//! Of a task with a pool is not known when it became ready: any run's transaction may deal out the slot.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::graph::Node;
use super::rows::{RunView, Snapshot};
use super::{Findings, PLACES};

/// A pause of a DAG, as noted by whoever asked for it.
#[derive(Debug, Clone)]
pub struct Pause {
    pub dag: i32,
    /// Before it was asked for.
    pub asked_at: DateTime<Utc>,
    /// It was committed by then.
    pub paused_at: DateTime<Utc>,
    /// The runs of the DAG had been looked at by then. `None`: nobody waited for the look.
    pub looked_at: Option<DateTime<Utc>>,
}

/// Somebody let a DAG go on.
#[derive(Debug, Clone, Copy)]
pub struct GoesOn {
    pub dag: i32,
    pub asked_at: DateTime<Utc>,
    pub done_at: DateTime<Utc>,
}

/// What was noted of all DAGs.
#[derive(Debug, Clone, Default)]
pub struct Pauses {
    pub pauses: Vec<Pause>,
    pub ends: Vec<GoesOn>,
}

/// A try that was handed over.
struct Start {
    place: i32,
    ready_at: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
}

impl Pause {
    /// Notes that a pause is about to be asked for.
    pub async fn asked(pool: &PgPool, dag_id: &str) -> Result<Self, sqlx::Error> {
        let dag = sqlx::query_scalar("SELECT dag FROM dag WHERE dag_id = $1");
        let dag: i32 = dag.bind(dag_id).fetch_one(pool).await?;
        let now = clock(pool).await?;
        Ok(Self { dag, asked_at: now, paused_at: now, looked_at: None })
    }

    /// Notes that it is committed.
    pub async fn committed(&mut self, pool: &PgPool) -> Result<(), sqlx::Error> {
        self.paused_at = clock(pool).await?;
        Ok(())
    }

    /// Notes that the look is through; false: it is not.
    pub async fn look(&mut self, pool: &PgPool) -> Result<bool, sqlx::Error> {
        let is_through = sqlx::query_scalar(
            "SELECT NOT EXISTS (SELECT FROM outbox WHERE kind = 'pause' AND dag = $1)",
        );
        let is_through: bool = is_through.bind(self.dag).fetch_one(pool).await?;
        if is_through {
            self.looked_at = Some(clock(pool).await?);
        }
        Ok(is_through)
    }
}

/// The database's clock.
pub async fn clock(pool: &PgPool) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(pool).await
}

impl Pauses {
    /// Until when a DAG was paused for certain: somebody may have let it go on at the same time.
    fn until(&self, pause: &Pause) -> Option<DateTime<Utc>> {
        let ends = self.ends.iter().filter(|end| end.dag == pause.dag);
        ends.filter(|end| end.done_at >= pause.asked_at).map(|end| end.asked_at).min()
    }
}

pub(super) fn check(snapshot: &Snapshot, noted: &Pauses, found: &mut Findings) {
    for pause in &noted.pauses {
        let until = noted.until(pause);
        let holds = |at: DateTime<Utc>| until.is_none_or(|until| at < until);
        let looked = pause.looked_at.filter(|at| holds(*at));
        for run in snapshot.runs().filter(|run| run.row.dag == pause.dag) {
            for start in starts(&run).into_iter().filter(|start| holds(start.at)) {
                check_start(&run, &start, pause, looked, found);
            }
        }
    }
}

fn check_start(
    run: &RunView<'_>,
    start: &Start,
    pause: &Pause,
    looked: Option<DateTime<Utc>>,
    found: &mut Findings,
) {
    let Start { place, ready_at, at } = *start;
    let is_new = at > pause.paused_at
        && ready_at.is_some_and(|ready| ready > pause.paused_at)
        && !is_pooled(run, place);
    let is_late = looked.is_some_and(|looked| at > looked);
    found.add_if(is_new || is_late, "I17", || {
        format!(
            "{run}, task {place}: started at {at}, ready since {ready_at:?}, though its DAG was paused \
             at {} and looked at by {looked:?}",
            pause.paused_at
        )
    });
}

/// Every hand-over of a run, of instances that there are no more, too.
fn starts(run: &RunView<'_>) -> Vec<Start> {
    let ended = run.all_ended().map(|row| (row.task, row.queued_at, row.started_at));
    let live = run.all_live().map(|row| (row.task, Some(row.queued_at), row.started_at));
    let all = ended.chain(live);
    all.filter_map(|(place, ready_at, at)| Some(Start { place, ready_at, at: at? })).collect()
}

/// Whether a task may have waited for a slot, its own pool's or another one's.
fn is_pooled(run: &RunView<'_>, place: i32) -> bool {
    let has_pool = |node: &Node| node.pool != "default_pool" || node.most_of_dag.is_some();
    run.tasks().any(|(task, node)| task % PLACES == place % PLACES && has_pool(node))
}
