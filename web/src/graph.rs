//! A DAG's graph, laid out in layers from left to right: tasks in the layer after their last
//! upstream, ordered so that few edges cross. Groups are boxes around their tasks, or folded: one box
//! for all of them. Of a graph that is too large all the same, each layer is a box; or the tasks around
//! one are drawn.

use subak_core::dag::model::Dag;

use crate::format::cut;

mod drawn;
mod letters;
mod levels;
mod nest;
mod place;
mod scene;
mod sight;
mod view;

pub use sight::Sight;
pub use view::{GraphView, Links};

use letters::{cut_to, drawn_width};
use scene::{Leaf, Scene};

/// Tasks around one; fewer, where more would have too many edges.
const AROUND_MOST: [usize; 3] = [150, 50, 15];
/// Tasks that have what is looked for in their names.
const FOUND_MOST: usize = 20;

/// The name in a node is cut at this many characters, and at what these take in the usual fonts.
const NAME_CHARS: usize = 26;
const NAME_WIDTH_MOST: f64 = 228.0;
/// So much of the padding may a name take whose letters are wider than most.
const NAME_OVER: f64 = 10.0;

pub(crate) const NODE_HEIGHT: f64 = 46.0;
const NODE_WIDTH_LEAST: f64 = 116.0;
/// Of the name, and of the operator below it: as wide as the widest of the usual fonts.
const NAME_CHAR_WIDTH: f64 = 8.4;
const OPERATOR_CHAR_WIDTH: f64 = 6.7;
const NODE_PADDING: f64 = 48.0;
/// Of what stands for several tasks: "Layers 101–125", "1,000 tasks".
const MANY_WIDTH: f64 = 190.0;
/// Room for a name above an open group.
const GROUP_WIDTH_LEAST: f64 = 180.0;
/// Beside that name: its border and the sign before it.
const GROUP_PADDING: f64 = 40.0;
/// What is written on an edge is cut at this many characters; the gap is as wide as the widest.
const LABEL_CHARS: usize = 24;
const LABEL_CHAR_WIDTH: f64 = 6.7;
const LABEL_PADDING: f64 = 36.0;

/// A graph with places.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    pub width: f64,
    pub height: f64,
    pub nodes: Vec<Node>,
    pub groups: Vec<Group>,
    pub edges: Vec<Edge>,
    pub shown: Shown,
    /// The task that was looked for is not known, but these are.
    pub found: Option<Found>,
    /// How many tasks the DAG has.
    pub tasks: usize,
    /// What was chosen.
    pub sight: Sight,
}

/// How much of the graph there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Every task, in a group that is folded if not by itself.
    Whole {
        /// There are groups that are not unfolded: it would be too much.
        stays_folded: bool,
    },
    /// The tasks around one.
    Around {
        task_id: String,
        depth: usize,
        /// Tasks that are as near, but too many.
        left_out: usize,
    },
    /// Layers.
    Layers,
}

impl Default for Shown {
    fn default() -> Self {
        Self::Whole { stays_folded: false }
    }
}

/// Tasks with a word in their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub word: String,
    /// The first ones.
    pub task_ids: Vec<String>,
    pub total: usize,
}

/// What a box stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Task,
    /// A folded group, by its full id.
    Group(String),
    /// Layers, from the first one to the last, counted from one.
    Layers {
        first: usize,
        last: usize,
    },
}

/// A box.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub kind: Kind,
    /// What it stands for.
    pub task_ids: Vec<String>,
    /// As much of the id as fits; empty for layers.
    pub name: String,
    /// Of a task.
    pub operator: String,
    pub x: f64,
    pub y: f64,
    pub width: f64,
    /// Tasks beside it that are not drawn.
    pub more: usize,
}

/// An open group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub id: String,
    /// As much of the id as fits.
    pub name: String,
    pub frame: Frame,
}

/// Where a group is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// An arrow, or a part of it: to or from the border of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// Places of nodes; with a group at an end there may be several.
    pub from: Vec<usize>,
    pub to: Vec<usize>,
    /// SVG path.
    pub path: String,
    pub label: Option<Label>,
    /// It leads to the left: a folded group comes both before and after a task.
    pub is_back: bool,
}

/// What a branch writes on an edge, around a point.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// As much as fits.
    pub text: String,
    pub whole: String,
    pub x: f64,
    pub y: f64,
}

impl Label {
    fn at(whole: String, x: f64, y: f64) -> Self {
        Self { text: cut(&whole, LABEL_CHARS), whole, x, y }
    }
}

/// The width of a gap with a label.
fn label_width(label: &str) -> f64 {
    let chars = u32::try_from(label.chars().count().min(LABEL_CHARS)).unwrap_or(0);
    f64::from(chars) * LABEL_CHAR_WIDTH + LABEL_PADDING
}

