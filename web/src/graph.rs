//! A DAG's graph, laid out in layers from left to right: tasks in the layer after their last
//! upstream, ordered so that few edges cross.

use std::collections::HashMap;

use subak_core::dag::model::Dag;

use crate::format::cut;

mod place;
mod view;

pub use view::GraphView;

/// Larger graphs are not drawn: nobody could read them.
const TASKS_MOST: usize = 300;
/// The name in a node is cut at this many characters.
const NAME_CHARS: usize = 26;

pub(crate) const NODE_HEIGHT: f64 = 46.0;
const NODE_WIDTH_LEAST: f64 = 116.0;
/// Of the name, and of the operator below it: as wide as the widest of the usual fonts.
const NAME_CHAR_WIDTH: f64 = 8.4;
const OPERATOR_CHAR_WIDTH: f64 = 6.7;
const NODE_PADDING: f64 = 48.0;
const LAYER_GAP: f64 = 56.0;
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
    pub edges: Vec<Edge>,
    /// The graph has too many tasks to be drawn.
    pub is_too_large: bool,
}

/// A task's box.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub task_id: String,
    /// As much of the id as fits.
    pub name: String,
    pub operator: String,
    pub x: f64,
    pub y: f64,
    pub width: f64,
}

/// An arrow.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    pub from: String,
    pub to: String,
    /// SVG path.
    pub path: String,
    pub label: Option<Label>,
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

/// Lays a DAG out.
#[must_use]
pub fn layout(dag: &Dag) -> Layout {
    if dag.tasks.len() > TASKS_MOST {
        return Layout { is_too_large: true, ..Layout::default() };
    }
    let numbers: HashMap<_, _> =
        dag.tasks.iter().enumerate().map(|(at, task)| (&task.task_id, at)).collect();
    let upstream: Vec<Vec<usize>> = dag
        .tasks
        .iter()
        .map(|task| task.upstream.iter().filter_map(|up| numbers.get(up).copied()).collect())
        .collect();
    let Some(places) = place::place(&upstream) else {
        return Layout { is_too_large: true, ..Layout::default() };
    };
    draw(dag, &places)
}

fn draw(dag: &Dag, places: &place::Places) -> Layout {
    let names: Vec<String> =
        dag.tasks.iter().map(|task| cut(&task.task_id.0, NAME_CHARS)).collect();
    let mut widths = vec![NODE_WIDTH_LEAST; places.layers];
    for (task, name) in names.iter().enumerate() {
        let layer = places.vertices[task].layer;
        #[expect(clippy::cast_precision_loss, reason = "a name is cut short")]
        let width = (name.chars().count() as f64 * NAME_CHAR_WIDTH)
            .max(dag.tasks[task].operator.chars().count() as f64 * OPERATOR_CHAR_WIDTH)
            + NODE_PADDING;
        widths[layer] = widths[layer].max(width.ceil());
    }
    let mut gaps = vec![LAYER_GAP; places.layers];
    for chain in &places.edges {
        if let Some(label) = label(dag, chain) {
            let chars = u32::try_from(label.chars().count().min(LABEL_CHARS)).unwrap_or(0);
            let gap = &mut gaps[places.vertices[chain[0]].layer];
            *gap = gap.max(f64::from(chars) * LABEL_CHAR_WIDTH + LABEL_PADDING);
        }
    }
    let mut left = vec![0.0; places.layers];
    for layer in 1..places.layers {
        left[layer] = left[layer - 1] + widths[layer - 1] + gaps[layer - 1];
    }
    let right = |layer: usize| left[layer] + widths[layer];
    let middle = |vertex: usize| places.vertices[vertex].y + NODE_HEIGHT / 2.0;

    let nodes = dag.tasks.iter().zip(names).enumerate().map(|(at, (task, name))| {
        let vertex = &places.vertices[at];
        Node {
            task_id: task.task_id.0.clone(),
            name,
            operator: task.operator.clone(),
            x: left[vertex.layer],
            y: vertex.y,
            width: widths[vertex.layer],
        }
    });
    let edges = places.edges.iter().map(|chain| {
        let mut path = String::new();
        for (step, pair) in chain.windows(2).enumerate() {
            let (from, to) = (pair[0], pair[1]);
            let (x1, x2) = (right(places.vertices[from].layer), left[places.vertices[to].layer]);
            if step == 0 {
                path.push_str(&format!("M{x1:.0} {:.1}", middle(from)));
            } else {
                // Straight through the layer that a long edge crosses.
                path.push_str(&format!("H{x1:.0}"));
            }
            let half = f64::midpoint(x1, x2);
            let (y1, y2) = (middle(from), middle(to));
            path.push_str(&format!("C{half:.0} {y1:.1} {half:.0} {y2:.1} {x2:.0} {y2:.1}"));
        }
        let (from, to) = (chain[0], chain[chain.len() - 1]);
        let label = label(dag, chain).map(|whole| Label {
            text: cut(whole, LABEL_CHARS),
            whole: whole.to_owned(),
            x: f64::midpoint(
                right(places.vertices[from].layer),
                left[places.vertices[chain[1]].layer],
            ),
            y: f64::midpoint(middle(from), middle(chain[1])),
        });
        let id = |task: usize| dag.tasks[task].task_id.0.clone();
        Edge { from: id(from), to: id(to), path, label }
    });
    Layout {
        width: places.layers.checked_sub(1).map_or(0.0, right),
        height: places.height,
        nodes: nodes.collect(),
        edges: edges.collect(),
        is_too_large: false,
    }
}

/// What a branch writes on its edge to a task.
fn label<'d>(dag: &'d Dag, chain: &[usize]) -> Option<&'d str> {
    let from = &dag.tasks[*chain.first()?];
    let labels = from.with.get("labels").filter(|_| from.operator == "branch")?;
    labels.get(&dag.tasks[*chain.last()?].task_id.0)?.as_str()
}

#[cfg(test)]
mod tests;
