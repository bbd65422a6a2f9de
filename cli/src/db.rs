//! `subak db`: the schema of the metadata database.

use clap::Subcommand;

use crate::exit::{Ended, Outcome};
use crate::output;
use crate::place::Place;

/// Cares for the metadata database.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Brings the schema up to date; safe to repeat, also on several machines at once.
    #[command(
        after_help = "Example:\n  SUBAK_DATABASE_URL=postgres://subak@db/subak subak db migrate"
    )]
    Migrate {
        #[command(flatten)]
        place: Place,
    },
}

pub(crate) async fn run(command: Command) -> Outcome {
    let Command::Migrate { place } = command;
    let instead = "the database is the server's own";
    let store = place.here(instead)?.store().await?;
    store.migrate().await?;
    store.close().await;
    output::line("the metadata database is up to date")?;
    Ok(Ended::Success)
}
