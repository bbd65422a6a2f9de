//! What becomes of runs that are due while others are active, or while the DAG is paused, and the
//! schedules that are no cron expression.

use super::world::{Run, Server, World, at};
use subak_core::ids::RunKey;

const MORNING: &str = "2095-06-01T00:00:00Z";

/// A DAG of one task that nobody takes, so its runs go on until they are cancelled.
fn endless(dag_id: &str, lines: &str) -> String {
    let task = "tasks: {wait: {operator: noop}}";
    format!("dag_id: {dag_id}\nstart_date: 2095-06-01\nmax_active_runs: 1\n{lines}\n{task}\n")
}

/// A DAG whose runs end as soon as they start.
fn quick(dag_id: &str, lines: &str) -> String {
    format!("dag_id: {dag_id}\n{lines}\ntasks: {{done: {{operator: empty}}}}\n")
}

fn hour(hour: u32) -> chrono::DateTime<chrono::Utc> {
    at(&format!("2095-06-01T{hour:02}:10:00Z"))
}

async fn cancel_all(world: &World, server: &Server, dag_id: &str) {
    let dag = world.database.store.dag_head(&dag_id.into()).await.unwrap().unwrap().dag;
    let runs: Vec<RunKey> = world.database.store.runs_unfinished(dag, 100).await.unwrap();
    for run in runs {
        server.engine.run_cancel(run, "cancelled").await.unwrap();
    }
}

fn states(runs: &[Run]) -> Vec<&str> {
    runs.iter().map(|run| run.state.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_catchup_every_missed_run_waits_its_turn() {
    let mut world = World::new().await;
    let server = world.server().await;
    world.save(&endless("q", "schedule: '@hourly'\ncatchup: true"), at(MORNING)).await;
    world.look_until(&server, hour(3), "q", 1).await;
    server.engine.schedules_look(hour(3)).await.unwrap();
    assert_eq!(world.dates("q").await, ["06-01 00:00"]);
    for (count, last) in [(2, "06-01 01:00"), (3, "06-01 02:00"), (4, "06-01 03:00")] {
        cancel_all(&world, &server, "q").await;
        world.look_until(&server, hour(3), "q", count).await;
        assert_eq!(world.dates("q").await.last().unwrap(), last);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_catchup_only_the_most_recent_missed_run_is_made() {
    let mut world = World::new().await;
    let server = world.server().await;
    world.save(&endless("q", "schedule: '@hourly'"), at(MORNING)).await;
    world.look_until(&server, hour(0), "q", 1).await;
    for missed in 1..=5 {
        server.engine.schedules_look(hour(missed)).await.unwrap();
    }
    assert_eq!(world.dates("q").await, ["06-01 00:00"]);
    cancel_all(&world, &server, "q").await;
    world.look_until(&server, hour(5), "q", 2).await;
    assert_eq!(world.dates("q").await, ["06-01 00:00", "06-01 05:00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_leaves_a_run_out_and_cancel_running_ends_the_oldest() {
    let mut world = World::new().await;
    let server = world.server().await;
    let lines = "schedule: '@hourly'\non_overlap: ";
    world.save(&endless("skip", &format!("{lines}skip")), at(MORNING)).await;
    world.save(&endless("cancel", &format!("{lines}cancel_running")), at(MORNING)).await;
    for due in 0..3 {
        server.engine.schedules_look(hour(due)).await.unwrap();
    }
    assert_eq!(world.dates("skip").await, ["06-01 00:00"]);
    let runs = world.runs("cancel").await;
    assert_eq!(states(&runs), ["failed", "failed", "running"]);
    cancel_all(&world, &server, "skip").await;
    server.engine.schedules_look(hour(2)).await.unwrap();
    server.engine.schedules_look(hour(3)).await.unwrap();
    assert_eq!(world.dates("skip").await, ["06-01 00:00", "06-01 03:00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_dag_makes_up_for_what_it_missed_only_with_catchup() {
    let mut world = World::new().await;
    let server = world.server().await;
    let lines = "schedule: '@hourly'\nstart_date: 2095-06-01";
    world.save(&quick("all", &format!("{lines}\ncatchup: true")), at(MORNING)).await;
    world.save(&quick("last", lines), at(MORNING)).await;
    for dag in ["all", "last"] {
        world.pause(dag, true).await;
    }
    server.engine.schedules_look(hour(4)).await.unwrap();
    for dag in ["all", "last"] {
        assert_eq!(world.dates(dag).await, [""; 0]);
        world.pause(dag, false).await;
    }
    server.engine.schedules_look(hour(4)).await.unwrap();
    assert_eq!(world.dates("all").await.len(), 5);
    assert_eq!(world.dates("last").await, ["06-01 04:00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_continuous_dag_starts_again_when_its_run_has_ended() {
    let mut world = World::new().await;
    let server = world.server().await;
    let dag = "dag_id: c\nstart_date: 2095-06-01\nend_date: 2095-06-01 03:00\n\
               schedule: '@continuous'\ntasks: {wait: {operator: noop}}\n";
    world.save(dag, at(MORNING)).await;
    world.look_until(&server, hour(1), "c", 1).await;
    server.engine.schedules_look(hour(2)).await.unwrap();
    assert_eq!(world.dates("c").await.len(), 1, "two at once");
    cancel_all(&world, &server, "c").await;
    world.look_until(&server, hour(2), "c", 2).await;
    let runs = world.runs("c").await;
    assert_eq!(runs[0].data_interval_start, at(MORNING));
    assert_eq!(runs[0].data_interval_end, hour(1));
    assert_eq!((runs[1].data_interval_start, runs[1].data_interval_end), (hour(1), hour(2)));
    assert_eq!(runs[1].run_id, "scheduled__2095-06-01T02:10:00+00:00");
    cancel_all(&world, &server, "c").await;
    server.engine.schedules_look(hour(4)).await.unwrap();
    assert_eq!(world.dates("c").await.len(), 2, "after its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_schedules_make_their_runs_once() {
    let mut world = World::new().await;
    let server = world.server().await;
    let start = "start_date: 2095-06-01\ncatchup: true";
    for (name, schedule) in [
        ("once", "'@once'"),
        ("every", "{every: 90m}"),
        ("dates", "{dates: [2095-06-01 02:00, 2095-06-01 01:00, 2095-06-02]}"),
        ("crons", "{cron: ['0 1 * * *', '0 2 * * *', '0 1,3 * * *']}"),
        ("previous", "{cron: '@hourly', data_interval: previous}"),
    ] {
        world.save(&quick(name, &format!("schedule: {schedule}\n{start}")), at(MORNING)).await;
    }
    for due in [0, 2, 2, 4] {
        server.engine.schedules_look(hour(due)).await.unwrap();
    }
    assert_eq!(world.dates("once").await, ["06-01 00:00"]);
    assert_eq!(world.dates("every").await, ["06-01 00:00", "06-01 01:30", "06-01 03:00"]);
    assert_eq!(world.dates("dates").await, ["06-01 01:00", "06-01 02:00"]);
    assert_eq!(world.dates("crons").await, ["06-01 01:00", "06-01 02:00", "06-01 03:00"]);
    let previous = world.runs("previous").await;
    assert_eq!(previous.len(), 4);
    assert_eq!(previous[0].logical_date, at(MORNING));
    assert_eq!(previous[0].data_interval_end, at("2095-06-01T01:00:00Z"));
    assert_eq!(previous[0].run_id, "scheduled__2095-06-01T01:00:00+00:00");
}
