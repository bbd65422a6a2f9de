//! The worker and the broker are killed with `kill -9` while a topic is drained: the table has what
//! was produced, nothing twice, nothing missing.

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use subak_core::ids::RunKey;
use subak_testkit::kafka::{Broker, NewRecord};

use super::world::{Wanted, World, records};

/// Kills; `SUBAK_KILLS` asks for more. Every fourth is of the broker.
const KILLS: usize = 4;
/// Records that are produced before each kill. One in a hundred is bad.
const WAVE: i64 = 6_000;
const BAD_EVERY: i64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_and_double_no_record() {
    let kills = std::env::var("SUBAK_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let seed = std::env::var("SUBAK_KILL_SEED").ok().map(|text| text.parse().unwrap());
    let seed = seed.unwrap_or_else(rand::random::<u32>);
    if let Err(error) = drain(kills, seed).await {
        panic!("SUBAK_KILL_SEED={seed}: {error:#}");
    }
}

async fn drain(kills: usize, seed: u32) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(seed.into());
    let mut broker = Broker::start().await?;
    let wanted = Wanted {
        about: "kills",
        partitions: 3,
        consume: "on_bad_record: dead_letter\n      max_messages: 4500",
        workers: 1,
        defaults: "retries: 5, retry_delay: 200ms",
        ..Wanted::default()
    };
    let mut world = World::new(&broker, &wanted).await?;
    let mut runs: Vec<(RunKey, String)> = Vec::new();
    for number in 0..kills {
        let from = i64::try_from(number)? * WAVE;
        broker.produce(&world.topic, mixed(from..from + WAVE)).await?;
        let begun = runs.len();
        for _ in 0..rng.random_range(1..=2) {
            runs.push(world.trigger().await?);
        }
        at_some_point(&world, runs[begun].0, &mut rng).await?;
        if number % 4 == 3 {
            broker.kill()?;
            broker.restart().await?;
        } else {
            world.stack.kill_worker(0)?;
            world.stack.start_worker(0, rng.random())?;
        }
        world.stack.joined().await?;
    }
    for (run, run_id) in runs {
        world.end_of(run, run_id).await?;
    }
    // Runs that failed have left their ranges to the next ones.
    let all = i64::try_from(kills)? * WAVE;
    let mut last = passed(&world).await?;
    while last < all {
        world.run().await?;
        let now = passed(&world).await?;
        let logs = || world.stack.logs();
        ensure!(now > last, "a run without a kill went no further than {now} of {all}\n{}", logs());
        last = now;
    }
    let judged = judge(&mut world, all).await;
    judged.with_context(|| world.stack.logs())
}

/// How many offsets the ledger is past.
async fn passed(world: &World) -> Result<i64> {
    let exists =
        world.number("SELECT count(*) FROM pg_class WHERE relname = 'subak_offsets'").await?;
    if exists == 0 {
        return Ok(0);
    }
    world.number("SELECT coalesce(sum(next_offset), 0)::bigint FROM subak_offsets").await
}

/// Waits for one of the moments at which a kill may fall.
async fn at_some_point(world: &World, run: RunKey, rng: &mut StdRng) -> Result<()> {
    let moments = [
        "SELECT EXISTS (SELECT FROM live WHERE run_key = RUN AND state = 'running')",
        "SELECT EXISTS (SELECT FROM topic_range WHERE run_key = RUN)",
        "SELECT EXISTS (SELECT FROM topic_range WHERE run_key = RUN AND read_at IS NOT NULL)",
        "SELECT EXISTS (SELECT FROM topic_range WHERE run_key = RUN AND state = 'committed')",
    ];
    let moment = moments[rng.random_range(0..moments.len())];
    let ended = "SELECT state IN ('success', 'failed') FROM run WHERE run_key = RUN";
    let metadata = world.stack.metadata();
    let is_so = async |sql: &str| {
        let rows = metadata.texts(&sql.replace("RUN", &run.0.to_string())).await?;
        anyhow::Ok(rows == ["true"])
    };
    world
        .stack
        .until("a moment to kill at", async || Ok(is_so(moment).await? || is_so(ended).await?))
        .await
}

async fn judge(world: &mut World, all: i64) -> Result<()> {
    let bad = all / BAD_EVERY;
    world.check(all - bad).await?;
    let letters = "SELECT count(DISTINCT (partition, position)) || ' ' || count(DISTINCT raw)
                   FROM dead_letter WHERE visible";
    let letters = world.stack.metadata().texts(letters).await?;
    ensure!(letters == [format!("{bad} {bad}")], "{letters:?} dead letters of {bad} bad records");
    let wrong = world
        .number("SELECT count(*) FROM record WHERE name IS DISTINCT FROM 'name ' || id")
        .await?;
    ensure!(wrong == 0, "{wrong} rows are wrong");
    let twice = world
        .number(
            "SELECT count(*) FROM (SELECT FROM record GROUP BY _partition, _offset
                                   HAVING count(*) > 1) AS twice",
        )
        .await?;
    ensure!(twice == 0, "{twice} offsets are there twice");
    ensure!(!world.ranges().await?.contains(&"abandoned".to_owned()));
    world.find_nothing().await
}

/// Records with these ids, some of them bad.
fn mixed(ids: std::ops::Range<i64>) -> impl Iterator<Item = NewRecord> + Send + 'static {
    records(ids.clone()).zip(ids).map(|(record, id)| match id % BAD_EVERY {
        7 => NewRecord { value: Some(format!("bad {id}").into()), ..record },
        _ => record,
    })
}
