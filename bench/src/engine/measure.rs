//! The measurements, one after another on one stack.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::Connection;
use subak_core::ids::RunKey;

use super::actions::acted;
use super::watched::{Crowd, REQUESTS_A_SEC, WATCHERS};
use super::{Row, Stack};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub chains: usize,
    pub sustained_runs: usize,
    pub created: usize,
    pub parked_runs: usize,
    /// What starts, settles first; a server that has just started looks for no dead workers yet.
    pub settle: Duration,
    pub idle: Duration,
    /// How long people watch, each time.
    pub watched: Duration,
}

/// Tasks of the chain.
const CHAIN: usize = 40;

/// Tasks between the first and the last of the wide DAG.
const WIDE: usize = 1_000;

/// Tasks of the large DAG, a chain among them.
const LARGE: usize = 5_000;

/// Instances of the map beside which a chain runs.
const MAP: usize = 10_000;

/// Processes that one run of the spawning DAG starts.
const SPAWNS: usize = 500;

/// Runs that the worker's slots suffice for.
const FEW: usize = 12;

const LONGEST: Duration = Duration::from_secs(300);

/// Takes one row after another, as they are measured.
pub(super) type Rows<'a> = &'a mut dyn FnMut(Row);

/// Measures every row of the table; also the latency of a commit in the same minutes.
pub async fn measure(binary: &Path, sizes: Sizes, rows: Rows<'_>) -> anyhow::Result<()> {
    let stack = Stack::start(binary, &dags()).await?;
    let commit = commit_latency(&stack).await?;
    rows(alone("one commit of PostgreSQL", commit, "ms"));
    chain(&stack, sizes, rows).await?;
    spawned(&stack, rows).await?;
    wide(&stack, rows).await?;
    large(&stack, sizes, rows).await?;
    beside(&stack, sizes, rows).await?;
    watched(&stack, sizes, rows).await?;
    let rate = sustained(&stack, sizes, rows).await?;
    acted(&stack, rows).await?;
    created(&stack, sizes, rows).await?;
    parked(&stack, sizes, rate, rows).await?;
    stack.stop().await;
    idle(binary, sizes, rows).await
}

/// Measures the hop beside people who watch alone.
pub async fn measure_watched(binary: &Path, sizes: Sizes, rows: Rows<'_>) -> anyhow::Result<()> {
    let stack = Stack::start(binary, &dags()).await?;
    let commit = commit_latency(&stack).await?;
    rows(alone("one commit of PostgreSQL", commit, "ms"));
    watched(&stack, sizes, rows).await?;
    stack.stop().await;
    Ok(())
}

fn dags() -> Vec<(String, String)> {
    let chain = |id: &str, operator: &str, with: &str, length: usize| {
        let mut text = format!("dag_id: {id}\nmax_active_runs: 1000000\ntasks:\n");
        for n in 0..length {
            let after = if n > 0 { format!(", depends_on: [t{}]", n - 1) } else { String::new() };
            text += &format!("  t{n}: {{operator: {operator}{with}{after}}}\n");
        }
        (id.to_owned(), text)
    };
    let wide = |id: &str, operator: &str, with: &str, width: usize| {
        let mut text =
            format!("dag_id: {id}\nmax_active_tasks: 1000000\ntasks:\n  a: {{operator: noop}}\n");
        for n in 0..width {
            text += &format!("  m{n}: {{operator: {operator}{with}, depends_on: [a]}}\n");
        }
        let all: Vec<String> = (0..width).map(|n| format!("m{n}")).collect();
        text += &format!("  z: {{operator: noop, depends_on: [{}]}}\n", all.join(", "));
        (id.to_owned(), text)
    };
    let command = ", with: {command: \"true\"}";
    vec![
        chain("chain", "noop", "", CHAIN),
        chain("spawned", "bash", command, CHAIN),
        wide("wide", "noop", "", WIDE),
        wide("spawns", "bash", command, SPAWNS),
        // Nobody serves its queue: its runs stay active.
        chain("parked", "noop", ", queue: nobody", CHAIN),
        large_of(&chain("large", "noop", "", CHAIN).1),
        map(
            "parked_map",
            "max_active_tasks: 1000000",
            "bash, queue: nobody, with: {command: sleep 1}",
        ),
        map("map", "max_active_tasks: 16", "bash, with: {command: sleep 1}"),
    ]
}

/// The chain, and below it so many tasks that it is a large DAG.
fn large_of(chain: &str) -> (String, String) {
    let mut text = chain.to_owned();
    for n in CHAIN..LARGE {
        text += &format!("  e{n}: {{operator: empty, depends_on: [t{}]}}\n", CHAIN - 1);
    }
    ("large".to_owned(), text)
}

