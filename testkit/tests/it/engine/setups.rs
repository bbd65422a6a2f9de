//! Setups and teardowns that are mapped, through the real engine: what a cancel and `fail_fast` leave of
//! them.

use subak_core::dag::model::Dag;
use subak_core::dag::parse;
use subak_core::decide::TryEnd;
use subak_core::ids::{Instance, RunKey, TaskNo};
use subak_server::engine::{Answer, Outcome};
use subak_testkit::checker::Moment;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::fleet::{Fleet, Held, PATIENCE};

const FAILED: Outcome = Outcome::Failed(TryEnd::Permanent);

const GROUP: &str = "
task_groups: {g: {expand: {room: [a, b, c, d]}}}
tasks:
  make: {operator: noop, task_group: g, setup: true}
  use: {operator: noop, task_group: g, depends_on: [make]}
  more: {operator: noop, task_group: g, depends_on: [use]}
  drop: {operator: noop, task_group: g, depends_on: [more], teardown: {setups: [make]}}
";

/// A run, and its tries that were started.
struct Play<'f> {
    fleet: &'f Fleet,
    dag: Dag,
    run: RunKey,
    arrivals: UnboundedReceiver<Held>,
    held: Vec<Held>,
}

impl<'f> Play<'f> {
    async fn start(fleet: &'f Fleet, text: &str) -> Self {
        let parsed = parse("dags/setups.yaml", text);
        assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
        let dag = parsed.dags[0].clone();
        let run = fleet.run(&dag, &fleet.engines[0]).await;
        let arrivals = fleet.assignments(run);
        Self { fleet, dag, run, arrivals, held: Vec::new() }
    }

    fn place(&self, task: &str) -> usize {
        self.dag.tasks.iter().position(|it| it.task_id.0 == task).unwrap()
    }

    /// The try of an instance, once it is started.
    async fn given(&mut self, task: &str, index: i32) -> Held {
        let place = self.place(task);
        let is_it = |held: &Held| held.place() == place && held.index() == index;
        loop {
            if let Some(found) = self.held.iter().position(is_it) {
                return self.held.swap_remove(found);
            }
            let arrival = timeout(PATIENCE, self.arrivals.recv()).await;
            let arrival = arrival.unwrap_or_else(|_| panic!("{task}[{index}] does not start"));
            self.held.push(arrival.unwrap());
        }
    }

    async fn end(&self, held: &Held, outcome: Outcome) {
        let answer = self.fleet.report(&self.fleet.engines[1], held, outcome).await;
        assert_eq!(answer, Answer::Accepted, "{held:?}");
    }

    /// The states of a task's instances, once the run has ended.
    async fn states(&self, task: &str) -> Vec<String> {
        let place = self.place(task);
        let all = self.fleet.instances(self.run).await;
        let own = all.range((place, i32::MIN)..=(place, i32::MAX));
        own.map(|(_, (state, _))| state.clone().unwrap_or_default()).collect()
    }

