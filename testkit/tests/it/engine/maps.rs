//! Mapped tasks through the real engine: as Airflow played them, and by the thousand.

use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use subak_core::dag::model::{Dag, Expand, Source, Task};
use subak_core::decide::{TriggerRule, TryEnd};
use subak_core::ids::{Instance, RunKey, TaskNo};
use subak_core::state::TaskState;
use subak_server::engine::{Answer, Mark, Outcome};
use subak_testkit::peek;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::AT_ONCE;
use super::fleet::{Fleet, Held, PATIENCE};
use super::vectors::outcome;
use crate::map_vectors::{Run, Vector, vectors};

#[tokio::test(flavor = "multi_thread")]
async fn mapped_tasks_go_through_the_engine_as_airflow_played_them() {
    let fleet = Fleet::start(2, 64).await;
    let vectors = vectors();
    let singles: Vec<_> = vectors
        .iter()
        .flat_map(|vector| vector.runs.iter().map(move |run| (vector, run)))
        .filter(|(_, run)| run.order == "singles")
        .collect();
    assert_eq!(singles.len(), 450);
    futures::stream::iter(singles)
        .for_each_concurrent(AT_ONCE, |(vector, run)| play(&fleet, vector, run))
        .await;
    fleet.finish().await;
}

async fn play(fleet: &Fleet, vector: &Vector, expected: &Run) {
    let name = format!("vector {}", vector.id);
    let dag = vector.dag(&format!("map_vector_{}", vector.id));
    let engine = &fleet.engines[usize::try_from(vector.id).unwrap() % fleet.engines.len()];
    let run = fleet.run(&dag, engine).await;
    let mut arrivals = fleet.assignments(run);
    let mut held: Vec<Held> = Vec::new();
    for (id, _) in expected.steps.iter().flat_map(|step| &step.complete) {
        let (place, index) = vector.place(id);
        let found = loop {
            let is_it = |held: &Held| held.place() == place && held.index() == index;
            if let Some(found) = held.iter().position(is_it) {
                break found;
            }
            let arrival = timeout(PATIENCE, arrivals.recv()).await;
            held.extend(arrival.unwrap_or_else(|_| panic!("{name}: {id} does not start")));
        };
        let held = held.swap_remove(found);
        let outcome = outcome(vector.outcome(place, index, held.try_number));
        fleet.end(&held);
        let result: Value = (0..vector.returns(place)).collect();
        let answer = fleet.report_result(engine, &held, outcome, Some(&result)).await;
        assert_eq!(answer, Answer::Accepted, "{name}, {id}");
    }
    let state = fleet.wait_for(run, &["success", "failed"]).await;
    assert_eq!(state, expected.r#final.run, "{name}");
    let instances = fleet.instances(run).await;
    for (id, state) in &expected.r#final.states {
        let (ours, tries) = &instances[&vector.place(id)];
        assert_eq!(ours, state, "{name}, {id}");
        assert_eq!(*tries, expected.r#final.tries[id], "{name}, {id}");
        assert!(ours.as_deref().and_then(TaskState::parse).is_some_and(TaskState::is_final));
    }
    assert_eq!(instances.len(), expected.r#final.states.len(), "{name}: {instances:?}");
    fleet.leave(arrivals);
}

/// A DAG with a task that is mapped over so many numbers, perhaps after another one.
fn mapped(id: &str, count: i32, after: Option<&str>) -> Dag {
    let numbers = Source::Literal((0..count).collect());
    let map = Task {
        expand: Some(Expand { arguments: vec![("number".to_owned(), numbers)] }),
        upstream: after.into_iter().map(Into::into).collect(),
        ..Task::new("map", "noop")
    };
    let first = after.map(|id| Task::new(id, "noop"));
    Dag::new(id, first.into_iter().chain([map]).collect())
}

async fn next(arrivals: &mut UnboundedReceiver<Held>) -> Held {
    let arrival = timeout(PATIENCE, arrivals.recv()).await;
    arrival.expect("an instance does not start").expect("nobody else takes them")
}

async fn end(fleet: &Fleet, held: &Held, outcome: Outcome) {
    let answer = fleet.report(&fleet.engines[0], held, outcome).await;
    assert_eq!(answer, Answer::Accepted, "{held:?}");
}

const FAILED: Outcome = Outcome::Failed(TryEnd::Permanent);

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_of_a_map_is_cleared_by_itself() {
    let fleet = Fleet::start(2, 64).await;
    let engine = &fleet.engines[0];
    let run = fleet.run(&mapped("apart", 5, None), engine).await;
    let mut arrivals = fleet.assignments(run);
    for _ in 0..5 {
        let held = next(&mut arrivals).await;
        let outcome = if held.index() == 2 { FAILED } else { Outcome::Success };
        end(&fleet, &held, outcome).await;
    }
    assert_eq!(fleet.wait_for(run, &["success", "failed"]).await, "failed");
    let failed = [Instance::mapped(TaskNo(0), 2)];
    engine.instances_clear(run, &failed, false).await.unwrap();
    let again = next(&mut arrivals).await;
    assert_eq!((again.index(), again.try_number), (2, 2));
    end(&fleet, &again, Outcome::Success).await;
    assert_eq!(fleet.wait_for(run, &["success", "failed"]).await, "success");
    // As a whole it is expanded anew.
    engine.tasks_clear(run, Some(&[TaskNo(0)])).await.unwrap();
    let mut tries = Vec::new();
    for _ in 0..5 {
        let held = next(&mut arrivals).await;
        tries.push((held.index(), held.try_number));
        end(&fleet, &held, Outcome::Success).await;
    }
    tries.sort_unstable();
    assert_eq!(tries, [(0, 2), (1, 2), (2, 3), (3, 2), (4, 2)]);
    assert_eq!(fleet.wait_for(run, &["success", "failed"]).await, "success");
    fleet.leave(arrivals);
    fleet.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_skips_what_of_a_map_has_not_begun() {
    let fleet = Fleet::start(2, 64).await;
    let engine = &fleet.engines[0];
    let dag = Dag { max_active_tasks: 4, ..mapped("cancelled", 2_500, None) };
    let run = fleet.run(&dag, engine).await;
    let mut arrivals = fleet.assignments(run);
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(next(&mut arrivals).await);
    }
    let live = fleet.instances(run).await;
    assert_eq!(live.len(), 4, "instances are made a few at a time");
    engine.run_cancel(run, "cancelled").await.unwrap();
    for held in &held {
        end(&fleet, held, Outcome::Stopped).await;
    }
    assert_eq!(fleet.wait_for(run, &["success", "failed"]).await, "failed");
    let ended = fleet.instances(run).await;
    let skipped = ended.values().filter(|(state, _)| state.as_deref() == Some("skipped"));
    assert_eq!((ended.len(), skipped.count()), (2_500, 2_496));
    fleet.leave(arrivals);
    fleet.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_that_will_not_run_ends_in_slices() {
    let fleet = Fleet::start(2, 64).await;
    let run = fleet.run(&mapped("refused", 2_500, Some("up")), &fleet.engines[0]).await;
    let mut arrivals = fleet.assignments(run);
    let held = next(&mut arrivals).await;
    end(&fleet, &held, FAILED).await;
    assert_eq!(fleet.wait_for(run, &["success", "failed"]).await, "failed");
    let ended = fleet.instances(run).await;
    let refused = ended.values().filter(|(state, _)| state.as_deref() == Some("upstream_failed"));
    assert_eq!((ended.len(), refused.count()), (2_501, 2_500));
    let most = peek::settled_at_once(&fleet.database.store, run).await.unwrap();
    assert!(most <= 1_001, "{most} at once");
    fleet.leave(arrivals);
    fleet.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_task_holds_in_each_run() {
    let fleet = Fleet::start(2, 64).await;
    let mut dag = mapped("limited", 20, None);
    dag.tasks[0].max_active_tis_per_dagrun = Some(3);
    let run = fleet.run(&dag, &fleet.engines[0]).await;
    let mut arrivals = fleet.assignments(run);
    for _ in 0..20 {
        let held = next(&mut arrivals).await;
        let live = fleet.held(run, &["scheduled", "queued", "running"]).await;
        assert!(live.len() <= 3, "{live:?}");
        end(&fleet, &held, Outcome::Success).await;
    }
    assert_eq!(fleet.wait_for(run, &["success", "failed"]).await, "success");
    fleet.leave(arrivals);
    fleet.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_waits_for_its_retry_leaves_its_place() {
    let fleet = Fleet::start(2, 64).await;
    let mut dag = mapped("leaving", 3, None);
    dag.tasks[0].max_active_tis_per_dagrun = Some(1);
    dag.tasks[0].retries = 1;
    dag.tasks[0].retry_delay = Duration::from_millis(1);
    let run = fleet.run(&dag, &fleet.engines[0]).await;
    let mut arrivals = fleet.assignments(run);
    let mut order = Vec::new();
    let mut held = next(&mut arrivals).await;
    loop {
        order.push((held.index(), held.try_number));
        let active = fleet.held(run, &["queued", "running"]).await;
        assert_eq!(active.len(), 1, "{order:?}");
        let failed = Outcome::Failed(TryEnd::Transient);
        end(&fleet, &held, if held.try_number == 1 { failed } else { Outcome::Success }).await;
        if order.len() == 6 {
            break;
        }
        held = next(&mut arrivals).await;
    }
    assert_eq!(fleet.wait_for(run, &["success", "failed"]).await, "success");
    let first: Vec<i32> = order.iter().filter(|(_, n)| *n == 1).map(|(index, _)| *index).collect();
    assert_eq!(first, [0, 1, 2], "{order:?}");
    fleet.leave(arrivals);
    fleet.finish().await;
}

/// A DAG with a task that is mapped over what another one returns.
fn fed(id: &str) -> Dag {
    let mut dag = mapped(id, 0, Some("up"));
    let returned = Source::Task { task_id: "up".into(), key: "return_value".to_owned() };
    dag.tasks[1].expand = Some(Expand { arguments: vec![("number".to_owned(), returned)] });
    dag
}

/// A run of such a DAG that was cleared while an instance ran: its map has done the others, and what it is
/// mapped over has begun once more.
struct Stopping {
    run: RunKey,
    arrivals: UnboundedReceiver<Held>,
    up: Held,
    /// What the clear is still stopping.
    stays: Held,
}

impl Stopping {
    async fn new(fleet: &Fleet, dag: &Dag) -> Self {
        let run = fleet.run(dag, &fleet.engines[0]).await;
        let mut arrivals = fleet.assignments(run);
        let up = next(&mut arrivals).await;
        returned(fleet, &up).await;
        let mut stays = None;
        for _ in 0..3 {
            let held = next(&mut arrivals).await;
            match held.index() {
                1 => stays = Some(held),
                _ => end(fleet, &held, Outcome::Success).await,
            }
        }
        let both = [TaskNo(0), TaskNo(1)];
        fleet.engines[0].tasks_clear(run, Some(&both)).await.unwrap();
        let up = next(&mut arrivals).await;
        assert_eq!((up.place(), up.try_number), (0, 2), "{}", dag.dag_id.0);
        Self { run, arrivals, up, stays: stays.unwrap() }
    }
}

async fn returned(fleet: &Fleet, held: &Held) {
    fleet.end(held);
    let numbers: Value = (0..3).collect();
    let engine = &fleet.engines[0];
    let answer = fleet.report_result(engine, held, Outcome::Success, Some(&numbers)).await;
    assert_eq!(answer, Answer::Accepted, "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_a_clear_still_stops_is_made_again_only_then() {
    let fleet = Fleet::start(2, 64).await;
    let mut waiting = fed("stopping_past");
    waiting.tasks[1].depends_on_past = true;
    for dag in [mapped("stopping_literal", 3, Some("up")), fed("stopping_fed"), waiting] {
        let name = &dag.dag_id.0;
        let Stopping { run, mut arrivals, up, stays } = Stopping::new(&fleet, &dag).await;
        returned(&fleet, &up).await;
        let mut again = [next(&mut arrivals).await, next(&mut arrivals).await];
        again.sort_by_key(Held::index);
        assert_eq!(again.map(|held| (held.index(), held.try_number)), [(0, 2), (2, 2)], "{name}");
        for held in &again {
            end(&fleet, held, Outcome::Success).await;
        }
        assert_eq!(fleet.run_state(run).await, "running", "{name}");
        end(&fleet, &stays, Outcome::Success).await;
        let last = next(&mut arrivals).await;
        assert_eq!((last.index(), last.try_number), (1, 2), "{name}");
        end(&fleet, &last, Outcome::Success).await;
        assert_eq!(fleet.wait_for(run, &["success", "failed"]).await, "success", "{name}");
        fleet.leave(arrivals);
    }
    // Nor is it settled while it is live.
    let dag = mapped("stopping_refused", 3, Some("up"));
    let Stopping { run, arrivals, up, stays } = Stopping::new(&fleet, &dag).await;
    end(&fleet, &up, FAILED).await;
    assert_eq!(fleet.run_state(run).await, "running");
    end(&fleet, &stays, Outcome::Success).await;
    assert_eq!(fleet.wait_for(run, &["success", "failed"]).await, "failed");
    let ended = fleet.instances(run).await;
    let refused = ended.values().filter(|(state, _)| state.as_deref() == Some("upstream_failed"));
    assert_eq!((ended.len(), refused.count()), (4, 3), "{ended:?}");
    fleet.leave(arrivals);
    fleet.finish().await;
}

/// What failed of a map is cleared by a mark above it, and an instance that runs goes on. What the map is
/// mapped over runs again meanwhile: that instance's end is not the end of all of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_before_its_map_is_expanded_anew_is_that_of_one_instance() {
    let fleet = Fleet::start(2, 64).await;
    let engine = &fleet.engines[0];
    let mut dag = fed("marked_above");
    dag.tasks[1].upstream.push("side".into());
    dag.tasks[1].trigger_rule = TriggerRule::AllDone;
    let below = Task { upstream: vec!["map".into()], ..Task::new("below", "noop") };
    dag.tasks.extend([Task::new("side", "noop"), below]);
    let run = fleet.run(&dag, engine).await;
    let mut arrivals = fleet.assignments(run);
    for _ in 0..2 {
        let held = next(&mut arrivals).await;
        match held.place() {
            0 => returned(&fleet, &held).await,
            _ => end(&fleet, &held, FAILED).await,
        }
    }
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(next(&mut arrivals).await);
    }
    instances.sort_by_key(Held::index);
    end(&fleet, &instances[0], FAILED).await;
    end(&fleet, &instances[2], Outcome::Success).await;
    engine.tasks_clear(run, Some(&[TaskNo(0)])).await.unwrap();
    let up = next(&mut arrivals).await;
    assert_eq!((up.place(), up.try_number), (0, 2));
    let marked = engine.tasks_mark(run, Some(&[TaskNo(2)]), Mark::Success, "test").await.unwrap();
    assert_eq!(marked.cleared, [TaskNo(1), TaskNo(3)]);

    end(&fleet, &instances[1], Outcome::Success).await;
    let live = fleet.held(run, &["scheduled", "queued", "running"]).await;
    assert_eq!(live, [0], "only what it is mapped over runs");
    returned(&fleet, &up).await;
    let mut again = [next(&mut arrivals).await, next(&mut arrivals).await];
    again.sort_by_key(Held::index);
    let tries = again.map(|held| (held.place(), held.index(), held.try_number));
    assert_eq!(tries, [(1, 0, 2), (1, 2, 2)]);
    for held in &again {
        end(&fleet, held, Outcome::Success).await;
    }
    let below = next(&mut arrivals).await;
    assert_eq!((below.place(), below.try_number), (3, 1));
    end(&fleet, &below, Outcome::Success).await;
    assert_eq!(fleet.wait_for(run, &["success", "failed"]).await, "success");
    fleet.leave(arrivals);
    fleet.finish().await;
}