fn map(id: &str, limit: &str, operator: &str) -> (String, String) {
    let items: Vec<String> = (0..MAP).map(|n| format!("{{N: \"{n}\"}}")).collect();
    let items = items.join(", ");
    let tasks = format!("{{each: {{operator: {operator}, expand: {{env: [{items}]}}}}}}");
    (id.to_owned(), format!("dag_id: {id}\n{limit}\ntasks: {tasks}\n"))
}

/// One row inserted and committed, median.
async fn commit_latency(stack: &Stack) -> anyhow::Result<f64> {
    let mut connection = stack.pool().acquire().await?;
    sqlx::query("CREATE TABLE commit_latency (n int)").execute(&mut *connection).await?;
    let mut took = Vec::new();
    for _ in 0..200 {
        let mut tx = connection.begin().await?;
        sqlx::query("INSERT INTO commit_latency VALUES (1)").execute(&mut *tx).await?;
        let began = Instant::now();
        tx.commit().await?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(quantile(&mut took, 0.5))
}

/// Milliseconds from one hand-over to the next in these runs.
async fn cycles(stack: &Stack, runs: &[RunKey]) -> anyhow::Result<Vec<f64>> {
    let keys: Vec<i64> = runs.iter().map(|run| run.0).collect();
    let rows: Vec<(f64,)> = sqlx::query_as(
        "SELECT 1e3 * extract(epoch FROM started_at - before)::float8 FROM (
             SELECT started_at, lag(started_at) OVER (PARTITION BY run_key ORDER BY token) AS before
             FROM try_history WHERE run_key = ANY ($1) AND started_at IS NOT NULL
         ) AS cycles WHERE before IS NOT NULL",
    )
    .bind(keys)
    .fetch_all(stack.pool())
    .await?;
    Ok(rows.into_iter().map(|(ms,)| ms).collect())
}

/// Milliseconds from start to end of each run.
async fn lasted(stack: &Stack, runs: &[RunKey]) -> anyhow::Result<Vec<f64>> {
    let keys: Vec<i64> = runs.iter().map(|run| run.0).collect();
    let rows: Vec<(f64,)> = sqlx::query_as(
        "SELECT 1e3 * extract(epoch FROM ended_at - started_at)::float8
         FROM run WHERE run_key = ANY ($1) AND state = 'success'",
    )
    .bind(keys)
    .fetch_all(stack.pool())
    .await?;
    anyhow::ensure!(rows.len() == runs.len(), "a run did not succeed");
    Ok(rows.into_iter().map(|(ms,)| ms).collect())
}

async fn one_by_one(stack: &Stack, dag: &str, count: usize) -> anyhow::Result<Vec<RunKey>> {
    let mut runs = Vec::new();
    for n in 0..count + 2 {
        let run = stack.trigger(dag).await?;
        stack.drained(LONGEST).await?;
        // The first ones warm up.
        if n >= 2 {
            runs.push(run);
        }
    }
    Ok(runs)
}

async fn chain(stack: &Stack, sizes: Sizes, rows: Rows<'_>) -> anyhow::Result<()> {
    let runs = one_by_one(stack, "chain", sizes.chains).await?;
    let mut hops = cycles(stack, &runs).await?;
    rows(less("hop of a no-op task, p50", quantile(&mut hops, 0.5), "ms", 3.0, 1.5));
    rows(less("hop of a no-op task, p99", quantile(&mut hops, 0.99), "ms", 15.0, 5.0));
    let mut ends = lasted(stack, &runs).await?;
    rows(less("chain of 40 no-op tasks", quantile(&mut ends, 0.5), "ms", 120.0, 60.0));
    Ok(())
}

async fn spawned(stack: &Stack, rows: Rows<'_>) -> anyhow::Result<()> {
    let runs = one_by_one(stack, "spawned", 5).await?;
    let mut hops = cycles(stack, &runs).await?;
    rows(less(
        "hop with a process, its run included, p50",
        quantile(&mut hops, 0.5),
        "ms",
        10.0,
        5.0,
    ));
    let runs = one_by_one(stack, "spawns", 3).await?;
    let mut ends = lasted(stack, &runs).await?;
    let rate = SPAWNS as f64 / quantile(&mut ends, 0.5) * 1e3;
    rows(more("processes spawned", rate, "/s", 500.0, 1_000.0));
    Ok(())
}

async fn wide(stack: &Stack, rows: Rows<'_>) -> anyhow::Result<()> {
    let runs = one_by_one(stack, "wide", 5).await?;
    let mut ends = lasted(stack, &runs).await?;
    rows(less("1 → 1000 → 1 no-op tasks", quantile(&mut ends, 0.5), "ms", 250.0, 100.0));
    Ok(())
}

