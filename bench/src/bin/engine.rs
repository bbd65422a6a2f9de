//! Measures the engine and prints one table; fails if a figure misses what it must.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use subak_bench::engine::{Row, Sizes, measure, measure_watched};

/// Measures hops, rates, runs created and the cost of idling.
#[derive(Parser)]
struct Options {
    /// The binary `subak`.
    #[arg(long)]
    binary: PathBuf,
    /// Small sizes: whether it works, not what it measures.
    #[arg(long)]
    quick: bool,
    /// The hop beside people who watch, and nothing else.
    #[arg(long)]
    watched: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let sizes = if options.quick {
        Sizes {
            chains: if options.watched { 30 } else { 3 },
            sustained_runs: 1000,
            created: 500,
            parked_runs: 1_000,
            settle: Duration::from_secs(3),
            idle: Duration::from_secs(5),
            watched: Duration::from_secs(5),
        }
    } else {
        Sizes {
            chains: 50,
            sustained_runs: 1_000,
            created: 10_000,
            parked_runs: 100_000,
            settle: Duration::from_secs(65),
            idle: Duration::from_secs(30),
            watched: Duration::from_secs(10),
        }
    };
    println!("| what | measured | must | aim | meets |\n|---|---|---|---|---|");
    let mut missed = 0;
    let print = &mut |row: Row| {
        println!("{row}");
        missed += u32::from(!row.meets_must());
    };
    match options.watched {
        true => measure_watched(&options.binary, sizes, print).await?,
        false => measure(&options.binary, sizes, print).await?,
    }
    anyhow::ensure!(options.quick || missed == 0, "{missed} figures miss what they must");
    Ok(())
}
