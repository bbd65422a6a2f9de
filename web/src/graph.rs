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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    pub from: String,
    pub to: String,
    /// SVG path.
    pub path: String,
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
    let mut left = vec![0.0; places.layers];
    for layer in 1..places.layers {
        left[layer] = left[layer - 1] + widths[layer - 1] + LAYER_GAP;
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
        Edge { from: dag.tasks[from].task_id.0.clone(), to: dag.tasks[to].task_id.0.clone(), path }
    });
    Layout {
        width: places.layers.checked_sub(1).map_or(0.0, right),
        height: places.height,
        nodes: nodes.collect(),
        edges: edges.collect(),
        is_too_large: false,
    }
}

#[cfg(test)]
mod tests;
