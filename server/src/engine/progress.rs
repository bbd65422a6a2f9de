//! How far running tries are, by fencing token: for pages, in memory only.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Tries whose progress is remembered at most; beyond it the map starts anew.
const MOST: usize = 10_000;

/// What a try last said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub rows: u64,
    pub bytes: u64,
    pub note: String,
}

/// Of all tries behind this server.
#[derive(Debug, Default)]
pub(crate) struct Progresses {
    by_token: Mutex<HashMap<i64, Progress>>,
}

impl Progresses {
    pub(crate) fn put(&self, token: i64, rows: u64, bytes: u64, note: String) {
        let mut by_token = self.by_token.lock().unwrap_or_else(PoisonError::into_inner);
        if by_token.len() >= MOST {
            by_token.clear();
        }
        by_token.insert(token, Progress { rows, bytes, note });
    }

    pub(crate) fn get(&self, token: i64) -> Option<Progress> {
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner).get(&token).cloned()
    }
}
