//! What of a graph is chosen to be seen, as it stands in an address.

use std::collections::BTreeSet;

use crate::url;

/// Steps up and down from a task, unless others are asked for.
const DEPTH: usize = 2;
/// The choices.
pub(super) const DEPTHS: [usize; 5] = [1, 2, 3, 4, 5];
/// Groups of one address.
const TURNED_MOST: usize = 200;

/// A choice; by default nothing is chosen, and the graph is as it is at first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Sight {
    /// Groups that are not as they are at first: unfolded, or in a small graph folded.
    turned: BTreeSet<String>,
    /// The task, or a part of its name, around which tasks are shown; empty: all of them are.
    around: String,
    /// So many steps up and down from it.
    depth: usize,
}

impl Sight {
    /// Reads the values of an address; `turn` has ids of groups, with commas between them.
    #[must_use]
    pub fn read(turn: &str, around: &str, depth: Option<usize>) -> Self {
        let around = around.trim();
        if !around.is_empty() {
            return Self::around(around, depth.unwrap_or(DEPTH));
        }
        let turned = turn.split(',').filter(|id| !id.is_empty()).take(TURNED_MOST);
        Self { turned: turned.map(str::to_owned).collect(), ..Self::default() }
    }

    /// Returns it as a part of an address: without what is in front of it, and empty by default.
    #[must_use]
    pub fn query(&self) -> String {
        if !self.around.is_empty() {
            return format!("around={}&depth={}", url::encode(&self.around), self.depth);
        }
        let turned: Vec<String> = self.turned.iter().map(|id| url::encode(id)).collect();
        if turned.is_empty() { String::new() } else { format!("turn={}", turned.join(",")) }
    }

    /// The tasks around one.
    pub(super) fn around(task: &str, depth: usize) -> Self {
        let depth = depth.clamp(DEPTHS[0], DEPTHS[DEPTHS.len() - 1]);
        Self { turned: BTreeSet::new(), around: task.to_owned(), depth }
    }

    /// The tasks around another one, as many steps.
    pub(super) fn at(&self, task: &str) -> Self {
        Self::around(task, if self.depth == 0 { DEPTH } else { self.depth })
    }

    /// The same, but for this group: it is folded, or no longer.
    pub(super) fn turn(&self, group: &str) -> Self {
        let mut turned = self.turned.clone();
        if !turned.remove(group) {
            turned.insert(group.to_owned());
        }
        Self { turned, ..Self::default() }
    }

    pub(super) fn is_turned(&self, group: &str) -> bool {
        self.turned.contains(group)
    }

    /// The task, or a part of its name, that is asked for.
    pub(super) fn wanted(&self) -> Option<&str> {
        (!self.around.is_empty()).then_some(&*self.around)
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }
}
