//! A scene taken apart: what lies right in each open group, and which edges lead from one to another of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::scene::Scene;

/// A box of a level, or an open group of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Child {
    Leaf(usize),
    Group(usize),
}

/// What lies right in a group, or in none.
#[derive(Debug, Default)]
pub(super) struct Level {
    /// So that as few edges as can be lead back.
    pub(super) children: Vec<Child>,
    pub(super) bundles: Vec<Bundle>,
}

/// Edges between two children that are drawn as one: from each of some boxes to each of others.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) from: Child,
    pub(super) to: Child,
    pub(super) left: Vec<usize>,
    pub(super) right: Vec<usize>,
    pub(super) label: Option<String>,
    /// It leads from right to left: a group comes both before and after a task.
    pub(super) is_back: bool,
}

/// The open groups around each box, from the outside.
pub(super) fn paths(scene: &Scene) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, group) in scene.groups.iter().enumerate() {
        let mut path = group.parent.map_or_else(Vec::new, |parent| groups[parent].clone());
        path.push(at);
        groups.push(path);
    }
    let path = |group: Option<usize>| group.map_or_else(Vec::new, |group| groups[group].clone());
    scene.leaves.iter().map(|leaf| path(leaf.group)).collect()
}

/// The child of a level, so many groups deep, in which a box lies.
pub(super) fn child(path: &[usize], deep: usize, leaf: usize) -> Child {
    path.get(deep).map_or(Child::Leaf(leaf), |group| Child::Group(*group))
}

/// Sources and label of each target.
type Targets<'s> = BTreeMap<(Option<&'s str>, usize), Vec<usize>>;

/// Returns what lies in no group, then what lies in each.
pub(super) fn levels(scene: &Scene, paths: &[Vec<usize>]) -> Vec<Level> {
    let mut levels: Vec<Level> = Vec::new();
    levels.resize_with(scene.groups.len() + 1, Level::default);
    // Children are met in the order of their first boxes.
    let mut met = BTreeSet::new();
    for (leaf, path) in paths.iter().enumerate() {
        for deep in 0..=path.len() {
            let child = child(path, deep, leaf);
            if met.insert(child) {
                let level = if deep == 0 { 0 } else { path[deep - 1] + 1 };
                levels[level].children.push(child);
            }
        }
    }
    let mut found: BTreeMap<(usize, Child, Child), Targets<'_>> = BTreeMap::new();
    for way in &scene.ways {
        let (from, to) = (&paths[way.from], &paths[way.to]);
        let deep = from.iter().zip(to).take_while(|(from, to)| from == to).count();
        let level = if deep == 0 { 0 } else { from[deep - 1] + 1 };
        let key = (level, child(from, deep, way.from), child(to, deep, way.to));
        let target = (way.label.as_deref(), way.to);
        found.entry(key).or_default().entry(target).or_default().push(way.from);
    }
    let mut pairs: Vec<Vec<(Child, Child)>> = vec![Vec::new(); levels.len()];
    found.keys().for_each(|(level, from, to)| pairs[*level].push((*from, *to)));
    for (level, pairs) in levels.iter_mut().zip(&pairs) {
        level.children = sorted(&level.children, pairs);
    }
    for ((level, from, to), targets) in found {
        let level = &mut levels[level];
        let place = |child: Child| level.children.iter().position(|it| *it == child);
        let is_back = place(from) > place(to);
        // Boxes with the same sources share a bundle, so that it says nothing that is not so.
        let mut alike: BTreeMap<(Option<&str>, Vec<usize>), Vec<usize>> = BTreeMap::new();
        for ((label, target), mut sources) in targets {
            sources.sort_unstable();
            alike.entry((label, sources)).or_default().push(target);
        }
        for ((label, sources), targets) in alike {
            let label = label.map(str::to_owned);
            level.bundles.push(if is_back {
                let label = Some(label.map_or_else(|| "←".to_owned(), |it| format!("← {it}")));
                Bundle { from: to, to: from, left: targets, right: sources, label, is_back }
            } else {
                Bundle { from, to, left: sources, right: targets, label, is_back }
            });
        }
    }
    levels
}

/// Children in topological order, ties as they are met; where groups come before each other, the one that
/// is met first.
fn sorted(children: &[Child], pairs: &[(Child, Child)]) -> Vec<Child> {
    let places: HashMap<Child, usize> =
        children.iter().enumerate().map(|(place, child)| (*child, place)).collect();
    let mut waits = vec![0_usize; children.len()];
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); children.len()];
    for (from, to) in pairs {
        waits[places[to]] += 1;
        after[places[from]].push(places[to]);
    }
    let mut rest: BTreeSet<usize> = (0..children.len()).collect();
    let mut ready: BTreeSet<usize> = rest.iter().copied().filter(|at| waits[*at] == 0).collect();
    let mut sorted = Vec::with_capacity(children.len());
    while let Some(next) = ready.pop_first().or_else(|| rest.first().copied()) {
        rest.remove(&next);
        sorted.push(children[next]);
        for at in &after[next] {
            waits[*at] = waits[*at].saturating_sub(1);
            if waits[*at] == 0 && rest.contains(at) {
                ready.insert(*at);
            }
        }
    }
    sorted
}
