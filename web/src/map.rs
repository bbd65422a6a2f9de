//! The page of a mapped task: its instances, a part at a time.

use askama::Template;

use crate::badge::Badge;
use crate::frame::Frame;
use crate::pager::Pager;
use crate::pieces::Pieces;
use crate::render;
use crate::run::{Progress, TaskRow};
use crate::task::Neighbour;

/// The page.
#[derive(Debug, Template)]
#[template(path = "map.html")]
pub struct MapPage<'a> {
    pub frame: Frame<'a>,
    pub dag_id: String,
    pub dag_href: String,
    pub run_id: String,
    pub run_href: String,
    pub task_id: String,
    /// Where what changes later comes from.
    pub events: String,
    pub live: MapLive<'a>,
    /// Of the task as a whole.
    pub note: String,
    /// Where the note is changed.
    pub note_action: Option<String>,
    /// Markup made by [`crate::settings::markup`].
    pub settings: String,
    pub upstream: Vec<Neighbour>,
    pub downstream: Vec<Neighbour>,
}

/// The part that lives.
#[derive(Debug, Template)]
#[template(path = "map_live.html")]
pub struct MapLive<'a> {
    pub frame: Frame<'a>,
    pub task_id: String,
    /// The page's own address.
    pub href: String,
    pub badge: Badge,
    pub progress: Progress,
    /// States to choose from: their badge, how many, and the address of the list of these.
    pub states: Vec<StateLink>,
    /// Each with the index of its instance as its key.
    pub rows: Vec<TaskRow>,
    pub pager: Pager,
    /// Why instances wait. Markup made by [`crate::why::markup`].
    pub why: Vec<String>,
    pub can_clear: bool,
    /// Marks are of all instances.
    pub can_mark: bool,
}

/// Instances in one state.
#[derive(Debug, Clone)]
pub struct StateLink {
    pub badge: Badge,
    pub count: i64,
    pub href: String,
    pub is_shown: bool,
}

impl MapPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

impl MapLive<'_> {
    /// Returns the markup.
    #[must_use]
    pub fn markup(&self) -> String {
        self.pieces().into_whole()
    }

    /// Returns the markup in pieces.
    #[must_use]
    pub fn pieces(&self) -> Pieces {
        Pieces::cut(&render(self))
    }
}
