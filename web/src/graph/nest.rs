//! A scene drawn from the inside: an open group is laid out by itself, and is then one box of what is
//! around it. Edges from and to its boxes pass its border.

use std::collections::{BTreeMap, HashMap};

use super::drawn::{Drawn, HEADER, Line};
use super::levels::{Bundle, Child, Level, child, levels, paths};
use super::place::{Item, Link, Places, place};
use super::scene::Scene;
use super::{Frame, Label, NODE_HEIGHT, label_width};

const LAYER_GAP: f64 = 56.0;
/// Between a group's border and what edges through it lead to.
const PORT_GAP: f64 = 36.0;
/// An edge against the order is fastened so far below the middle.
const BACK_BY: f64 = 12.0;

/// Where a bundle passes the border of a group.
#[derive(Debug, Clone)]
struct Port {
    /// Its boxes inside, and on the other side.
    inside: Vec<usize>,
    beyond: Vec<usize>,
    is_back: bool,
}

/// A scene, taken apart.
struct Nest<'s> {
    widths: &'s [f64],
    /// The open groups around each box, from the outside.
    paths: Vec<Vec<usize>>,
    /// What lies in none, then what lies in each group.
    levels: Vec<Level>,
}

/// Draws a scene whose boxes want these widths. `None`: too much.
pub(super) fn draw(scene: &Scene, widths: &[f64]) -> Option<Drawn> {
    let paths = paths(scene);
    let levels = levels(scene, &paths);
    Nest { widths, paths, levels }.level(0, &[], &[])
}

/// A connection of two items of a level: of a group also through which of its ports.
struct Joint {
    from: usize,
    out: Option<usize>,
    to: usize,
    into: Option<usize>,
    left: Vec<usize>,
    right: Vec<usize>,
    label: Option<String>,
    is_back: bool,
}

/// What is to be drawn of a child.
#[derive(Default)]
struct Ports {
    ins: Vec<Port>,
    outs: Vec<Port>,
}

