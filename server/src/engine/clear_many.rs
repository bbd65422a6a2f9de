//! Clears whole runs, several in one transaction: one run costs as many questions to the database as
//! all of them, and what they do next does not begin before the last one is cleared.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::stream::{self, StreamExt as _};
use subak_core::decide::Plan;
use subak_core::ids::{RunKey, TaskNo};
use subak_core::state::RunState;
use subak_store::News;
use subak_store::engine::{EngineTx, LockedRun};
use tokio::sync::mpsc::error::TrySendError;

use super::caches::Facts;
use super::clear::ClearError;
use super::work::{After, Work};
use super::{Core, Engine};

/// Tasks that one transaction clears, unless one run has more.
const TASKS_MOST: usize = 2_000;

/// Runs that are cleared by themselves, side by side: sessions of the engine's pool are left to others.
const BESIDE: usize = 4;

impl Engine {
    /// Clears all tasks of these runs; says of each what came of it.
    pub async fn runs_clear(&self, runs: &[RunKey]) -> BTreeMap<RunKey, Result<(), ClearError>> {
        let core = &self.core;
        let mut done: BTreeMap<RunKey, Result<(), ClearError>> = BTreeMap::new();
        // A run of which nothing can be found here is cleared by itself, which says why.
        let facts = core.caches.facts(runs.iter().copied()).await.unwrap_or_default();
        for part in parts(runs, &facts) {
            match core.within(clear(core, &part)).await {
                Ok(Together { after, cleared, gone, dags }) => {
                    core.committed(after).await;
                    core.start_soon(dags).await;
                    done.extend(cleared.into_iter().map(|run| (run, Ok(()))));
                    done.extend(gone.into_iter().map(|run| (run, Err(ClearError::HistoryGone))));
                }
                // What is wrong with one of them is not to stop the others.
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "runs could not be cleared together");
                }
            }
        }
        let mut rest = Vec::new();
        for run in runs {
            if !done.contains_key(run) {
                rest.push(self.run_clear(*run));
            }
        }
        let rest: Vec<_> = stream::iter(rest).buffered(BESIDE).collect().await;
        done.extend(rest);
        done
    }

    async fn run_clear(&self, run: RunKey) -> (RunKey, Result<(), ClearError>) {
        (run, self.tasks_clear(run, None).await.map(drop))
    }
}

impl Core {
    /// These DAGs have queued runs that may start.
    async fn start_soon(&self, dags: BTreeSet<i32>) {
        let closed = |dag: &i32| matches!(self.starts.try_send(*dag), Err(TrySendError::Closed(_)));
        let news: Vec<News> = dags.into_iter().filter(closed).map(News::Starts).collect();
        self.tell(news).await;
    }
}

/// What one transaction came to.
struct Together {
    after: After,
    cleared: Vec<RunKey>,
    /// Runs whose history was dropped: nothing was done to them.
    gone: Vec<RunKey>,
    /// DAGs of those that wait for their turn now.
    dags: BTreeSet<i32>,
}

/// Runs that go together, in the order of their keys. Not those with mapped tasks: of how many instances
/// they are nobody knows before.
fn parts(runs: &[RunKey], facts: &HashMap<RunKey, Arc<Facts>>) -> Vec<Vec<RunKey>> {
    let lengths = runs.iter().filter_map(|run| {
        let plan = &facts.get(run)?.plan;
        (!plan.has_maps()).then_some((*run, plan.len()))
    });
    let sorted: BTreeMap<RunKey, usize> = lengths.collect();
    let mut parts: Vec<Vec<RunKey>> = Vec::new();
    let mut tasks = 0;
    for (run, length) in sorted {
        tasks += length;
        match parts.last_mut() {
            Some(part) if tasks <= TASKS_MOST => part.push(run),
            _ => {
                parts.push(vec![run]);
                tasks = length;
            }
        }
    }
    parts
}

/// Clears those of the runs that have ended; the others are in no list of the answer.
async fn clear(core: &Core, runs: &[RunKey]) -> anyhow::Result<Together> {
    let mut tx = core.store.engine_begin().await?;
    let mut ended = tx.runs_lock(runs).await?;
    ended.retain(|run| run.state.is_final());
    let keys: Vec<RunKey> = ended.iter().map(|run| run.key).collect();
    // Nothing of them is live.
    let marked = tx.runs_reset(&keys).await?;
    let (mut reopened, mut plans, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for run in ended {
        let plan = core.caches.plan(run.dag, run.version).await?;
        if marked.contains(&run.key) || plan.is_empty() {
            plans.push((run.key, plan));
            let state = RunState::Queued;
            reopened.push(LockedRun { has_resets: true, cancelled: false, state, ..run });
        } else {
            gone.push(run.key);
        }
    }
    let cleared: Vec<RunKey> = reopened.iter().map(|run| run.key).collect();
    let dags: BTreeSet<i32> = reopened.iter().map(|run| run.dag).collect();
    if cleared.is_empty() {
        return Ok(Together { after: After::default(), cleared, gone, dags });
    }
    let pending = tx.runs_reopen(&cleared).await?;
    let turns = Turns::of(&reopened);
    let mut work = Work::new(core, &mut tx, reopened).await?;
    for (run, plan) in &plans {
        if pending.contains(run) {
            work.spare(&mut tx, *run, &every_task(plan)).await?;
        }
        // Its counters are worked out anew when it starts.
        work.waits(*run, i32::try_from(plan.len()).unwrap_or(i32::MAX));
    }
    work.settle(&mut tx).await?;
    turns.count(&mut tx).await?;
    tx.commit().await?;
    Ok(Together { after: work.into_after(), cleared, gone, dags })
}

fn every_task(plan: &Plan) -> BTreeSet<TaskNo> {
    plan.tasks().map(|task| task.no).collect()
}

/// How many runs wait for their turn once more: by DAG, and by backfill.
struct Turns {
    dags: BTreeMap<i32, i32>,
    backfills: BTreeMap<i64, i32>,
}

impl Turns {
    fn of(runs: &[LockedRun]) -> Self {
        let mut turns = Self { dags: BTreeMap::new(), backfills: BTreeMap::new() };
        for run in runs {
            match run.backfill {
                Some(backfill) => *turns.backfills.entry(backfill).or_default() += 1,
                None => *turns.dags.entry(run.dag).or_default() += 1,
            }
        }
        turns
    }

    async fn count(self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let dags: Vec<_> = self.dags.into_iter().map(|(dag, queued)| (dag, 0, queued)).collect();
        let backfills: Vec<_> =
            self.backfills.into_iter().map(|(id, queued)| (id, 0, queued)).collect();
        tx.dag_loads_add(&dags).await?;
        tx.backfills_add(&backfills).await?;
        Ok(())
    }
}
