//! The pages: view models, templates and assets. Receives values, returns HTML; no queries, no clock.
//!
//! View models hold display-ready values; templates only lay them out. Everything that came from
//! somebody is escaped by the template engine; the places that build markup themselves are
//! [`log`], [`source`] and [`graph`], which escape what they are given.

pub mod accounts;
pub mod api;
pub mod assets;
pub mod audit;
mod badge;
pub mod bars;
pub mod connections;
#[cfg(test)]
mod contrast;
pub mod dag;
pub mod dags;
pub mod dataset;
pub mod error;
pub mod format;
pub mod frame;
pub mod gantt;
pub mod graph;
pub mod grid;
pub mod home;
pub mod import_errors;
pub mod letters;
pub mod log;
pub mod map;
pub mod pager;
pub mod pieces;
pub mod pools;
pub mod problem;
pub mod run;
pub mod runs;
pub mod schedule;
pub mod settings;
pub mod sign_in;
pub mod source;
pub mod task;
pub mod text;
pub mod topics;
pub mod trigger;
pub mod url;
pub mod variables;
pub mod versions;
pub mod why;
pub mod workers;

pub use badge::Badge;

/// Renders a template. Writing into a string fails only where a value's `Display` does.
fn render(template: &impl askama::Template) -> String {
    template.render().unwrap_or_else(|_| text::ENGLISH.internal.to_owned())
}