impl Nest<'_> {
    /// Draws what lies in a group, with the edges that pass its border.
    fn level(&self, level: usize, ins: &[Port], outs: &[Port]) -> Option<Drawn> {
        let children = &self.levels[level].children;
        let mut ports: Vec<Ports> = Vec::new();
        ports.resize_with(children.len(), Ports::default);
        let joints = self.joints(level, ins, outs, &mut ports);
        let mut inner: Vec<Option<Drawn>> = Vec::with_capacity(children.len());
        for (child, ports) in children.iter().zip(&ports) {
            inner.push(match child {
                Child::Leaf(_) => None,
                Child::Group(group) => Some(self.level(group + 1, &ports.ins, &ports.outs)?),
            });
        }
        let sizes = children.iter().zip(&inner).map(|(child, inner)| match (child, inner) {
            (Child::Leaf(leaf), _) => (self.widths[*leaf], NODE_HEIGHT),
            (Child::Group(_), None) => (0.0, 0.0),
            (Child::Group(_), Some(inner)) => inner.size(),
        });
        let sizes: Vec<(f64, f64)> = sizes.collect();
        let boxes = sizes.iter().map(|(_, height)| Item::Box { height: *height });
        let items: Vec<Item> = std::iter::repeat_n(Item::In, ins.len())
            .chain(boxes)
            .chain(std::iter::repeat_n(Item::Out, outs.len()))
            .collect();
        let by = |item: usize, port: Option<usize>, is_out: bool, is_back: bool| {
            let Some(at) = item.checked_sub(ins.len()).filter(|at| *at < children.len()) else {
                return 0.0;
            };
            match (&inner[at], port) {
                (Some(inner), Some(port)) => {
                    let passes = if is_out { &inner.outs } else { &inner.ins };
                    HEADER + passes[port] - sizes[at].1 / 2.0
                }
                _ if is_back => BACK_BY,
                _ => 0.0,
            }
        };
        let links = joints.iter().map(|it| Link {
            from: it.from,
            to: it.to,
            from_by: by(it.from, it.out, true, it.is_back),
            to_by: by(it.to, it.into, false, it.is_back),
        });
        let links: Vec<Link> = links.collect();
        let places = place(&items, &links)?;
        let columns = Columns::of(&places, &joints, children, &sizes, ins.len(), outs.len());
        let borders = (ins.len(), outs.len());
        let contents = Contents { children, inner, sizes: &sizes };
        Some(assemble(&columns, &places, &links, joints, contents, borders))
    }

    fn joints(&self, level: usize, ins: &[Port], outs: &[Port], ports: &mut [Ports]) -> Vec<Joint> {
        let Level { children, bundles } = &self.levels[level];
        let places: HashMap<Child, usize> =
            children.iter().enumerate().map(|(place, child)| (*child, place)).collect();
        let mut joints = Vec::new();
        for bundle in bundles {
            let (from, to) = (places[&bundle.from], places[&bundle.to]);
            let Bundle { left, right, is_back, .. } = bundle;
            joints.push(Joint {
                from: ins.len() + from,
                out: ports[from].leave(bundle.from, left, right, *is_back),
                to: ins.len() + to,
                into: ports[to].enter(bundle.to, right, left, *is_back),
                left: left.clone(),
                right: right.clone(),
                label: bundle.label.clone(),
                is_back: *is_back,
            });
        }
        let deep = |leaf: usize| {
            let path = &self.paths[leaf];
            path.iter().position(|group| group + 1 == level).map_or(0, |place| place + 1)
        };
        let of_children = |inside: &[usize]| {
            let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for leaf in inside {
                let child = child(&self.paths[*leaf], deep(*leaf), *leaf);
                parts.entry(places[&child]).or_default().push(*leaf);
            }
            parts
        };
        for (at, port) in ins.iter().enumerate() {
            for (to, right) in of_children(&port.inside) {
                joints.push(Joint {
                    from: at,
                    out: None,
                    to: ins.len() + to,
                    into: ports[to].enter(children[to], &right, &port.beyond, port.is_back),
                    left: port.beyond.clone(),
                    right,
                    label: None,
                    is_back: port.is_back,
                });
            }
        }
        for (at, port) in outs.iter().enumerate() {
            for (from, left) in of_children(&port.inside) {
                joints.push(Joint {
                    from: ins.len() + from,
                    out: ports[from].leave(children[from], &left, &port.beyond, port.is_back),
                    to: ins.len() + children.len() + at,
                    into: None,
                    left,
                    right: port.beyond.clone(),
                    label: None,
                    is_back: port.is_back,
                });
            }
        }
        joints
    }
}

impl Ports {
    fn enter(
        &mut self,
        of: Child,
        inside: &[usize],
        beyond: &[usize],
        is_back: bool,
    ) -> Option<usize> {
        pass(&mut self.ins, of, inside, beyond, is_back)
    }

    fn leave(
        &mut self,
        of: Child,
        inside: &[usize],
        beyond: &[usize],
        is_back: bool,
    ) -> Option<usize> {
        pass(&mut self.outs, of, inside, beyond, is_back)
    }
}

/// A group gets a port, a box needs none.
fn pass(
    ports: &mut Vec<Port>,
    of: Child,
    inside: &[usize],
    beyond: &[usize],
    is_back: bool,
) -> Option<usize> {
    let Child::Group(_) = of else { return None };
    ports.push(Port { inside: inside.to_vec(), beyond: beyond.to_vec(), is_back });
    Some(ports.len() - 1)
}

/// Where layers are.
struct Columns {
    left: Vec<f64>,
    widths: Vec<f64>,
    /// Of the boxes of a layer: all are alike.
    boxes: Vec<f64>,
}

