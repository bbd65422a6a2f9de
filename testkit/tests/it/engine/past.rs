//! Runs of one DAG that wait for each other (`depends_on_past`, `wait_for_downstream`), as Airflow 3.3
//! played them: after each report the same tasks run, of all runs, and in the end states and tries are
//! the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use serde::Deserialize;
use subak_core::dag::model::{Dag, Task};
use subak_core::decide::TriggerRule;
use subak_core::ids::RunKey;
use subak_core::state::RunType;
use subak_server::engine::{Answer, Trigger};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::AT_ONCE;
use super::fleet::{Fleet, Held, PATIENCE};
use super::vectors::outcome;
use crate::vectors::{self, Final, dag_of, task};

/// Between two looks at what no change tells of.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Deserialize)]
struct Vector {
    id: u32,
    catchup: bool,
    tasks: Vec<PastTask>,
    runs: Vec<PastRun>,
    late: Option<Late>,
    plays: Vec<Play>,
}

#[derive(Deserialize)]
struct PastTask {
    id: String,
    up: Vec<String>,
    rule: TriggerRule,
    #[serde(default)]
    retries: u32,
    #[serde(default)]
    depends_on_past: bool,
    #[serde(default)]
    wait_for_downstream: bool,
    #[serde(default)]
    ignore_first_depends_on_past: bool,
}

#[derive(Deserialize)]
struct PastRun {
    r#type: String,
    hour: Option<u32>,
    outcomes: BTreeMap<String, Vec<String>>,
}

/// A task that runs before this one do not have.
#[derive(Deserialize)]
struct Late {
    task: String,
    from_run: usize,
}

#[derive(Deserialize)]
struct Play {
    steps: Vec<Step>,
    r#final: Vec<Final>,
}

#[derive(Deserialize)]
struct Step {
    complete: Option<(usize, String, String)>,
    passes: Vec<Vec<(usize, BTreeMap<String, String>)>>,
    runs: Vec<String>,
}

/// A task of a run.
type Place = (usize, String);

#[tokio::test(flavor = "multi_thread")]
async fn runs_wait_for_each_other_as_airflow_played_them() {
    let fleet = Fleet::start(2, 64).await;
    let all: Vec<Vector> =
        vectors::read(include_bytes!("../../../../core/tests/data/airflow-past-vectors.json.gz"));
    let plays: Vec<_> = all
        .iter()
        .flat_map(|vector| vector.plays.iter().enumerate().map(move |play| (vector, play)))
        .collect();
    assert_eq!(plays.len(), 600);
    futures::stream::iter(plays)
        .for_each_concurrent(AT_ONCE, |(vector, (number, play))| {
            run(&fleet, vector, play, format!("past_{}_{number}", vector.id))
        })
        .await;
    fleet.finish().await;
}

async fn run(fleet: &Fleet, vector: &Vector, play: &Play, name: String) {
    let mut runs = Vec::new();
    for (number, run) in vector.runs.iter().enumerate() {
        let dag = vector.dag(&name, number);
        let engine = &fleet.engines[number % fleet.engines.len()];
        runs.push(fleet.run_of(&dag, engine, run.trigger(&dag)).await);
    }
    let numbers = fleet.numbers(&name).await;
    let named: BTreeMap<usize, &String> = numbers.iter().map(|(id, no)| (*no, id)).collect();
    let mut arrivals: Vec<UnboundedReceiver<Held>> =
        runs.iter().map(|run| fleet.assignments(*run)).collect();
    let mut held: BTreeMap<Place, Held> = BTreeMap::new();
    let mut running: BTreeSet<Place> = BTreeSet::new();
    for (place, step) in play.steps.iter().enumerate() {
        let place = format!("{name}, step {place}");
        if let Some((of, id, _)) = &step.complete {
            let at = (*of, id.clone());
            let ended = held.remove(&at).unwrap_or_else(|| panic!("{place}: {at:?} runs not"));
            running.remove(&at);
            let end = vectors::outcome(&vector.runs[*of].outcomes[id], ended.try_number);
            let engine = &fleet.engines[place.len() % fleet.engines.len()];
            let answer = fleet.report(engine, &ended, outcome(end)).await;
            assert_eq!(answer, Answer::Accepted, "{place}");
        }
        for (of, changes) in step.passes.iter().flatten() {
            let started = changes.iter().filter(|(_, state)| *state == "running");
            running.extend(started.map(|(id, _)| (*of, id.clone())));
        }
        for (of, id) in &running {
            while !held.contains_key(&(*of, id.clone())) {
                let arrival = timeout(PATIENCE, arrivals[*of].recv()).await;
                let arrival = arrival.unwrap_or_else(|_| panic!("{place}: {of} {id} starts not"));
                let arrival = arrival.expect("the fleet hands on what arrives");
                held.insert((*of, named[&arrival.place()].clone()), arrival);
            }
        }
        fleet.through(&name, &runs).await;
        for (number, run) in runs.iter().enumerate() {
            let now = fleet.held(*run, &["scheduled", "queued", "running", "up_for_retry"]).await;
            let now: BTreeSet<&String> = now.iter().map(|no| named[no]).collect();
            let of_run = running.iter().filter(|(of, _)| *of == number);
            let expected: BTreeSet<&String> = of_run.map(|(_, id)| id).collect();
            assert_eq!(now, expected, "{place}, run {number}");
            assert_eq!(fleet.run_state(*run).await, step.runs[number], "{place}, run {number}");
        }
    }
    for (number, (run, expected)) in runs.iter().zip(&play.r#final).enumerate() {
        let tasks = fleet.tasks(*run).await;
        for (id, state) in &expected.states {
            let (ours, tries) = tasks.get(&numbers[id]).cloned().unwrap_or_default();
            assert_eq!(ours, *state, "{name}, run {number}, {id}");
            assert_eq!(tries, expected.tries[id], "{name}, run {number}, {id}");
        }
    }
    // What is blocked for ever, as in Airflow. The last one first: what a cancel skips lets the next run
    // go on.
    for (run, expected) in runs.iter().zip(&play.r#final).rev() {
        if expected.run == "running" {
            fleet.engines[0].run_cancel(*run, "cancelled").await.unwrap();
            fleet.wait_for(*run, &["failed"]).await;
        }
    }
    for arrivals in arrivals {
        fleet.leave(arrivals);
    }
}

