//! What is killed with `kill -9` in the middle of a run costs time and nothing else.
//!
//! Real processes: PostgreSQL, two servers, two workers, a lease of two seconds where something is killed. Where a kill falls
//! is drawn from a seed, which a failure shows and `SUBAK_KILL_SEED` sets again.

mod load;

use std::fmt;

use anyhow::{Context, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use subak_core::ids::RunKey;
use subak_testkit::checker::{self, Moment, Violation};
use subak_testkit::peek;
use subak_testkit::stack::{Remains, Stack, StackOptions};
use tokio::sync::Mutex;

/// How many kills of each kind; `SUBAK_KILLS` asks for more.
const KILLS: usize = 3;

/// Seconds; what was killed is missed after so many.
const SHORT_LEASE: u64 = 2;

/// How many tasks run at the instant of a kill, at least, on average.
const FEWEST_RUNNING: i64 = 50;

/// Two stacks at once would only keep each other waiting.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// What is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Worker,
    Server,
    Postgres,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_server_or_postgresql_loses_nothing() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let mut stack = start(SHORT_LEASE).await.unwrap();
    for victim in [Victim::Worker, Victim::Server, Victim::Postgres] {
        kill_again_and_again(&mut stack, victim).await;
    }
}

/// A server that is asked to end, as an upgrade does: the other one goes on with every try.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_loses_no_running_try() {
    let _alone = ONE_AT_A_TIME.lock().await;
    // As shipped: what is asked to end hands over at once, and no lease has to end for it.
    let mut stack = start(60).await.unwrap();
    let ended = end_each_server(&mut stack).await;
    ended.unwrap_or_else(|error| panic!("{error:#}\n{}", stack.logs()));
}

async fn end_each_server(stack: &mut Stack) -> anyhow::Result<()> {
    // First one, then the other, whose place the first has taken by then.
    for place in 0..2 {
        stack.joined().await?;
        let noted_before = stack.notes.length()?;
        let run = stack.trigger(load::LOAD, &format!("ended-{place}")).await?;
        let begun = stack.until("tries to note their starts", async || {
            Ok(stack.notes.lines_since(noted_before)? >= load::WIDE / 2)
        });
        begun.await?;
        ensure!(peek::running(&stack.store, run).await? > 0, "nothing runs");
        let mut server = stack.end_server(place)?;
        let mut status = None;
        let gone = stack.until("the server to end", async || {
            status = server.ended()?;
            Ok(status.is_some())
        });
        gone.await?;
        ensure!(status.is_some_and(|status| status.success()), "it ended with {status:?}");
        judge(stack, run).await?;
        let lost = peek::lost(&stack.store, run).await?;
        ensure!(lost == 0, "{lost} tries were lost with a server");
        stack.start_server(place)?;
    }
    Ok(())
}

