//! Layers, order within them, and heights: the classical steps of a layered drawing.

use super::NODE_HEIGHT;

/// Between two tasks of a layer, and between two edges that pass through it.
const TASK_GAP: f64 = 20.0;
const PASSING_GAP: f64 = 10.0;
/// More than this, with the places where long edges cross layers, is not worth a drawing.
const VERTICES_MOST: usize = 6000;
const ORDER_SWEEPS: usize = 12;
const HEIGHT_SWEEPS: usize = 24;

/// A task (the first ones), or a place where a long edge crosses a layer.
#[derive(Debug, Clone)]
pub(super) struct Vertex {
    pub(super) layer: usize,
    pub(super) y: f64,
    is_task: bool,
    before: Vec<usize>,
    after: Vec<usize>,
}

/// Where everything is.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) layers: usize,
    pub(super) height: f64,
    pub(super) vertices: Vec<Vertex>,
    /// Each edge as the vertices it passes.
    pub(super) edges: Vec<Vec<usize>>,
}

/// Places tasks, given in topological order by their upstream ones. `None`: too many.
pub(super) fn place(upstream: &[Vec<usize>]) -> Option<Places> {
    let mut vertices: Vec<Vertex> = Vec::with_capacity(upstream.len());
    for ups in upstream {
        let layer = ups.iter().map(|up| vertices[*up].layer + 1).max().unwrap_or(0);
        vertices.push(vertex(layer, true));
    }
    let mut edges = Vec::new();
    for (to, ups) in upstream.iter().enumerate() {
        for from in ups {
            edges.push(chain(&mut vertices, *from, to)?);
        }
    }
    let layers = vertices.iter().map(|vertex| vertex.layer + 1).max().unwrap_or(0);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); layers];
    for (at, vertex) in vertices.iter().enumerate() {
        rows[vertex.layer].push(at);
    }
    order(&vertices, &mut rows);
    let height = set_heights(&mut vertices, &rows);
    Some(Places { layers, height, vertices, edges })
}

fn vertex(layer: usize, is_task: bool) -> Vertex {
    Vertex { layer, y: 0.0, is_task, before: Vec::new(), after: Vec::new() }
}

/// Joins two tasks through every layer between them.
fn chain(vertices: &mut Vec<Vertex>, from: usize, to: usize) -> Option<Vec<usize>> {
    let mut chain = vec![from];
    for layer in vertices[from].layer + 1..vertices[to].layer {
        chain.push(vertices.len());
        vertices.push(vertex(layer, false));
    }
    chain.push(to);
    for pair in chain.windows(2) {
        vertices[pair[0]].after.push(pair[1]);
        vertices[pair[1]].before.push(pair[0]);
    }
    (vertices.len() <= VERTICES_MOST).then_some(chain)
}

/// Sorts each layer by where its neighbours are, to and fro.
fn order(vertices: &[Vertex], rows: &mut [Vec<usize>]) {
    let mut rank = vec![0.0; vertices.len()];
    let number = |row: &[usize], rank: &mut Vec<f64>| {
        for (at, vertex) in row.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a few thousand vertices")]
            let place = at as f64;
            rank[*vertex] = place;
        }
    };
    for row in &*rows {
        number(row, &mut rank);
    }
    for sweep in 0..ORDER_SWEEPS {
        let forward = sweep % 2 == 0;
        for step in 0..rows.len() {
            let row = if forward { step } else { rows.len() - 1 - step };
            let key = |vertex: &usize| {
                let beside = neighbours(&vertices[*vertex], forward);
                mean(beside, &rank).unwrap_or(rank[*vertex])
            };
            let mut keyed: Vec<(f64, usize)> =
                rows[row].iter().map(|vertex| (key(vertex), *vertex)).collect();
            keyed.sort_by(|left, right| left.0.total_cmp(&right.0));
            rows[row] = keyed.into_iter().map(|(_, vertex)| vertex).collect();
            number(&rows[row], &mut rank);
        }
    }
}

fn neighbours(vertex: &Vertex, before: bool) -> &[usize] {
    if before { &vertex.before } else { &vertex.after }
}

fn mean(of: &[usize], values: &[f64]) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand vertices")]
    let count = of.len() as f64;
    (!of.is_empty()).then(|| of.iter().map(|at| values[*at]).sum::<f64>() / count)
}

/// Draws each vertex towards the middle of its neighbours, in order and apart. Returns the height.
fn set_heights(vertices: &mut [Vertex], rows: &[Vec<usize>]) -> f64 {
    let mut y = vec![0.0; vertices.len()];
    for row in rows {
        let wanted = vec![0.0; row.len()];
        spread(vertices, row, &wanted, &mut y);
    }
    for sweep in 0..HEIGHT_SWEEPS {
        let forward = sweep % 2 == 0;
        for step in 0..rows.len() {
            let row = &rows[if forward { step } else { rows.len() - 1 - step }];
            let wanted: Vec<f64> = row
                .iter()
                .map(|at| mean(neighbours(&vertices[*at], forward), &y).unwrap_or(y[*at]))
                .collect();
            spread(vertices, row, &wanted, &mut y);
        }
    }
    let top = y.iter().copied().fold(f64::INFINITY, f64::min);
    let mut height: f64 = 0.0;
    for (vertex, y) in vertices.iter_mut().zip(y) {
        vertex.y = ((y - top) * 2.0).round() / 2.0;
        height = height.max(vertex.y + NODE_HEIGHT);
    }
    height
}

/// Places a layer as near as can be to what it wants: the mean of pushing down and pushing up, both
/// of which keep order and distances.
fn spread(vertices: &[Vertex], row: &[usize], wanted: &[f64], y: &mut [f64]) {
    let apart = |left: usize, right: usize| {
        let both = vertices[left].is_task && vertices[right].is_task;
        let size = if both { NODE_HEIGHT } else { f64::midpoint(NODE_HEIGHT, 0.0) };
        size + if both { TASK_GAP } else { PASSING_GAP }
    };
    let mut down = wanted.to_vec();
    for at in 1..row.len() {
        down[at] = down[at].max(down[at - 1] + apart(row[at - 1], row[at]));
    }
    let mut up = wanted.to_vec();
    for at in (0..row.len().saturating_sub(1)).rev() {
        up[at] = up[at].min(up[at + 1] - apart(row[at], row[at + 1]));
    }
    for (at, vertex) in row.iter().enumerate() {
        y[*vertex] = f64::midpoint(down[at], up[at]);
    }
}
