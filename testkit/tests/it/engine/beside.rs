//! Several runs of one DAG beside each other, with everything at once: tasks that wait for the run before,
//! and tasks of which only so many run at once. Whether they keep to that is the checker's to say. Where
//! nothing moves any more, this test reads for itself whether the run before is the reason, and then helps:
//! whatever waits for no reason was forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use subak_core::ids::{Instance, RunKey};
use subak_core::state::RunType;
use subak_server::engine::{Engine, Trigger};
use subak_testkit::dag_gen::Sample;
use subak_testkit::model::TryEnd;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use super::exact::number;
use super::fleet::{Fleet, Held, PATIENCE, TaskNow};
use super::racing::{Act, intervention};

/// Reports that are on their way at once.
const AT_ONCE: usize = 6;

/// Between two looks at what no assignment tells of.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How often what waits is helped by more than a cancel: what fails may fail again.
const HELPS: u32 = 4;

/// So often is more than all runs together may need.
const HELPS_MOST: u32 = 40;

/// The runs of one DAG, in the order of their dates.
struct Runs<'a> {
    fleet: &'a Fleet,
    sample: &'a Sample,
    rng: StdRng,
    runs: Vec<RunKey>,
    /// Runs of which everything succeeds from now on.
    mended: BTreeSet<RunKey>,
    seen: Vec<(RunKey, Instance)>,
    interventions: u32,
    helps: u32,
}

/// How all of the runs stand.
enum Standing {
    /// Something is ready, runs, or is left to a transaction of its own.
    Moves,
    /// Nothing will happen any more, and this one is the first that has not ended.
    Stands(RunKey),
    Ended,
}

/// Plays two or three runs of the sample until all have ended, with cancels, clears, pauses and deletions.
pub(super) async fn play(fleet: &Fleet, sample: &Sample) {
    let mut rng = StdRng::seed_from_u64(sample.seed ^ 0xbe51);
    let (into, mut arrivals) = unbounded_channel();
    // The first run may be of a version that knows nothing of waiting.
    let older = rng.random_bool(0.3).then(|| sample.without_past());
    let count: i64 = rng.random_range(2..=3);
    let mut runs = Vec::new();
    for place in 0..count {
        let dag = older.as_ref().filter(|_| place == 0).unwrap_or(&sample.dag);
        let engine = fleet.engines.choose(&mut rng).unwrap();
        let run = fleet.run_of(dag, engine, trigger(sample, place)).await;
        fleet.gather(run, &into);
        runs.push(run);
    }
    let interventions = rng.random_range(0..=2);
    let (mended, seen) = (BTreeSet::new(), Vec::new());
    let mut all = Runs { fleet, sample, rng, runs, mended, seen, interventions, helps: 0 };
    let mut acts = FuturesUnordered::new();
    let mut moved = Instant::now();
    loop {
        let idle = acts.is_empty() && arrivals.is_empty();
        if idle {
            match all.standing().await {
                Standing::Moves if moved.elapsed() < PATIENCE => {}
                Standing::Moves => panic!("{}", all.told("nothing more").await),
                Standing::Stands(run) => {
                    all.help(run).await;
                    moved = Instant::now();
                    continue;
                }
                Standing::Ended if all.interventions > 0 && all.rng.random_bool(0.3) => {
                    let (act, engine, run) = all.intervene();
                    act.perform(fleet, engine, sample, run).await;
                    moved = Instant::now();
                    continue;
                }
                Standing::Ended => break,
            }
        }
        let next = async {
            tokio::select! {
                held = arrivals.recv(), if acts.len() < AT_ONCE => held,
                Some(()) = acts.next() => None,
            }
        };
        let held: Option<Held> = match timeout(if idle { LOOK_EVERY } else { PATIENCE }, next).await
        {
            Ok(held) => held,
            Err(_) if idle => continue,
            Err(_) => panic!("{}", all.told("a report is not answered").await),
        };
        moved = Instant::now();
        let Some(held) = held else { continue };
        let run = held.fence.instance.run;
        all.seen.push((run, held.instance()));
        let (end, engine) = (all.end_of(&held), all.engine());
        acts.push(Act::Report(held, end).perform(fleet, engine, sample, run));
        if all.interventions > 0 && all.rng.random_bool(0.08) {
            let (act, engine, run) = all.intervene();
            acts.push(act.perform(fleet, engine, sample, run));
        }
    }
    drop(acts);
    fleet.leave(arrivals);
}

fn trigger(sample: &Sample, place: i64) -> Trigger {
    let begin: DateTime<Utc> = "2026-11-01T00:00:00Z".parse().unwrap();
    let date = begin + TimeDelta::hours(place);
    Trigger {
        run_type: RunType::Scheduled,
        logical_date: Some(date),
        data_interval: Some((date, date)),
        ..Trigger::manual(sample.dag.dag_id.clone(), "test", serde_json::json!({}))
    }
}

