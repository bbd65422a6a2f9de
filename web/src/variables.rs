//! Variables: values that DAGs read. Those whose names tell that they are secret are not shown.

use askama::Template;

use crate::format::Stamp;
use crate::frame::Frame;
use crate::pager::Pager;
use crate::render;

/// The list.
#[derive(Debug, Template)]
#[template(path = "variables.html")]
pub struct VariablesPage<'a> {
    pub frame: Frame<'a>,
    /// What is looked for.
    pub key: String,
    pub rows: Vec<VariableRow>,
    pub pager: Pager,
    pub problem: Option<String>,
}

/// A variable.
#[derive(Debug, Clone)]
pub struct VariableRow {
    pub key: String,
    pub href: String,
    /// `None`: a secret.
    pub value: Option<String>,
    /// The value goes on: it cannot be changed here.
    pub is_cut: bool,
    pub description: String,
    pub changed: Stamp,
}

impl VariablesPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}