/// The hop of a chain in a large DAG, against that of the chain alone: one run of each at a time.
async fn large(stack: &Stack, sizes: Sizes, rows: Rows<'_>) -> anyhow::Result<()> {
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for _ in 0..sizes.chains.div_ceil(2) {
        small.extend(run_alone(stack, "chain").await?);
        large.extend(run_alone(stack, "large").await?);
    }
    let ratio = quantile(&mut large, 0.5) / quantile(&mut small, 0.5);
    rows(less("hop in a DAG of 5,000 tasks, of a small DAG's", ratio, "×", 1.2, 1.1));
    Ok(())
}

/// The same beside a map of which 16 instances run at any time, and one that all waits for a worker.
async fn beside(stack: &Stack, sizes: Sizes, rows: Rows<'_>) -> anyhow::Result<()> {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..sizes.chains.div_ceil(10) {
        for _ in 0..5 {
            alone.extend(run_alone(stack, "chain").await?);
        }
        let maps = [stack.trigger("parked_map").await?, stack.trigger("map").await?];
        stack.made(maps[0], MAP).await?;
        for _ in 0..5 {
            beside.extend(run_alone(stack, "chain").await?);
        }
        for map in maps {
            stack.cancel(map).await?;
            stack.ended(map, LONGEST).await?;
        }
    }
    let ratio = quantile(&mut beside, 0.5) / quantile(&mut alone, 0.5);
    rows(less("hop beside a map of 10,000, of a small DAG's", ratio, "×", 1.2, 1.1));
    Ok(())
}

/// The same while people watch live pages, one of a run in which something happens all the time, and
/// programs ask the API; in turns with nobody looking.
async fn watched(stack: &Stack, sizes: Sizes, rows: Rows<'_>) -> anyhow::Result<()> {
    let map = stack.trigger("map").await?;
    let run_id = stack.run_id(map).await?;
    let (mut unwatched, mut watched) = (Vec::new(), Vec::new());
    let (mut pieces, mut answers, mut slowest) = (0, 0, 0.0_f64);
    let (mut rss, began) = (0, Instant::now());
    let mut watched_secs = 0.0;
    for _ in 0..sizes.chains.div_ceil(10) {
        for _ in 0..5 {
            unwatched.extend(run_alone(stack, "chain").await?);
        }
        let crowd = Crowd::gather(stack, &run_id).await?;
        let gathered = Instant::now();
        while gathered.elapsed() < sizes.watched {
            watched.extend(run_alone(stack, "chain").await?);
            rss = rss.max(stack.usage_of_server()?.rss_bytes);
        }
        watched_secs += gathered.elapsed().as_secs_f64();
        let left = crowd.leave().await?;
        pieces += left.0;
        answers += left.1;
        slowest = slowest.max(left.2);
        anyhow::ensure!(began.elapsed() < LONGEST, "it takes too long");
    }
    stack.cancel(map).await?;
    stack.ended(map, LONGEST).await?;
    anyhow::ensure!(pieces >= WATCHERS as u64, "the pages have shown nothing");
    let (alone_ms, beside_ms) = (quantile(&mut unwatched, 0.5), quantile(&mut watched, 0.5));
    rows(alone("hop in the same minutes, nobody watching", alone_ms, "ms"));
    rows(less(
        "hop beside 200 watchers and 100 requests/s, of the hop alone",
        beside_ms / alone_ms,
        "×",
        1.3,
        1.1,
    ));
    let asked = REQUESTS_A_SEC as f64 * watched_secs;
    rows(more(
        "requests answered, of those asked",
        answers as f64 / asked * 100.0,
        "%",
        95.0,
        99.0,
    ));
    rows(alone("slowest answer beside them", slowest, "ms"));
    rows(alone("pieces of pages sent", pieces as f64 / watched_secs, "/s"));
    rows(less("RSS of the server beside them", rss as f64 / 1e6, "MB", 300.0, 150.0));
    Ok(())
}

/// The cycles of one run.
async fn run_alone(stack: &Stack, dag: &str) -> anyhow::Result<Vec<f64>> {
    let run = stack.trigger(dag).await?;
    stack.ended(run, LONGEST).await?;
    cycles(stack, &[run]).await
}

async fn sustained(stack: &Stack, sizes: Sizes, rows: Rows<'_>) -> anyhow::Result<f64> {
    // As many runs as slots: every task is handed over in the transaction that readies it.
    let mut wals = Vec::new();
    for _ in 0..sizes.sustained_runs.div_ceil(FEW) {
        wals.push(rate(stack, FEW).await?.1);
    }
    rows(less("WAL of a task handed over at once", quantile(&mut wals, 0.5), "B", 800.0, 550.0));
    let (rate, wal) = rate(stack, sizes.sustained_runs).await?;
    rows(more("no-op tasks, sustained", rate, "/s", 8_000.0, 20_000.0));
    rows(alone("WAL of a task that waited for a slot", wal, "B"));
    Ok(rate)
}