impl<'a> Runs<'a> {
    fn engine(&mut self) -> &'a Engine {
        let fleet = self.fleet;
        fleet.engines.choose(&mut self.rng).unwrap()
    }

    fn end_of(&self, held: &Held) -> TryEnd {
        match self.mended.contains(&held.fence.instance.run) {
            true => TryEnd::Success,
            false => self.sample.outcome_of(held.place(), held.index(), held.try_number),
        }
    }

    /// A cancel or a clear of any of the runs, or a pause of their DAG.
    fn intervene(&mut self) -> (Act, &'a Engine, RunKey) {
        self.interventions -= 1;
        let run = *self.runs.choose(&mut self.rng).unwrap();
        let of_run = self.seen.iter().filter(|(of, _)| *of == run);
        let seen: Vec<Instance> = of_run.map(|(_, at)| *at).collect();
        let act = intervention(&mut self.rng, self.sample, &seen);
        (act, self.engine(), run)
    }

    /// Everything in one statement: of one instant.
    async fn standing(&self) -> Standing {
        let runs: Vec<i64> = self.runs.iter().map(|run| run.0).collect();
        let (moving, open): (i64, Option<i64>) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM live WHERE run_key = ANY ($1))
                  + (SELECT count(*) FROM outbox WHERE run_key = ANY ($1)
                     OR dag = (SELECT dag FROM dag WHERE dag_id = $2))
                  + (SELECT count(*) FROM run WHERE run_key = ANY ($1) AND state = 'queued'),
                    (SELECT min(run_key) FROM run
                     WHERE run_key = ANY ($1) AND state NOT IN ('success', 'failed'))",
        )
        .bind(runs)
        .bind(&self.sample.dag.dag_id.0)
        .fetch_one(self.fleet.database.store.pool())
        .await
        .unwrap();
        match open {
            _ if moving > 0 => Standing::Moves,
            Some(run) => Standing::Stands(RunKey(run)),
            None => Standing::Ended,
        }
    }

    /// Something of a run may wait only for the run before, and only while that lets nobody go on. Then
    /// that one is deleted or mended, or the run that waits is cancelled.
    async fn help(&mut self, run: RunKey) {
        let place = self.runs.iter().position(|of| *of == run).unwrap();
        let before = place.checked_sub(1).map(|before| self.runs[before]);
        let Some(before) = before else {
            panic!("{}", self.told("the first run waits for nobody, and stands").await)
        };
        let now = self.fleet.instances(run).await;
        let then = self.fleet.instances(before).await;
        let mut waits = self.fleet.waits(run).await;
        waits.retain(|at| now.get(at).is_none_or(|(state, _)| state.is_none()));
        let is_held =
            |task: usize| self.sample.waits_for(task).iter().any(|no| !ended_well(&then, *no));
        let is_right = !waits.is_empty() && waits.iter().all(|(task, _)| is_held(*task));
        assert!(
            is_right,
            "{}",
            self.told(&format!("{run} stands, and nothing holds it: {waits:?}")).await
        );
        self.helps += 1;
        let may_end = self.helps <= HELPS_MOST;
        assert!(may_end, "{}", self.told("no help lets the runs end").await);
        let failed = |state: &str| ["failed", "upstream_failed"].contains(&state);
        let of_task = then.iter().filter(|(_, (state, _))| state.as_deref().is_some_and(failed));
        let bad: BTreeSet<usize> = of_task.map(|((task, _), _)| *task).collect();
        let bad: Vec<Instance> = bad.into_iter().map(|no| Instance::single(number(no))).collect();
        let (choice, engine) = (self.rng.random_range(0..10), self.engine());
        match choice {
            0..3 if place == 1 => {
                self.fleet.delete(engine, before).await;
                self.runs.remove(0);
            }
            0..8 if !bad.is_empty() && self.helps <= HELPS => {
                self.mended.insert(before);
                engine.instances_clear(before, &bad, false).await.unwrap();
            }
            _ => engine.run_cancel(run, "cancelled").await.unwrap(),
        }
    }

    /// Everything that the database has of the runs, told with a failure.
    async fn told(&self, what: &str) -> String {
        let mut told = format!("seed {}, {:?}: {what}", self.sample.seed, self.runs);
        for run in &self.runs {
            told = format!("{told}\n{}", self.fleet.rows(*run).await);
        }
        told
    }
}

/// Whether a task of a run that has ended did so well, with all of its instances.
fn ended_well(run: &BTreeMap<(usize, i32), TaskNow>, task: usize) -> bool {
    let is_good = |state: &Option<String>| {
        state.as_deref().is_some_and(|state| ["success", "skipped"].contains(&state))
    };
    let mut all = run.range((task, i32::MIN)..=(task, i32::MAX)).map(|(_, (state, _))| state);
    all.clone().next().is_some() && all.all(is_good)
}

impl Fleet {
    /// What of a run waits for the run before.
    async fn waits(&self, run: RunKey) -> Vec<(usize, i32)> {
        let rows: Vec<(i32, i32)> =
            sqlx::query_as("SELECT task, map_index FROM past_wait WHERE run_key = $1")
                .bind(run.0)
                .fetch_all(self.database.store.pool())
                .await
                .unwrap();
        rows.into_iter().map(|(task, index)| (usize::try_from(task).unwrap(), index)).collect()
    }
}
