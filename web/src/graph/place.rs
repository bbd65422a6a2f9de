//! Layers, order within them, and heights: the classical steps of a layered drawing.

/// Between two boxes of a layer, between a box and an edge that passes, and between two such edges.
const BOX_GAP: f64 = 20.0;
const PASSING_GAP: f64 = 10.0;
const EDGE_GAP: f64 = 24.0;
/// More than this, with the places where long edges cross layers, is not worth a drawing.
const VERTICES_MOST: usize = 6000;
const ORDER_SWEEPS: usize = 12;
const HEIGHT_SWEEPS: usize = 24;

/// What is to be placed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Item {
    /// Where edges come in, at the left border; before all boxes.
    In,
    Box {
        height: f64,
    },
    /// Where edges go out, at the right border; after all boxes.
    Out,
}

/// An edge between two items, the first of which comes first; it is fastened so far below the middle of
/// each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) from_by: f64,
    pub(super) to_by: f64,
}

/// An item (the first ones), or a place where a long edge crosses a layer.
#[derive(Debug, Clone)]
pub(super) struct Vertex {
    pub(super) layer: usize,
    pub(super) middle: f64,
    half: f64,
    is_box: bool,
    before: Vec<Beside>,
    after: Vec<Beside>,
}

/// The other end of an edge.
#[derive(Debug, Clone, Copy)]
struct Beside {
    vertex: usize,
    /// How far below its middle this vertex is when the edge is straight.
    shift: f64,
    /// The same as a part of a place among others.
    tilt: f64,
}

/// Where everything is.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) layers: usize,
    pub(super) height: f64,
    pub(super) vertices: Vec<Vertex>,
    /// Each link as the vertices it passes.
    pub(super) chains: Vec<Vec<usize>>,
}

/// Places items. `None`: too many.
pub(super) fn place(items: &[Item], links: &[Link]) -> Option<Places> {
    let mut upstream: Vec<Vec<usize>> = vec![Vec::new(); items.len()];
    for link in links {
        upstream[link.to].push(link.from);
    }
    let first = usize::from(items.contains(&Item::In));
    let mut end = first;
    let mut vertices: Vec<Vertex> = Vec::with_capacity(items.len());
    for (item, ups) in items.iter().zip(&upstream) {
        vertices.push(match item {
            Item::In => vertex(0, None),
            Item::Out => vertex(end, None),
            Item::Box { height } => {
                let after = ups.iter().map(|up| vertices[*up].layer + 1).max().unwrap_or(0);
                let layer = after.max(first);
                end = end.max(layer + 1);
                vertex(layer, Some(*height))
            }
        });
    }
    let mut chains = Vec::with_capacity(links.len());
    for link in links {
        chains.push(chain(&mut vertices, link)?);
    }
    let layers = vertices.iter().map(|vertex| vertex.layer + 1).max().unwrap_or(0);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); layers];
    for (at, vertex) in vertices.iter().enumerate() {
        rows[vertex.layer].push(at);
    }
    order(&vertices, &mut rows);
    let height = set_heights(&mut vertices, &rows);
    Some(Places { layers, height, vertices, chains })
}

/// A box of this height, or where an edge passes.
fn vertex(layer: usize, height: Option<f64>) -> Vertex {
    Vertex {
        layer,
        middle: 0.0,
        half: height.unwrap_or(0.0) / 2.0,
        is_box: height.is_some(),
        before: Vec::new(),
        after: Vec::new(),
    }
}

/// Joins two items through every layer between them.
fn chain(vertices: &mut Vec<Vertex>, link: &Link) -> Option<Vec<usize>> {
    let mut chain = vec![link.from];
    for layer in vertices[link.from].layer + 1..vertices[link.to].layer {
        chain.push(vertices.len());
        vertices.push(vertex(layer, None));
    }
    chain.push(link.to);
    let last = chain.len() - 2;
    for (step, pair) in chain.windows(2).enumerate() {
        let (from, to) = (pair[0], pair[1]);
        let from_by = if step == 0 { link.from_by } else { 0.0 };
        let to_by = if step == last { link.to_by } else { 0.0 };
        let tilt = |by: f64, of: usize| by / (4.0 * vertices[of].half + 1.0);
        let (from_tilt, to_tilt) = (tilt(from_by, from), tilt(to_by, to));
        let shift = from_by - to_by;
        vertices[from].after.push(Beside { vertex: to, shift: -shift, tilt: to_tilt });
        vertices[to].before.push(Beside { vertex: from, shift, tilt: from_tilt });
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
                mean(beside, |it| rank[it.vertex] + it.tilt).unwrap_or(rank[*vertex])
            };
            let mut keyed: Vec<(f64, usize)> =
                rows[row].iter().map(|vertex| (key(vertex), *vertex)).collect();
            keyed.sort_by(|left, right| left.0.total_cmp(&right.0));
            rows[row] = keyed.into_iter().map(|(_, vertex)| vertex).collect();
            number(&rows[row], &mut rank);
        }
    }
}

fn neighbours(vertex: &Vertex, before: bool) -> &[Beside] {
    if before { &vertex.before } else { &vertex.after }
}

fn mean(of: &[Beside], value: impl Fn(&Beside) -> f64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand vertices")]
    let count = of.len() as f64;
    (!of.is_empty()).then(|| of.iter().map(value).sum::<f64>() / count)
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
                .map(|at| {
                    let beside = neighbours(&vertices[*at], forward);
                    mean(beside, |it| y[it.vertex] + it.shift).unwrap_or(y[*at])
                })
                .collect();
            spread(vertices, row, &wanted, &mut y);
        }
    }
    let tops = vertices.iter().zip(&y).map(|(vertex, y)| y - vertex.half);
    let top = tops.fold(f64::INFINITY, f64::min);
    let mut height: f64 = 0.0;
    for (vertex, y) in vertices.iter_mut().zip(y) {
        vertex.middle = ((y - vertex.half - top) * 2.0).round() / 2.0 + vertex.half;
        height = height.max(vertex.middle + vertex.half);
    }
    height
}

/// Places a layer as near as can be to what it wants: the mean of pushing down and pushing up, both
/// of which keep order and distances.
fn spread(vertices: &[Vertex], row: &[usize], wanted: &[f64], y: &mut [f64]) {
    let apart = |left: usize, right: usize| {
        let (left, right) = (&vertices[left], &vertices[right]);
        let gap = match (left.is_box, right.is_box) {
            (true, true) => BOX_GAP,
            (false, false) => EDGE_GAP,
            _ => PASSING_GAP,
        };
        left.half + gap + right.half
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
