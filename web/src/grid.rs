//! The grid of a DAG: its last runs side by side, a row a task, groups folded.

use std::sync::Arc;

use askama::Template;

use crate::badge::Badge;
use crate::frame::Frame;
use crate::pager::Pager;
use crate::pieces::Pieces;
use crate::render;
use crate::text::Text;

/// The page.
#[derive(Debug, Template)]
#[template(path = "grid.html")]
pub struct GridPage<'a> {
    pub frame: Frame<'a>,
    pub dag_id: String,
    pub href: String,
    /// Where what changes later comes from.
    pub events: String,
    /// A [`Grid`].
    pub live: Arc<Pieces>,
    /// The ways to the tasks that are not shown.
    pub pager: Pager,
}

/// The part that lives.
#[derive(Debug, Template)]
#[template(path = "grid_live.html")]
pub struct Grid {
    pub t: &'static Text,
    /// The oldest first.
    pub runs: Vec<GridRun>,
    pub parts: Vec<Part>,
}

/// A run: a column.
#[derive(Debug, Clone)]
pub struct GridRun {
    pub run_id: String,
    pub href: String,
    pub badge: Badge,
    /// Its duration among the others', of 40.
    pub height: u32,
    pub took: String,
}

/// Tasks of one outermost group, or of none, that follow each other.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// The group's row: what is worst in it.
    pub group: Option<Row>,
    pub rows: Vec<Row>,
}

/// A task, or a group.
#[derive(Debug, Clone)]
pub struct Row {
    /// Tells the rows apart.
    pub key: String,
    pub name: String,
    pub title: String,
    /// Of each run; `None`: the run's version has no such task.
    pub cells: Vec<Option<Cell>>,
}

/// A task instance, or what is worst of a mapped task or of a group.
#[derive(Debug, Clone)]
pub struct Cell {
    pub badge: Badge,
    pub href: String,
    /// What a pointer over it shows.
    pub title: String,
}

impl GridPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

impl Grid {
    /// Returns the markup in pieces.
    #[must_use]
    pub fn pieces(&self) -> Pieces {
        Pieces::cut(&render(self))
    }
}
