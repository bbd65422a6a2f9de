//! `subak dags operators`: what stands in `operator:` and `with:`.

use anyhow::bail;
use clap::Args;
use subak_core::operators::{self, OPERATORS, Operator};

use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};

pub(crate) mod page;

/// Lists the operators, or prints the reference page of one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak dags operators
  subak dags operators csv.read")]
pub(crate) struct Options {
    /// An operator's name.
    operator: Option<String>,
}

pub(crate) fn run(options: &Options) -> Outcome {
    match &options.operator {
        Some(name) => {
            let Some(operator) = operators::find(name) else {
                bail!(
                    "operator `{name}` does not exist: `subak dags operators` lists those that do"
                );
            };
            output::line(page::markdown(operator).trim_end())?;
        }
        None => list().print()?,
    }
    Ok(Ended::Success)
}

fn list() -> Table {
    let mut table = Table::new(&["operator", "what it does"]);
    for operator in OPERATORS {
        table.row([operator.name.to_owned(), summary(operator)]);
    }
    table
}

/// The first sentence of the operator's description.
fn summary(operator: &Operator) -> String {
    let doc = page::one_line(&operator.doc());
    let text = doc.split_once(": ").map_or(&*doc, |(_, text)| text);
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.').to_owned()
}
