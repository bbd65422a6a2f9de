//! What is drawn: boxes, frames of groups and edges, with their places.

use super::{Edge, Frame, GROUP_WIDTH_LEAST, Label};

const PADDING: f64 = 16.0;
/// Room for a group's name above what lies in it.
pub(super) const HEADER: f64 = 34.0;

/// Where boxes, groups and edges are.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    pub(super) width: f64,
    pub(super) height: f64,
    /// Each box, as its place in the scene, its upper left corner, and its width.
    pub(super) boxes: Vec<(usize, f64, f64, f64)>,
    pub(super) frames: Vec<(usize, Frame)>,
    pub(super) lines: Vec<Line>,
    /// The heights at which edges pass the left border, and the right one.
    pub(super) ins: Vec<f64>,
    pub(super) outs: Vec<f64>,
}

/// A part of an edge: between two boxes, or a box and the border of its group.
#[derive(Debug)]
pub(super) struct Line {
    /// The boxes that it leads from, and to, in the order of the drawing.
    pub(super) left: Vec<usize>,
    pub(super) right: Vec<usize>,
    pub(super) is_back: bool,
    pub(super) label: Option<Label>,
    pub(super) start: f64,
    /// From here to there.
    pub(super) curves: Vec<[f64; 4]>,
}

impl Drawn {
    /// Takes the edges out.
    pub(super) fn edges(&mut self) -> Vec<Edge> {
        std::mem::take(&mut self.lines).into_iter().map(Line::edge).collect()
    }

    /// Where its left border is within its frame: edges reach the frame itself.
    pub(super) fn left(&self) -> f64 {
        if self.ins.is_empty() { PADDING } else { 0.0 }
    }

    /// The width and height of its frame, which has room for the group's name.
    pub(super) fn size(&self) -> (f64, f64) {
        let right = if self.outs.is_empty() { PADDING } else { 0.0 };
        let width = (self.left() + self.width + right).max(GROUP_WIDTH_LEAST);
        (width, HEADER + self.height + PADDING)
    }

    /// Takes what lies in a group, whose upper left corner is here.
    pub(super) fn take(&mut self, inner: Self, x: f64, y: f64) {
        let x = x + inner.left();
        let boxes = inner.boxes.into_iter();
        self.boxes.extend(boxes.map(|(leaf, left, top, width)| (leaf, left + x, top + y, width)));
        let frames = inner.frames.into_iter();
        self.frames
            .extend(frames.map(|(group, it)| (group, Frame { x: it.x + x, y: it.y + y, ..it })));
        self.lines.extend(inner.lines.into_iter().map(|line| line.moved(x, y)));
    }
}

impl Line {
    fn moved(mut self, x: f64, y: f64) -> Self {
        self.start += x;
        for [x1, y1, x2, y2] in &mut self.curves {
            (*x1, *y1, *x2, *y2) = (*x1 + x, *y1 + y, *x2 + x, *y2 + y);
        }
        if let Some(label) = &mut self.label {
            (label.x, label.y) = (label.x + x, label.y + y);
        }
        self
    }

    fn edge(self) -> Edge {
        let mut path = String::new();
        for (step, [x1, y1, x2, y2]) in self.curves.iter().enumerate() {
            if step == 0 {
                path.push_str(&format!("M{:.0} {y1:.1}", self.start));
            }
            // To the end of a box's layer, and straight through a layer that a long edge crosses.
            if step > 0 || self.start < *x1 {
                path.push_str(&format!("H{x1:.0}"));
            }
            let half = f64::midpoint(*x1, *x2);
            path.push_str(&format!("C{half:.0} {y1:.1} {half:.0} {y2:.1} {x2:.0} {y2:.1}"));
        }
        let (from, to) =
            if self.is_back { (self.right, self.left) } else { (self.left, self.right) };
        Edge { from, to, path, label: self.label, is_back: self.is_back }
    }
}
