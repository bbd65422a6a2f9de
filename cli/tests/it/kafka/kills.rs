//! Everything is killed with `kill -9` while a topic is drained, and all else that can go wrong does: the
//! tables have what was produced, nothing twice, nothing missing.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use subak_core::ids::RunKey;
use subak_testkit::kafka::{Broker, NewRecord};

use super::world::{DAG, Wanted, World, records};

/// Kills, and records that are produced before each: 102,000 in all. `SUBAK_KILLS` asks for more kills.
const KILLS: usize = 12;
const WAVE: i64 = 8_500;
/// One record in so many is no record of its format, one breaks a rule, and one is a tombstone.
const BAD_EVERY: i64 = 100;

/// What is killed, one after the other.
const VICTIMS: [Victim; 4] = [Victim::Worker, Victim::Server, Victim::Postgres, Victim::Broker];

#[derive(Debug, Clone, Copy)]
enum Victim {
    Worker,
    Server,
    Postgres,
    Broker,
}

/// Below the task that reads: a rule, a task that fails now and then, a second topic, two loads of one
/// range into one database, and a branch that leads around one of them.
const TASKS: &str = r#"  check:
    operator: validate
    with: {input: '{{ tasks.read.output }}', rules: [{column: id, sql: 'id % 100 <> 50', reason: fifty}]}
  fragile:
    operator: bash
    depends_on: [read]
    retries: 0
    with: {command: 'exit $((RANDOM % 4 == 0))'}
  copy:
    operator: kafka.produce
    depends_on: [fragile]
    with: {connection: broker, input: '{{ tasks.check.output }}', topic: COPY, key: id}
  load:
    operator: postgres.load
    depends_on: [fragile]
    with:
      connection: warehouse
      input: '{{ tasks.check.output }}'
      table: record
      columns: {id: id, name: name, _partition: _partition, _offset: _offset}
  way:
    operator: branch
    depends_on: [load]
    with: {choose: "{{ 'around' if params.around else 'again' }}"}
  around: {operator: noop, depends_on: [way]}
  again:
    operator: postgres.load
    depends_on: [way]
    with:
      connection: warehouse
      input: '{{ tasks.check.output }}'
      table: record_again
      columns: {id: id, name: name, _partition: _partition, _offset: _offset}
"#;

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
    let consume = "on_bad_record: dead_letter\n      max_messages: 6000";
    let defaults = "retries: 5, retry_delay: 200ms";
    let wanted = Wanted { about: "kills", partitions: 3, consume, defaults, ..Wanted::default() };
    let mut world = World::new(&broker, &wanted).await?;
    world.warehouse.run("CREATE TABLE record_again (LIKE record)").await?;
    let copy = broker.topic("copy", 2, &[]).await?;
    let dag = world.dag(consume, defaults, &TASKS.replace("COPY", &copy));
    let dag = dag.replacen("tasks:", "params: {around: false}\ntasks:", 1);
    world.stack.replace_dag(DAG, &dag).await?;
    let mut runs: Vec<(RunKey, String)> = Vec::new();
    for number in 0..kills {
        let from = i64::try_from(number)? * WAVE;
        broker.produce(&world.topic, mixed(from..from + WAVE)).await?;
        let begun = runs.len();
        for _ in 0..rng.random_range(1..=2) {
            // One in three goes around the second load: its range stays open for that one.
            let conf = format!("{{\"around\": {}}}", rng.random_range(0..3) == 0);
            runs.push(world.trigger_with(&conf).await?);
        }
        at_some_point(&world, runs[begun].0, &mut rng).await?;
        kill(&mut world, &mut broker, VICTIMS[number % 4], &mut rng).await?;
        if number == kills / 3 {
            // A rule that says something else: ranges that both loads have to finish are from before.
            world.stack.replace_dag(DAG, &dag.replace("reason: fifty", "reason: half")).await?;
        }
        if number == kills / 2 {
            broker.partitions_add(&world.topic, 5).await?;
        }
        // An earlier one once more, wherever it is.
        let (_, run_id) = &runs[rng.random_range(0..runs.len())];
        let _ = world.stack.subak(&["runs", "clear", DAG, run_id]).await?;
    }
    for (run, run_id) in runs {
        world.end_of(run, run_id).await?;
    }
    // Runs that failed, or went around, have left their ranges to the next ones.
    let all = i64::try_from(kills)? * WAVE;
    for _ in 0..60 + 2 * kills {
        let open = "SELECT id::text FROM topic_range WHERE state = 'open'";
        let open = world.stack.metadata().texts(open).await?;
        if passed(&world).await? == 2 * all && open.is_empty() {
            break;
        }
        // Those that the first version has begun may be finished by the second.
        for id in open {
            world.stack.subak(&["ranges", "release", &id]).await?;
        }
        world.run().await?;
    }
    let judged = judge(&mut world, all, &broker.records(&copy).await?).await;
    let (logs, found) = (world.stack.logs(), found(&world).await?);
    judged.with_context(|| format!("{logs}\n{found}"))
}

