//! The command `subak`: parses the command line, calls, prints.
//!
//! One file per family of subcommands. What they do lives in `server`, `worker`, `store` and `core`.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

mod audit;
mod certificate;
mod clock;
mod completions;
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
mod oidc;
mod output;
mod place;
mod pools;
mod progress;
mod ranges;
mod remote;
mod runs;
mod server;
mod services;
mod standalone;
mod telemetry;
mod tokens;
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
  subak login https://subak.example.org        then --server or SUBAK_SERVER: commands on that server

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
    Login(Box<remote::login::Options>),
    Logout(remote::logout::Options),
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
    Audit(audit::list::Options),
    #[command(subcommand)]
    Users(users::Command),
    #[command(subcommand)]
    Tokens(tokens::Command),
    #[command(subcommand)]
    Variables(variables::Command),
    #[command(subcommand)]
    Workers(workers::Command),
    #[command(subcommand)]
    Db(db::Command),
    Completions(completions::Options),
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
        Command::Login(options) => remote::login::run(*options).await,
        Command::Logout(options) => remote::logout::run(options).await,
        Command::Dags(command) => dags::run(command).await,
        Command::Runs(command) => runs::run(command).await,
        Command::Explain(options) => explain::run(options).await,
        Command::Ranges(command) => ranges::run(command).await,
        Command::Deadletters(command) => deadletters::run(command).await,
        Command::Topics(command) => topics::run(command).await,
        Command::Connections(command) => connections::run(command).await,
        Command::Pools(command) => pools::run(command).await,
        Command::Audit(options) => audit::list::run(options).await,
        Command::Users(command) => users::run(command).await,
        Command::Tokens(command) => tokens::run(command).await,
        Command::Variables(command) => variables::run(command).await,
        Command::Workers(command) => workers::run(command).await,
        Command::Db(command) => db::run(command).await,
        Command::Completions(options) => completions::run(&options, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands that do something, with their names from the root.
    fn leaves<'a>(
        command: &'a clap::Command,
        name: &str,
        into: &mut Vec<(String, &'a clap::Command)>,
    ) {
        if command.is_hide_set() {
            return;
        }
        let below: Vec<_> =
            command.get_subcommands().filter(|it| it.get_name() != "help").collect();
        if below.is_empty() {
            into.push((name.to_owned(), command));
        }
        for it in below {
            leaves(it, &format!("{name} {}", it.get_name()), into);
        }
    }

    #[test]
    fn the_help_of_every_command_has_an_example_of_it() {
        let root = Cli::command();
        let mut all = Vec::new();
        leaves(&root, "subak", &mut all);
        assert!(all.len() > 40, "{}", all.len());
        let without = |(name, command): &(String, &clap::Command)| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.split_once("Example").map_or("", |(_, examples)| examples);
            (!examples.lines().any(|line| line.contains(&**name))).then(|| name.clone())
        };
        let without: Vec<String> = all.iter().filter_map(without).collect();
        assert!(without.is_empty(), "without an example: {}", without.join(", "));
    }

    /// What lists or shows something, by the last word of its name.
    const SHOWS: [&str; 8] =
        ["list", "show", "audit", "explain", "operators", "tokens", "versions", "xcom"];

    /// Neither does: they change something, run until they end, or print a text as it is.
    #[rustfmt::skip]
    const OTHERS: [&str; 40] = [
        "abandon", "add", "cancel", "certificate", "clear", "completions", "create", "delete", "diff",
        "disable", "dismiss", "drain", "enable", "export", "get", "grant", "link", "login", "logout",
        "logs", "mark", "migrate", "note", "password", "pause", "release", "remove", "replay", "revoke",
        "role", "schema", "server", "set", "standalone", "test", "token", "trigger", "unpause", "validate",
        "worker",
    ];

    #[test]
    fn every_list_is_printed_as_json_too() {
        let root = Cli::command();
        let mut all = Vec::new();
        leaves(&root, "subak", &mut all);
        let mut seen = 0;
        for (name, command) in all {
            let last = name.rsplit(' ').next().unwrap();
            if !SHOWS.contains(&last) {
                assert!(OTHERS.contains(&last), "say whether `{name}` lists or shows something");
                continue;
            }
            seen += 1;
            let output = command.get_arguments().find(|it| it.get_long() == Some("output"));
            let formats = output.map(clap::Arg::get_possible_values).unwrap_or_default();
            assert!(
                formats.iter().any(|it| it.get_name() == "json"),
                "{name} has no --output json"
            );
        }
        assert!(seen > 15, "{seen}");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
