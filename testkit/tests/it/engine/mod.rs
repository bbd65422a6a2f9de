//! The engine on real PostgreSQL: four servers at once, against the model and the checker.

mod beside;
mod eager;
mod exact;
mod fleet;
mod mapped;
mod maps;
mod past;
mod racing;
mod scenarios;
mod setups;
mod vectors;

use futures::StreamExt;
use subak_testkit::dag_gen::{Sample, Shape};

use fleet::Fleet;

/// How many random DAGs; `SUBAK_ENGINE_DAGS` asks for more.
const DAGS: u64 = 2_000;

/// Seeds beyond these that have found a fault once.
const FOUND: [u64; 4] = [6_445, 6_802, 12_394, 12_994];

/// Runs that are played at once.
const AT_ONCE: usize = 32;

/// DAGs that share a database: the checker reads a whole one at a time.
const PER_DATABASE: u64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn random_dags_on_four_servers_end_as_the_model_says() {
    let dags = std::env::var("SUBAK_ENGINE_DAGS").map_or(DAGS, |text| text.parse().unwrap());
    let first = crate::first_seed();
    for start in (first..first + dags).step_by(usize::try_from(PER_DATABASE).unwrap()) {
        let fleet = Fleet::start(4, 24).await;
        let end = (start + PER_DATABASE).min(first + dags);
        let found = FOUND.into_iter().filter(|_| start == 0);
        futures::stream::iter((start..end).chain(found))
            .for_each_concurrent(AT_ONCE, |seed| play(&fleet, seed))
            .await;
        fleet.finish().await;
        eprintln!("{} of {dags} DAGs on four servers, up to seed {}", end - first, end - 1);
    }
}

async fn play(fleet: &Fleet, seed: u64) {
    let shape = Shape { max_tasks: 100, limited: true };
    let sample = match seed % 2 {
        0 => Sample::new(seed, shape),
        _ => Sample::with_flow(seed, shape),
    }
    .in_pools();
    if seed.is_multiple_of(4) {
        let base = Shape { max_tasks: 24, limited: true };
        let sample = match seed % 8 {
            0 => Sample::new(seed, base),
            _ => Sample::with_flow(seed, base),
        };
        racing::play(fleet, &sample.in_pools().mapped(), 3).await;
    } else if seed % 4 == 1 {
        let base = Shape { max_tasks: 24, limited: false };
        let sample = match seed % 8 {
            1 => Sample::new(seed, base),
            _ => Sample::with_guards(seed, base),
        };
        mapped::play(fleet, &sample.mapped()).await;
    } else if seed % 8 == 2 {
        let base = Shape { max_tasks: 12, limited: true };
        beside::play(fleet, &Sample::with_flow(seed, base).in_pools().mapped().beside()).await;
    }
    if seed.is_multiple_of(3) {
        racing::play(fleet, &sample, 2).await;
    } else {
        exact::play(fleet, &sample).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_a_lost_worker_ends_nobody_elses_try() {
    assert_eq!(scenarios::late_report().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_that_end_at_once_on_four_servers_are_all_counted() {
    assert_eq!(scenarios::all_at_once().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_while_its_dag_is_paused_does_not_start() {
    assert_eq!(scenarios::paused().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_its_server() {
    assert_eq!(scenarios::killed_after_the_answer().await, []);
}