impl Columns {
    fn of(
        places: &Places,
        joints: &[Joint],
        children: &[Child],
        sizes: &[(f64, f64)],
        ins: usize,
        outs: usize,
    ) -> Self {
        let mut boxes = vec![0.0_f64; places.layers];
        let mut widths = vec![0.0_f64; places.layers];
        for (at, (child, (width, _))) in children.iter().zip(sizes).enumerate() {
            let layer = places.vertices[ins + at].layer;
            if matches!(child, Child::Leaf(_)) {
                boxes[layer] = boxes[layer].max(*width);
            }
            widths[layer] = widths[layer].max(*width);
        }
        let mut gaps = vec![LAYER_GAP; places.layers];
        if ins > 0 {
            gaps[0] = PORT_GAP;
        }
        if outs > 0
            && let Some(last) = places.layers.checked_sub(2)
        {
            gaps[last] = PORT_GAP;
        }
        for (chain, joint) in places.chains.iter().zip(joints) {
            if let Some(label) = &joint.label {
                let gap = &mut gaps[places.vertices[chain[0]].layer];
                *gap = gap.max(label_width(label));
            }
        }
        let mut left = vec![0.0; places.layers];
        for layer in 1..places.layers {
            left[layer] = left[layer - 1] + widths[layer - 1] + gaps[layer - 1];
        }
        Self { left, widths, boxes }
    }

    fn right(&self, layer: usize) -> f64 {
        self.left[layer] + self.widths[layer]
    }
}

/// Children, what lies in those that are groups, and the width and height of each.
struct Contents<'a> {
    children: &'a [Child],
    inner: Vec<Option<Drawn>>,
    sizes: &'a [(f64, f64)],
}

/// Puts what was placed together: children with what lies in them, and sizes of both.
fn assemble(
    columns: &Columns,
    places: &Places,
    links: &[Link],
    joints: Vec<Joint>,
    contents: Contents<'_>,
    (ins, outs): (usize, usize),
) -> Drawn {
    let Contents { children, inner, sizes } = contents;
    let middle = |vertex: usize| places.vertices[vertex].middle;
    let passes = |from: usize, to: usize| (from..to).map(middle).collect::<Vec<f64>>();
    let mut drawn = Drawn {
        width: places.layers.checked_sub(1).map_or(0.0, |last| columns.right(last)),
        height: places.height,
        ins: passes(0, ins),
        outs: passes(ins + children.len(), ins + children.len() + outs),
        ..Drawn::default()
    };
    // Where edges begin at the right of a child.
    let mut ends = vec![0.0; children.len()];
    for (at, inner) in inner.into_iter().enumerate() {
        let vertex = &places.vertices[ins + at];
        let (left, top) = (columns.left[vertex.layer], vertex.middle - sizes[at].1 / 2.0);
        match (children[at], inner) {
            (Child::Group(group), Some(inner)) => {
                ends[at] = left + inner.left() + inner.width;
                let (width, height) = sizes[at];
                drawn.frames.push((group, Frame { x: left, y: top, width, height }));
                drawn.take(inner, left, top + HEADER);
            }
            (Child::Leaf(leaf), _) => {
                let width = columns.boxes[vertex.layer];
                ends[at] = left + width;
                drawn.boxes.push((leaf, left, top, width));
            }
            (Child::Group(_), None) => {}
        }
    }
    for ((chain, link), joint) in places.chains.iter().zip(links).zip(joints) {
        let last = chain.len() - 2;
        let curve = |(step, pair): (usize, &[usize])| {
            let (from, to) = (pair[0], pair[1]);
            let from_by = if step == 0 { link.from_by } else { 0.0 };
            let to_by = if step == last { link.to_by } else { 0.0 };
            [
                columns.right(places.vertices[from].layer),
                middle(from) + from_by,
                columns.left[places.vertices[to].layer],
                middle(to) + to_by,
            ]
        };
        let curves: Vec<[f64; 4]> = chain.windows(2).enumerate().map(curve).collect();
        let end = chain[0].checked_sub(ins).and_then(|at| ends.get(at)).copied();
        let label = joint.label.zip(curves.first()).map(|(whole, [x1, y1, x2, y2])| {
            Label::at(whole, f64::midpoint(*x1, *x2), f64::midpoint(*y1, *y2))
        });
        let Joint { left, right, is_back, .. } = joint;
        let start = end.or_else(|| curves.first().map(|it| it[0])).unwrap_or_default();
        drawn.lines.push(Line { left, right, is_back, label, start, curves });
    }
    drawn
}
