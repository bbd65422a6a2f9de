//! Four dangers, each played so that an engine without its guard must break an invariant. The
//! engine as it is breaks none; a deliberately broken one is found out (`tests/mutation`).

use futures::future::join_all;
use subak_core::dag::model::Dag;
use subak_core::decide::TryEnd;
use subak_server::engine::Outcome;
use subak_testkit::checker::{Moment, Violation};
use subak_testkit::dag_gen::{Sample, Shape};
use tokio::time::timeout;

use super::fleet::{Fleet, Held, PATIENCE};

/// A DAG of this many tasks that do not wait for each other, and one that waits for all.
fn fan(name: &str, width: usize) -> Dag {
    let mut dag = Sample::new(0, Shape { max_tasks: 1, limited: false }).dag;
    let mut pattern = dag.tasks.remove(0);
    pattern.retries = 0;
    for place in 0..=width {
        let mut task = pattern.clone();
        task.task_id = format!("t{place:03}").as_str().into();
        dag.tasks.push(task);
    }
    dag.tasks[width].upstream = dag.tasks[..width].iter().map(|t| t.task_id.clone()).collect();
    dag.tasks[width].trigger_rule = subak_core::decide::TriggerRule::AllDone;
    dag.dag_id = name.into();
    dag
}

/// A worker is given up for lost and its task handed over again; then its own report arrives.
pub(super) async fn late_report() -> Vec<Violation> {
    let fleet = Fleet::start(2, 16).await;
    let run = fleet.run(&fan("late_report", 1), &fleet.engines[0]).await;
    let mut arrivals = fleet.assignments(run);
    let mut next = async || -> Held {
        timeout(PATIENCE, arrivals.recv()).await.expect("a try is handed over").unwrap()
    };
    let lost = next().await;
    fleet.note_end(&lost);
    let ended = Outcome::Failed(TryEnd::WorkerLost);
    fleet.report_again(&fleet.engines[1], &lost, ended).await;
    let second = next().await;
    assert_eq!((second.place(), second.try_number), (0, 2));
    fleet.report_again(&fleet.engines[1], &lost, Outcome::Success).await;
    fleet.check(Moment::Under).await
}

/// All upstreams of a task end at the same time, on four servers.
pub(super) async fn all_at_once() -> Vec<Violation> {
    const WIDTH: usize = 48;
    let fleet = Fleet::start(4, 64).await;
    let mut dag = fan("all_at_once", WIDTH);
    dag.max_active_tasks = 64;
    for round in 0..5 {
        dag.dag_id = format!("all_at_once_{round}").as_str().into();
        let run = fleet.run(&dag, &fleet.engines[0]).await;
        let mut arrivals = fleet.assignments(run);
        let mut held = Vec::new();
        while held.len() < WIDTH {
            held.extend(timeout(PATIENCE, arrivals.recv()).await.expect("all tasks start"));
        }
        join_all(
            held.iter().enumerate().map(|(place, held)| {
                fleet.report(&fleet.engines[place % 4], held, Outcome::Success)
            }),
        )
        .await;
    }
    fleet.check(Moment::Under).await
}

/// A DAG is paused while a task of it runs, and another one is ready that has no slot yet.
pub(super) async fn paused() -> Vec<Violation> {
    let fleet = Fleet::start(1, 1).await;
    let mut dag = fan("paused", 2);
    dag.max_active_tasks = 16;
    let engine = &fleet.engines[0];
    let run = fleet.run(&dag, engine).await;
    let mut arrivals = fleet.assignments(run);
    let held = timeout(PATIENCE, arrivals.recv()).await.expect("a try is handed over").unwrap();
    assert_eq!(fleet.held(run, &["queued"]).await.len(), 1);
    let mut pause = fleet.pause(engine, &dag.dag_id).await;
    fleet.looked(&mut pause).await;
    fleet.note_pause(pause);
    fleet.report(engine, &held, Outcome::Success).await;
    fleet.check(Moment::Under).await
}

/// A server dies as soon as a worker was told that its report is accepted.
pub(super) async fn killed_after_the_answer() -> Vec<Violation> {
    let mut found = Vec::new();
    for round in 0..5 {
        let mut fleet = Fleet::start(1, 16).await;
        let run = fleet.run(&fan(&format!("killed_{round}"), 8), &fleet.engines[0]).await;
        let held = fleet.assignments(run).recv().await.unwrap();
        fleet.report(&fleet.engines[0], &held, Outcome::Success).await;
        fleet.kill().await;
        found.extend(fleet.check(Moment::Under).await);
    }
    found
}
