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
    pub pager: Pager,
    pub rows: Vec<PoolRow>,
    pub problem: Option<String>,
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