async fn kill_again_and_again(stack: &mut Stack, victim: Victim) {
    let kills = std::env::var("SUBAK_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let seed = std::env::var("SUBAK_KILL_SEED").ok().map(|text| text.parse().unwrap());
    let seed = seed.unwrap_or_else(rand::random::<u32>);
    let mut rng = StdRng::seed_from_u64(seed.into());
    let (mut running, mut lost) = (0, 0);
    for number in 0..kills {
        match round(stack, victim, number, &mut rng).await {
            Ok(hit) => {
                running += hit.running;
                lost += hit.lost;
                let number = number + 1;
                eprintln!("{number} of {kills} kills of a {victim}, SUBAK_KILL_SEED={seed}");
            }
            Err(error) => {
                let logs = stack.logs();
                panic!("kill {number} of a {victim}, SUBAK_KILL_SEED={seed}: {error:#}\n{logs}");
            }
        }
    }
    eprintln!("{kills} kills of a {victim}: {running} tasks ran then, {lost} tries were lost");
    assert!(running >= FEWEST_RUNNING * i64::try_from(kills).unwrap(), "only {running} ran");
    assert!(lost > 0 || !matches!(victim, Victim::Worker), "killed workers had nothing to lose");
}

/// What one kill met.
struct Hit {
    /// Tasks that ran at that instant.
    running: i64,
    /// Tries that ended with their worker.
    lost: i64,
}

async fn start(lease_secs: u64) -> anyhow::Result<Stack> {
    let stack = Stack::start(StackOptions {
        binary: env!("CARGO_BIN_EXE_subak").into(),
        servers: 2,
        workers: 2,
        slots: Some(110),
        lease_secs,
        env: Vec::new(),
    })
    .await?;
    stack.add_dag(load::LOAD, &load::dag(&stack.notes)).await.with_context(|| stack.logs())?;
    Ok(stack)
}

/// Starts a run, kills in the middle of it, and holds its end against what is right.
async fn round(
    stack: &mut Stack,
    victim: Victim,
    number: usize,
    rng: &mut StdRng,
) -> anyhow::Result<Hit> {
    stack.joined().await?;
    let noted_before = stack.notes.length()?;
    let run = stack.trigger(load::LOAD, &format!("{victim}-{number}")).await?;
    // While the wide layer starts, or while it ends; many of it run.
    let lines = rng.random_range(load::WIDE / 4..load::WIDE * 3 / 2);
    stack
        .until("tries to note their starts and ends", async || {
            Ok(stack.notes.lines_since(noted_before)? >= lines)
        })
        .await?;
    let running = peek::running(&stack.store, run).await?;
    kill(stack, victim, run, rng).await?;
    judge(stack, run).await?;
    Ok(Hit { running, lost: peek::lost(&stack.store, run).await? })
}

async fn kill(
    stack: &mut Stack,
    victim: Victim,
    run: RunKey,
    rng: &mut StdRng,
) -> anyhow::Result<()> {
    let (place, coin) = (rng.random_range(0..2), rng.random());
    match victim {
        Victim::Worker => {
            let remains = stack.kill_worker(place)?;
            stack.start_worker(place, coin)?;
            all_dead(stack, &remains).await
        }
        Victim::Server => {
            stack.kill_server(place)?;
            if coin {
                // The other one ends the run alone.
                stack.ended(run).await?;
            }
            stack.start_server(place)
        }
        Victim::Postgres => stack.crash_postgres().await,
    }
}

/// No process that the worker started lives on, whatever its group.
async fn all_dead(stack: &Stack, remains: &Remains) -> anyhow::Result<()> {
    let mut living = Vec::new();
    let died = stack
        .until("processes of a killed worker to die", async || {
            living = remains.living();
            Ok(living.is_empty())
        })
        .await;
    died.with_context(|| format!("still alive: {living:#?}"))
}

async fn judge(stack: &Stack, run: RunKey) -> anyhow::Result<()> {
    let state = stack.ended(run).await?;
    ensure!(
        state == "success",
        "the run is {state}: {:#?}",
        peek::history(&stack.store, run).await
    );
    let ended = peek::ended_tasks(&stack.store, run).await?;
    let wrong: Vec<_> = ended.iter().filter(|ended| !load::is_right(ended)).collect();
    ensure!(wrong.is_empty(), "ended wrongly: {wrong:?}");
    let tasks = load::tasks(&load::dag(&stack.notes));
    ensure!(ended.len() == tasks, "{} of {tasks} tasks have ended", ended.len());
    let journal = stack.notes.journal(&stack.store).await?;
    let found = checker::check(stack.store.pool(), &journal, Moment::AtTheEnd).await?;
    let shown: Vec<String> = found.iter().take(20).map(Violation::to_string).collect();
    ensure!(found.is_empty(), "{} violations:\n{}", found.len(), shown.join("\n"));
    Ok(())
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worker => "worker",
            Self::Server => "server",
            Self::Postgres => "postgresql",
        })
    }
}
