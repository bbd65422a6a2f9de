//! Makes a CSV file of the retail data's shape: `retail ROWS FILE`. `bench/retail/run.sh` measures.

use std::fs::File;

use anyhow::Context;
use clap::Parser;

/// The same file at each run.
const SEED: u64 = 1;

#[derive(Parser)]
struct Options {
    rows: u64,
    file: String,
}

fn main() -> anyhow::Result<()> {
    let Options { rows, file } = Options::parse();
    let target = File::create(&file).with_context(|| format!("making {file}"))?;
    subak_tasks_feed::generate::retail(rows, SEED, target)?;
    Ok(())
}
