//! `subak dags`: DAG files, and the DAGs that servers have loaded.

use clap::Subcommand;

use crate::exit::Outcome;

mod delete;
mod list;
mod operators;
mod pause;
mod schema;
mod show;
mod test;
mod validate;
mod versions;
mod view;

/// Checks, shows and tries DAGs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(list::Options),
    Show(show::Options),
    /// Lets nothing of a DAG start until it is unpaused; what runs goes on to its end.
    #[command(after_help = "Example:\n  subak dags pause retail_retention")]
    Pause(pause::Options),
    /// Lets runs and tasks of a DAG start again.
    #[command(after_help = "Example:\n  subak dags unpause retail_retention")]
    Unpause(pause::Options),
    Validate(validate::Options),
    Test(test::Options),
    Schema(schema::Options),
    Operators(operators::Options),
    Versions(versions::Options),
    Diff(versions::DiffOptions),
    Delete(delete::Options),
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(options) => list::run(options).await,
        Command::Show(options) => show::run(options).await,
        Command::Pause(options) => pause::run(options, true).await,
        Command::Unpause(options) => pause::run(options, false).await,
        Command::Validate(options) => validate::run(&options),
        Command::Test(options) => test::run(options).await,
        Command::Schema(options) => schema::run(&options),
        Command::Operators(options) => operators::run(&options),
        Command::Versions(options) => versions::run(options).await,
        Command::Diff(options) => versions::diff(options).await,
        Command::Delete(options) => delete::run(options).await,
    }
}
