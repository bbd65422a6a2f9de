//! A DAG: its model, and the one parser of its YAML file.
//!
//! [`parse`] is what files, the API, `dags validate` and the editor use alike. It tells everything
//! that is wrong with a file at once; a document with an error makes no DAG.

mod airflow;
mod assets;
mod diagnostic;
pub(crate) mod duration;
mod expand;
mod feeds;
mod flow;
mod graph;
mod groups;
mod load;
mod mapped_groups;
pub mod model;
mod notices;
mod page;
mod params;
mod raw;
pub mod replay;
mod retry;
mod schema;
mod sinks;
mod suggest;
mod task_templates;
mod tasks;
mod timing;
mod values;
pub mod version;
mod written;
pub(crate) mod yaml;

pub use diagnostic::Diagnostic;
pub use page::Page;
pub use schema::schema;
pub use suggest::did_you_mean;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use model::Dag;

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parsed {
    /// The DAGs of all documents without an error.
    pub dags: Vec<Dag>,
    /// Everything that is wrong, in the file's order.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a DAG file; `file_name` is for messages.
#[must_use]
pub fn parse(file_name: &str, text: &str) -> Parsed {
    let report = diagnostic::Report::new(file_name, text);
    let dags = load::file(text, &report);
    Parsed { dags, diagnostics: report.finish() }
}

/// Reads a date or an instant as files have them: on the clocks of `zone`, unless it names an offset.
#[must_use]
pub fn date(text: &str, zone: Tz) -> Option<DateTime<Utc>> {
    values::instant(text).map(|found| found.in_zone(zone))
}

#[cfg(test)]
mod tests;
