//! `subak dags operators`: what stands in `operator:` and `with:`.

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use subak_core::operators::{self, OPERATORS, Operator};

use crate::exit::{Ended, Outcome};
use crate::output::{self, Output, Row};

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
    #[command(flatten)]
    output: Output,
}

/// An operator; alone with its reference page, Markdown.
#[derive(Serialize)]
struct Listed {
    operator: &'static str,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

impl Row for Listed {
    const HEADING: &'static [&'static str] = &["operator", "what it does"];

    fn cells(&self) -> Vec<String> {
        vec![self.operator.to_owned(), self.description.clone()]
    }
}

impl From<&'static Operator> for Listed {
    fn from(operator: &'static Operator) -> Self {
        Self { operator: operator.name, description: summary(operator), page: None }
    }
}

pub(crate) fn run(options: &Options) -> Outcome {
    match &options.operator {
        Some(name) => {
            let Some(operator) = operators::find(name) else {
                bail!(
                    "operator `{name}` does not exist: `subak dags operators` lists those that do"
                );
            };
            let text = page::markdown(operator);
            match options.output.is_json() {
                true => output::json(&Listed { page: Some(text), ..operator.into() })?,
                false => output::line(text.trim_end())?,
            }
        }
        None => options.output.list(&OPERATORS.iter().map(Listed::from).collect::<Vec<_>>())?,
    }
    Ok(Ended::Success)
}

/// The first sentence of the operator's description.
fn summary(operator: &Operator) -> String {
    let doc = page::one_line(&operator.doc());
    let text = doc.split_once(": ").map_or(&*doc, |(_, text)| text);
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.').to_owned()
}