/// Tasks a second, and bytes of WAL a task, of many chains at once, from the first hand-over to the
/// last end.
async fn rate(stack: &Stack, count: usize) -> anyhow::Result<(f64, f64)> {
    const POSITION: &str = "SELECT (pg_current_wal_lsn() - '0/0')::float8";
    let (before,): (f64,) = sqlx::query_as(POSITION).fetch_one(stack.pool()).await?;
    let runs = stack.trigger_many("chain", count).await?;
    stack.drained(LONGEST).await?;
    let (after,): (f64,) = sqlx::query_as(POSITION).fetch_one(stack.pool()).await?;
    let keys: Vec<i64> = runs.iter().map(|run| run.0).collect();
    let (secs,): (f64,) = sqlx::query_as(
        "SELECT extract(epoch FROM max(ended_at) - min(started_at))::float8
         FROM try_history WHERE run_key = ANY ($1)",
    )
    .bind(keys)
    .fetch_one(stack.pool())
    .await?;
    let tasks = (count * CHAIN) as f64;
    Ok((tasks / secs, (after - before) / tasks))
}

async fn created(stack: &Stack, sizes: Sizes, rows: Rows<'_>) -> anyhow::Result<()> {
    let began = Instant::now();
    let singles = sizes.created / 10;
    for _ in 0..singles {
        stack.trigger("parked").await?;
    }
    let rate = singles as f64 / began.elapsed().as_secs_f64();
    rows(more("runs created, single calls", rate, "/s", 500.0, 1_000.0));
    let began = Instant::now();
    stack.trigger_many("parked", sizes.created).await?;
    let rate = sizes.created as f64 / began.elapsed().as_secs_f64();
    rows(more("runs created, batched", rate, "/s", 10_000.0, 30_000.0));
    Ok(())
}

async fn parked(stack: &Stack, sizes: Sizes, empty: f64, rows: Rows<'_>) -> anyhow::Result<()> {
    let mut made = sizes.created + sizes.created / 10;
    while made < sizes.parked_runs {
        let count = 10_000.min(sizes.parked_runs - made);
        stack.trigger_many("parked", count).await?;
        made += count;
    }
    let (full, _) = rate(stack, sizes.sustained_runs).await?;
    let share = full / empty * 100.0;
    rows(more("rate with 100,000 active runs, of the empty table's", share, "%", 70.0, 90.0));
    Ok(())
}

async fn idle(binary: &Path, sizes: Sizes, rows: Rows<'_>) -> anyhow::Result<()> {
    const QUERIES: &str = "SELECT (xact_commit + xact_rollback)::float8 FROM pg_stat_database
         WHERE datname = current_database()";
    let mut stack = Stack::start(binary, &dags()[..1]).await?;
    stack.leave().await;
    let mut connection = stack.pool().acquire().await?;
    // What PostgreSQL does by itself counts as transactions too.
    sqlx::raw_sql("ALTER SYSTEM SET autovacuum = off").execute(&mut *connection).await?;
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut *connection).await?;
    tokio::time::sleep(sizes.settle).await;
    let (before,): (f64,) = sqlx::query_as(QUERIES).fetch_one(&mut *connection).await?;
    let (used, began) = (stack.usage()?, Instant::now());
    tokio::time::sleep(sizes.idle).await;
    let now = stack.usage()?;
    let secs = began.elapsed().as_secs_f64();
    sqlx::query("SELECT pg_stat_force_next_flush()").execute(&mut *connection).await?;
    let (after,): (f64,) = sqlx::query_as(QUERIES).fetch_one(&mut *connection).await?;
    drop(connection);
    let queries = (after - before) / secs;
    rows(less("idle: queries of the server", queries, "/s", 5.0, 1.0));
    let share = (now.cpu_secs - used.cpu_secs) / secs * 100.0;
    rows(less("idle: CPU of a core, server and worker", share, "%", 1.0, 0.3));
    let megabytes = now.rss_bytes as f64 / 1e6;
    rows(less("idle: RSS of server and worker", megabytes, "MB", 100.0, 60.0));
    stack.stop().await;
    Ok(())
}

pub(super) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1) as f64;
    values.get((last * share).round() as usize).copied().unwrap_or(f64::NAN)
}

/// A figure for comparison.
fn alone(what: &'static str, measured: f64, unit: &'static str) -> Row {
    less(what, measured, unit, f64::INFINITY, f64::INFINITY)
}

pub(super) fn less(
    what: &'static str,
    measured: f64,
    unit: &'static str,
    must: f64,
    aim: f64,
) -> Row {
    Row { what, measured, unit, must, aim, more: false }
}

fn more(what: &'static str, measured: f64, unit: &'static str, must: f64, aim: f64) -> Row {
    Row { what, measured, unit, must, aim, more: true }
}