impl Vector {
    /// The DAG as this run has it.
    fn dag(&self, name: &str, run: usize) -> Dag {
        let is_there = |id: &str| {
            let late = self.late.as_ref().filter(|late| late.task == id);
            late.is_none_or(|late| run >= late.from_run)
        };
        let tasks = self.tasks.iter().filter(|task| is_there(&task.id)).map(|it| {
            let up: Vec<String> = it.up.iter().filter(|up| is_there(up)).cloned().collect();
            Task {
                depends_on_past: it.depends_on_past,
                wait_for_downstream: it.wait_for_downstream,
                ignore_first_depends_on_past: it.ignore_first_depends_on_past,
                ..task(&it.id, "noop", &up, it.rule, it.retries)
            }
        });
        Dag { catchup: self.catchup, ..dag_of(name, tasks.collect()) }
    }
}

impl PastRun {
    fn trigger(&self, dag: &Dag) -> Trigger {
        let begin: DateTime<Utc> = "2026-11-01T00:00:00Z".parse().unwrap();
        let date = self.hour.map(|hour| begin + TimeDelta::hours(hour.into()));
        Trigger {
            // A backfill's run is made by hand no more than a scheduled one.
            run_type: match self.r#type.starts_with("manual") {
                true => RunType::Manual,
                false => RunType::Scheduled,
            },
            logical_date: date,
            data_interval: date.map(|date| (date, date)),
            ..Trigger::manual(dag.dag_id.clone(), "test", serde_json::json!({}))
        }
    }
}

impl Fleet {
    /// The numbers of a DAG's tasks.
    async fn numbers(&self, dag_id: &str) -> BTreeMap<String, usize> {
        let rows: Vec<(String, i32)> = sqlx::query_as(
            "SELECT task_id, task FROM dag_task WHERE dag = (SELECT dag FROM dag WHERE dag_id = $1)",
        )
        .bind(dag_id)
        .fetch_all(self.database.store.pool())
        .await
        .unwrap();
        rows.into_iter().map(|(id, no)| (id, usize::try_from(no).unwrap())).collect()
    }

    /// Waits until nothing of these runs is left to transactions of their own.
    async fn through(&self, dag_id: &str, runs: &[RunKey]) {
        let runs: Vec<i64> = runs.iter().map(|run| run.0).collect();
        let mut changes = self.engines[0].changes();
        let waiting = async {
            loop {
                let left: i64 = sqlx::query_scalar(
                    "SELECT count(*) FROM outbox WHERE run_key = ANY ($1)
                     OR dag = (SELECT dag FROM dag WHERE dag_id = $2)",
                )
                .bind(&runs)
                .bind(dag_id)
                .fetch_one(self.database.store.pool())
                .await
                .unwrap();
                if left == 0 {
                    return;
                }
                let _ = timeout(LOOK_EVERY, changes.recv()).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{dag_id}: the outbox stays"));
    }
}
