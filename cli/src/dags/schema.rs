//! `subak dags schema`: the JSON Schema of DAG files, for editors.

use clap::Args;
use subak_core::dag;

use crate::exit::{Ended, Outcome};
use crate::output;

/// Prints the JSON Schema of DAG files.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  subak dags schema > dag.schema.json
  Then, as the first line of a DAG file:  # yaml-language-server: $schema=dag.schema.json")]
pub(crate) struct Options {}

pub(crate) fn run(_: &Options) -> Outcome {
    output::json(&dag::schema())?;
    Ok(Ended::Success)
}