/// Lays out what is chosen of a DAG.
#[must_use]
pub fn layout(dag: &Dag, sight: &Sight) -> Layout {
    let upstream = upstream(dag);
    let mut found = None;
    if let Some(word) = sight.wanted() {
        match find(dag, word) {
            Ok(centre) => return around(dag, &upstream, centre, sight.depth()),
            Err(several) => found = Some(several),
        }
    }
    let whole = || {
        let scene = scene::whole(dag, &upstream, sight)?;
        let shown = Shown::Whole { stays_folded: scene.stays_folded };
        drawn(dag, &scene, shown, sight.clone())
    };
    let layers = || drawn(dag, &scene::layers(&upstream), Shown::Layers, Sight::default());
    Layout { found, ..whole().or_else(layers).unwrap_or_default() }
}

/// The places of the tasks that come before each task.
fn upstream(dag: &Dag) -> Vec<Vec<usize>> {
    let tasks = dag.tasks.iter().enumerate();
    let places: std::collections::HashMap<_, _> =
        tasks.map(|(at, task)| (&task.task_id, at)).collect();
    let of = |task: &subak_core::dag::model::Task| {
        task.upstream.iter().filter_map(|up| places.get(up).copied()).collect()
    };
    dag.tasks.iter().map(of).collect()
}

/// The place of the task with this id, or of the only one with this in its id.
fn find(dag: &Dag, word: &str) -> Result<usize, Found> {
    if let Some(exact) = dag.tasks.iter().position(|task| task.task_id.0 == word) {
        return Ok(exact);
    }
    let lower = word.to_lowercase();
    let tasks = dag.tasks.iter().enumerate();
    let found: Vec<usize> = tasks
        .filter(|(_, task)| task.task_id.0.to_lowercase().contains(&lower))
        .map(|(at, _)| at)
        .collect();
    match *found {
        [only] => Ok(only),
        _ => Err(Found {
            word: word.to_owned(),
            task_ids: ids(dag, found.get(..FOUND_MOST).unwrap_or(&found)),
            total: found.len(),
        }),
    }
}

fn ids(dag: &Dag, tasks: &[usize]) -> Vec<String> {
    tasks.iter().map(|task| dag.tasks[*task].task_id.0.clone()).collect()
}

fn around(dag: &Dag, upstream: &[Vec<usize>], centre: usize, depth: usize) -> Layout {
    let task_id = dag.tasks[centre].task_id.0.clone();
    let with = |most: usize| {
        let scene = scene::around(dag, upstream, centre, depth, most)?;
        let shown = Shown::Around { task_id: task_id.clone(), depth, left_out: scene.left_out };
        drawn(dag, &scene, shown, Sight::around(&task_id, depth))
    };
    AROUND_MOST.into_iter().find_map(with).unwrap_or_default()
}

/// Gives a scene its places. `None`: too much.
fn drawn(dag: &Dag, scene: &Scene, shown: Shown, sight: Sight) -> Option<Layout> {
    let widths: Vec<f64> = scene.leaves.iter().map(|leaf| width(dag, leaf)).collect();
    let mut drawn = nest::draw(scene, &widths)?;
    let edges = drawn.edges();
    // In the order of the scene, which edges name.
    drawn.boxes.sort_unstable_by_key(|it| it.0);
    let nodes = drawn.boxes.into_iter().map(|(at, x, y, width)| {
        let leaf = &scene.leaves[at];
        let (name, operator) = names(dag, leaf);
        let task_ids = ids(dag, &leaf.tasks);
        Node { kind: leaf.kind.clone(), task_ids, name, operator, x, y, width, more: leaf.more }
    });
    let groups = drawn.frames.into_iter().map(|(at, frame)| {
        let id = scene.groups[at].id.clone();
        Group { name: cut_to(&short(last_part(&id)), frame.width - GROUP_PADDING), id, frame }
    });
    Some(Layout {
        width: drawn.width,
        height: drawn.height,
        nodes: nodes.collect(),
        groups: groups.collect(),
        edges,
        shown,
        found: None,
        tasks: dag.tasks.len(),
        sight,
    })
}

/// What a box wants.
fn width(dag: &Dag, leaf: &Leaf) -> f64 {
    let (name, operator) = names(dag, leaf);
    #[expect(clippy::cast_precision_loss, reason = "a name is cut short")]
    let width = (name.chars().count() as f64 * NAME_CHAR_WIDTH)
        .max(drawn_width(&name) - NAME_OVER)
        .max(operator.chars().count() as f64 * OPERATOR_CHAR_WIDTH)
        + NODE_PADDING;
    let least = if leaf.kind == Kind::Task { NODE_WIDTH_LEAST } else { MANY_WIDTH };
    width.ceil().max(least)
}

/// As much of a name as a box has room for.
fn short(name: &str) -> String {
    cut_to(&cut(name, NAME_CHARS), NAME_WIDTH_MOST)
}

/// The name and the operator in a box.
fn names(dag: &Dag, leaf: &Leaf) -> (String, String) {
    match (&leaf.kind, leaf.tasks.first()) {
        (Kind::Task, Some(task)) => {
            let task = &dag.tasks[*task];
            (short(&task.task_id.0), task.operator.clone())
        }
        (Kind::Group(id), _) => (short(last_part(id)), String::new()),
        _ => (String::new(), String::new()),
    }
}

/// A group's id without those of the groups around it, in which it is drawn.
fn last_part(id: &str) -> &str {
    id.rsplit('.').next().unwrap_or(id)
}

#[cfg(test)]
mod tests;
