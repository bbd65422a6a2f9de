//! `subak db`: the schema of the metadata database.

use clap::Subcommand;

use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output;

/// Cares for the metadata database.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Brings the schema up to date; safe to repeat, also on several machines at once.
    #[command(
        after_help = "Example:\n  SUBAK_DATABASE_URL=postgres://subak@db/subak subak db migrate"
    )]
    Migrate {
        #[command(flatten)]
        metadata: Metadata,
    },
}

pub(crate) async fn run(command: Command) -> Outcome {
    let Command::Migrate { metadata } = command;
    let store = metadata.store().await?;
    store.migrate().await?;
    store.close().await;
    output::line("the metadata database is up to date")?;
    Ok(Ended::Success)
}
