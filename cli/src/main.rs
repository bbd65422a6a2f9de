//! The command `subak`: parses the command line, calls, prints.
//!
//! One file per family of subcommands. What they do lives in `server`, `worker`, `store` and `core`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod certificate;
mod clock;
mod config;
mod connections;
mod dags;
mod db;
mod deadletters;
mod demo;
mod exit;
mod explain;
mod key;
mod mock_kafka;
mod output;
mod pools;
mod progress;
mod ranges;
mod runs;
mod server;
mod services;
mod standalone;
mod telemetry;
mod topics;
mod users;
mod variables;
mod worker;
mod workers;

/// Runs DAGs: YAML files of tasks, run by workers, watched in a browser.
#[derive(Debug, Parser)]
#[command(name = "subak", version, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    telemetry: telemetry::Options,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  subak standalone                             everything in one process, nothing else needed
  subak dags validate dags/*.yaml              all errors of the files, with line and column
  subak dags test dags/retail_retention.yaml   run a DAG here and now, without a server
  subak runs trigger retail_retention --wait   start a run and follow it to its end

Exit codes: 0 success, 1 error, 2 wrong usage, 3 the run failed.";

#[derive(Debug, Subcommand)]
enum Command {
    Standalone(Box<standalone::Options>),
    #[command(hide = true)]
    Demo(Box<demo::Options>),
    #[command(hide = true)]
    MockKafka(mock_kafka::Options),
    Server(Box<server::Options>),
    Worker(Box<worker::Options>),
    /// Ends what a worker started when the worker itself is gone. Started by the worker.
    #[command(hide = true)]
    Keeper,
    #[command(subcommand)]
    Dags(dags::Command),
    #[command(subcommand)]
    Runs(runs::Command),
    Explain(explain::Options),
    #[command(subcommand)]
    Ranges(ranges::Command),
    #[command(subcommand)]
    Deadletters(deadletters::Command),
    #[command(subcommand)]
    Topics(topics::Command),
    #[command(subcommand)]
    Connections(connections::Command),
    #[command(subcommand)]
    Pools(pools::Command),
    #[command(subcommand)]
    Users(users::Command),
    #[command(subcommand)]
    Variables(variables::Command),
    #[command(subcommand)]
    Workers(workers::Command),
    #[command(subcommand)]
    Db(db::Command),
}

impl Command {
    /// Whether its log is read later: it runs until a signal, and nobody may be watching.
    fn serves(&self) -> bool {
        matches!(self, Self::Standalone(_) | Self::Server(_) | Self::Worker(_))
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Command::Keeper) {
        // Before anything that starts a thread.
        subak_worker::keeper::main();
        return ExitCode::SUCCESS;
    }
    telemetry::start(&cli.telemetry, cli.command.serves());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&anyhow::Error::new(error).context("starting threads")),
    };
    let result = runtime.block_on(run(cli.command));
    runtime.shutdown_background();
    exit::code(result)
}

async fn run(command: Command) -> exit::Outcome {
    match command {
        Command::Standalone(options) => standalone::run(*options).await,
        Command::Demo(options) => demo::run(*options).await,
        Command::MockKafka(options) => mock_kafka::run(options).await,
        Command::Server(options) => server::run(*options).await,
        Command::Worker(options) => worker::run(*options).await,
        Command::Keeper => Ok(exit::Ended::Success),
        Command::Dags(command) => dags::run(command).await,
        Command::Runs(command) => runs::run(command).await,
        Command::Explain(options) => explain::run(options).await,
        Command::Ranges(command) => ranges::run(command).await,
        Command::Deadletters(command) => deadletters::run(command).await,
        Command::Topics(command) => topics::run(command).await,
        Command::Connections(command) => connections::run(command).await,
        Command::Pools(command) => pools::run(command).await,
        Command::Users(command) => users::run(command).await,
        Command::Variables(command) => variables::run(command).await,
        Command::Workers(command) => workers::run(command).await,
        Command::Db(command) => db::run(command).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