    /// The run has ended so, and nothing was started that nobody asked for.
    async fn ended(&mut self, state: &str) {
        assert_eq!(self.fleet.wait_for(self.run, &["success", "failed"]).await, state);
        while let Ok(held) = self.arrivals.try_recv() {
            self.held.push(held);
        }
        assert!(self.held.is_empty(), "{:?}", self.held);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_leaves_a_group_its_teardowns_index_by_index() {
    let fleet = Fleet::start(2, 64).await;
    let after = "  after: {operator: noop, depends_on: [g]}\n";
    let mut play = Play::start(&fleet, &format!("dag_id: rooms{GROUP}{after}")).await;
    for (index, outcome) in [(0, Outcome::Success), (1, FAILED), (2, Outcome::Success)] {
        let make = play.given("g.make", index).await;
        play.end(&make, outcome).await;
    }
    let making = play.given("g.make", 3).await;
    let used = play.given("g.use", 0).await;
    play.end(&used, FAILED).await;
    // Whatever the work did, its teardown runs, and has no say in the run.
    let dropped = play.given("g.drop", 0).await;
    play.end(&dropped, FAILED).await;
    let using = play.given("g.use", 2).await;
    for _ in 0..2 {
        fleet.engines[0].run_cancel(play.run, "cancelled").await.unwrap();
    }
    play.end(&making, Outcome::Stopped).await;
    play.end(&using, Outcome::Stopped).await;
    let dropping = play.given("g.drop", 2).await;
    play.end(&dropping, Outcome::Success).await;
    play.ended("failed").await;
    let failed = "upstream_failed";
    assert_eq!(play.states("g.make").await, ["success", "failed", "success", "failed"]);
    assert_eq!(play.states("g.use").await, ["failed", failed, "failed", "skipped"]);
    assert_eq!(play.states("g.more").await, [failed, failed, "skipped", "skipped"]);
    assert_eq!(play.states("g.drop").await, ["failed", failed, "success", failed]);
    assert_eq!(play.states("after").await, [failed]);
    assert_eq!(fleet.check(Moment::AtTheEnd).await, []);
    // What a cancel gave up is judged again once it is cleared, by itself.
    let place = TaskNo(i32::try_from(play.place("g.use")).unwrap());
    let again = [Instance::mapped(place, 2)];
    fleet.engines[0].instances_clear(play.run, &again, false).await.unwrap();
    let using = play.given("g.use", 2).await;
    assert_eq!(using.try_number, 2);
    play.end(&using, Outcome::Success).await;
    play.ended("failed").await;
    assert_eq!(play.states("g.use").await, ["failed", failed, "success", "skipped"]);
    fleet.leave(play.arrivals);
    fleet.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_fails_fast_runs_the_teardowns_of_setups_that_succeeded() {
    let fleet = Fleet::start(2, 64).await;
    let mut play = Play::start(&fleet, &format!("dag_id: fast\nfail_fast: true{GROUP}")).await;
    for index in [0, 1, 3] {
        let make = play.given("g.make", index).await;
        play.end(&make, Outcome::Success).await;
    }
    let making = play.given("g.make", 2).await;
    let mut using = Vec::new();
    for index in [0, 1, 3] {
        using.push(play.given("g.use", index).await);
    }
    play.end(&using[0], FAILED).await;
    play.end(&making, Outcome::Stopped).await;
    let dropping = play.given("g.drop", 0).await;
    play.end(&dropping, Outcome::Success).await;
    // Other instances of the task that failed go on, as in Airflow.
    for (held, index) in using[1..].iter().zip([1, 3]) {
        play.end(held, Outcome::Success).await;
        let dropping = play.given("g.drop", index).await;
        play.end(&dropping, Outcome::Success).await;
    }
    // Nobody is left who could fail: as in Airflow, skipped ends are no failure of the run.
    play.ended("success").await;
    let failed = "upstream_failed";
    assert_eq!(play.states("g.make").await, ["success", "success", "failed", "success"]);
    assert_eq!(play.states("g.use").await, ["failed", "success", failed, "success"]);
    assert_eq!(play.states("g.more").await, ["skipped"; 4]);
    assert_eq!(play.states("g.drop").await, ["success", "success", failed, "success"]);
    fleet.leave(play.arrivals);
    fleet.finish().await;
}

/// By themselves, and a few at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_lets_the_instances_of_a_mapped_teardown_be_made() {
    let fleet = Fleet::start(2, 64).await;
    let text = "
dag_id: alone
max_active_tasks: 2
tasks:
  make: {operator: bash, with: {command: 'true'}, expand: {env: [{N: a}, {N: b}, {N: c}]}}
  use: {operator: noop, depends_on: [make]}
  drop:
    operator: bash
    depends_on: [use]
    with: {command: 'true'}
    expand: {env: [{N: a}, {N: b}, {N: c}]}
    teardown: {setups: [make]}
";
    let mut play = Play::start(&fleet, text).await;
    let made = play.given("make", 0).await;
    let making = play.given("make", 1).await;
    play.end(&made, Outcome::Success).await;
    let last = play.given("make", 2).await;
    fleet.engines[1].run_cancel(play.run, "cancelled").await.unwrap();
    play.end(&making, Outcome::Stopped).await;
    play.end(&last, Outcome::Stopped).await;
    for index in 0..3 {
        let dropping = play.given("drop", index).await;
        let active = fleet.held(play.run, &["queued", "running"]).await;
        assert!(active.len() <= 2, "{active:?}");
        play.end(&dropping, Outcome::Success).await;
    }
    play.ended("failed").await;
    assert_eq!(play.states("make").await, ["success", "failed", "failed"]);
    assert_eq!(play.states("use").await, ["skipped"]);
    assert_eq!(play.states("drop").await, ["success"; 3]);
    fleet.leave(play.arrivals);
    fleet.finish().await;
}
