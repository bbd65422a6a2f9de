//! The first page: what runs, what failed, what is late, and whether all is well.

use askama::Template;

use crate::badge::Badge;
use crate::format::Stamp;
use crate::frame::Frame;
use crate::render;
use crate::text::Text;

/// The page.
#[derive(Debug, Template)]
#[template(path = "home.html")]
pub struct HomePage<'a> {
    pub frame: Frame<'a>,
    /// Where what changes later comes from.
    pub events: String,
    pub live: Home,
}

/// The part that lives.
#[derive(Debug, Template)]
#[template(path = "home_live.html")]
pub struct Home {
    pub t: &'static Text,
    pub tiles: Vec<Tile>,
    pub health: Vec<Health>,
    pub goes_on: Vec<HomeRun>,
    pub has_failed: Vec<HomeRun>,
    pub late: Vec<LateRow>,
    /// How many more there are.
    pub late_more: Option<String>,
}

/// A number that leads to what it counts.
#[derive(Debug, Clone)]
pub struct Tile {
    pub count: String,
    pub label: &'static str,
    /// A state's class; empty where there is nothing to look at.
    pub class: &'static str,
    pub href: String,
}

/// A part of the installation.
#[derive(Debug, Clone)]
pub struct Health {
    pub label: &'static str,
    pub is_well: bool,
    /// What is amiss, or how much there is.
    pub detail: String,
    /// When it was last seen to work.
    pub when: Option<Stamp>,
}

/// A run.
#[derive(Debug, Clone)]
pub struct HomeRun {
    pub dag_id: String,
    pub dag_href: String,
    pub run_id: String,
    pub href: String,
    pub badge: Badge,
    pub ended: Option<Stamp>,
    pub took: String,
    /// Since when it goes on, for a clock that ticks.
    pub since: String,
}

/// A DAG that should have run.
#[derive(Debug, Clone)]
pub struct LateRow {
    pub dag_id: String,
    pub href: String,
    pub due: Option<Stamp>,
    /// How many runs wait for their turn, and since when.
    pub waits: Option<(String, Stamp)>,
}

impl Health {
    /// The state's class: its sign tells it, too.
    fn badge(&self, t: &'static Text) -> Badge {
        match self.is_well {
            true => Badge { class: "s-success", label: t.well },
            false => Badge { class: "s-failed", label: t.amiss },
        }
    }
}

impl HomePage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

impl Home {
    /// Returns the markup.
    #[must_use]
    pub fn markup(&self) -> String {
        render(self)
    }
}