/// What is there, for whoever looks for the cause.
async fn found(world: &World) -> Result<String> {
    let rows = "SELECT 'partition ' || _partition || ': ' || count(*) || ' rows, offsets '
                       || min(_offset) || ' to ' || max(_offset) FROM record GROUP BY _partition ORDER BY _partition";
    let again = rows.replace("FROM record", "FROM record_again");
    let loads = "SELECT to_jsonb(l)::text FROM subak_loads l";
    let ranges = "SELECT concat_ws(' ', sequence, state, run_key, records, rejected, committed, partitions) FROM topic_range ORDER BY sequence";
    let tries = "SELECT concat_ws(' ', r.run_id, t.task_id, h.try_number, h.state, h.started_at, h.ended_at, left(h.error, 200))
                 FROM try_history h JOIN run r USING (run_key) JOIN dag_task t ON (t.dag, t.task) = (r.dag, h.task)
                 ORDER BY h.token";
    let warehouse = &world.warehouse;
    let metadata = world.stack.metadata();
    let mut found = warehouse.texts(rows).await?;
    found.extend(warehouse.texts(&again).await?);
    found.extend(warehouse.texts(loads).await?);
    found.extend(metadata.texts(ranges).await?);
    found.extend(metadata.texts(tries).await?);
    Ok(found.join("\n"))
}

async fn kill(
    world: &mut World,
    broker: &mut Broker,
    victim: Victim,
    rng: &mut StdRng,
) -> Result<()> {
    match victim {
        Victim::Worker => {
            world.stack.kill_worker(0)?;
            world.stack.start_worker(0, rng.random())?;
        }
        Victim::Server => {
            world.stack.kill_server(0)?;
            world.stack.start_server(0)?;
        }
        Victim::Postgres => world.stack.crash_postgres().await?,
        Victim::Broker => {
            broker.kill()?;
            broker.restart().await?;
        }
    }
    world.stack.joined().await
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
    let reached = world
        .stack
        .until("a moment to kill at", async || Ok(is_so(moment).await? || is_so(ended).await?))
        .await;
    match reached {
        Ok(()) => Ok(()),
        Err(error) => {
            Err(error.context(format!("{}\n{}", world.stack.logs(), found(world).await?)))
        }
    }
}

/// `copies`: keys and values of the second topic.
async fn judge(world: &mut World, all: i64, copies: &[(String, String)]) -> Result<()> {
    // Of each hundred, one is no JSON, one breaks the rule, and one is a tombstone.
    let (bad, filtered) = (2 * all / BAD_EVERY, all / BAD_EVERY);
    let loaded = all - bad - filtered;
    let passed = passed(world).await?;
    ensure!(passed == 2 * all, "the ledgers are at {passed}, not at {}", 2 * all);
    world.check(loaded).await?;
    let differ =
        "SELECT count(*) FROM (SELECT * FROM record EXCEPT SELECT * FROM record_again) AS more";
    let again = world.number("SELECT count(*) FROM record_again").await?;
    ensure!(
        (again, world.number(differ).await?) == (loaded, 0),
        "{again} rows in the second table"
    );
    let keys: BTreeSet<&str> = copies.iter().map(|(key, _)| key.as_str()).collect();
    let (wanted, copied) = (usize::try_from(loaded)?, (copies.len(), keys.len()));
    ensure!(copied == (wanted, wanted), "{copied:?} records and keys in the second topic");
    // Each once: what was rejected again has replaced what was rejected before.
    let letters = "SELECT concat_ws(' ', count(*), count(DISTINCT (partition, position)), count(DISTINCT raw))
                   FROM dead_letter WHERE visible AND state = 'open'";
    let letters = world.stack.metadata().texts(letters).await?;
    ensure!(
        letters == [format!("{bad} {bad} {bad}")],
        "{letters:?} dead letters of {bad} bad records"
    );
    let reasons = "SELECT DISTINCT reasons::text FROM dead_letter
                   WHERE visible AND reasons::text IN ('[\"fifty\"]', '[\"half\"]')";
    let reasons = world.stack.metadata().texts(reasons).await?;
    ensure!(reasons.len() == 2, "both versions of the rule have rejected records: {reasons:?}");
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
    // Read is loaded, rejected or filtered, nothing else, and every range is through.
    let ranges = world.ranges().await?;
    ensure!(ranges.iter().all(|state| state == "committed"), "{ranges:?}");
    let read = "SELECT sum(records)::bigint FROM topic_range";
    let read = world.stack.metadata().number(read).await?;
    ensure!(read == all, "{read} records were read, of {all}");
    let ended = world.run().await?;
    ensure!(ended.tasks.contains(&"read skipped".to_owned()), "{ended:#?}");
    Ok(())
}

/// Records with these ids, some of them bad.
fn mixed(ids: std::ops::Range<i64>) -> impl Iterator<Item = NewRecord> + Send + 'static {
    records(ids.clone()).zip(ids).map(|(record, id)| match id % BAD_EVERY {
        33 => NewRecord { key: Some(format!("gone {id}").into()), value: None, ..record },
        7 => NewRecord { value: Some(format!("bad {id}").into()), ..record },
        _ => record,
    })
}
