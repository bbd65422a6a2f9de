//! Pools: how full they are, and how full they may be.

use askama::Template;

use crate::frame::Frame;
use crate::pager::{Find, Pager};
use crate::render;

/// The list.
#[derive(Debug, Template)]
#[template(path = "pools.html")]
pub struct PoolsPage<'a> {
    pub frame: Frame<'a>,
    pub find: Find,
    /// Where its changes come from.
    pub events: String,
    pub live: PoolsLive<'a>,
    pub problem: Option<String>,
}

/// The part that lives.
#[derive(Debug, Template)]
#[template(path = "pools_live.html")]
pub struct PoolsLive<'a> {
    pub frame: Frame<'a>,
    pub rows: Vec<PoolRow>,
    pub pager: Pager,
}

/// A pool.
#[derive(Debug, Clone)]
pub struct PoolRow {
    pub name: String,
    pub href: String,
    /// -1: no limit.
    pub slots: i32,
    pub used: i32,
    pub wanted: i64,
    /// How full it is, of 1000; 0 without a limit.
    pub full: i32,
    pub include_deferred: bool,
    pub description: String,
    /// It can be changed: all but Airflow's default pool.
    pub is_ours: bool,
}

impl PoolRow {
    /// `3 / 8`, or `3` without a limit.
    fn filled(&self) -> String {
        if self.slots < 0 {
            self.used.to_string()
        } else {
            format!("{} / {}", self.used, self.slots)
        }
    }
}

impl PoolsPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

impl PoolsLive<'_> {
    /// Returns the markup.
    #[must_use]
    pub fn markup(&self) -> String {
        render(self)
    }
}
