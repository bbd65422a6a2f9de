//! A graph with the states of a run, as markup.

use std::collections::{BTreeMap, HashMap};

use askama::Template;
use subak_core::state::TaskState;

use super::{Label, Layout, NODE_HEIGHT};
use crate::badge::{Badge, icon};
use crate::text::Text;

/// Space around the drawing, for lines and shadows.
const MARGIN: f64 = 6.0;

/// Where texts of a box begin.
const TEXT_X: u32 = 14;
const TEXT_X_BESIDE_ICON: u32 = 32;

/// Puts an icon where a box has it.
fn placed(icon: &str) -> String {
    icon.replacen("<svg ", "<svg x=\"11\" y=\"9\" ", 1)
}

/// A graph to be shown.
#[derive(Debug, Clone, Template)]
#[template(path = "graph.html")]
pub struct GraphView {
    t: &'static Text,
    /// Where the tasks of a graph are that is too large to be drawn.
    instead: Option<&'static str>,
    width: String,
    height: String,
    nodes: Vec<NodeView>,
    edges: Vec<EdgeView>,
}

#[derive(Debug, Clone)]
struct NodeView {
    id: String,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    name: String,
    operator: String,
    title: String,
    class: &'static str,
    /// The state's sign, placed; empty without a run.
    icon: String,
    text_x: u32,
    href: Option<String>,
}

#[derive(Debug, Clone)]
struct EdgeView {
    path: String,
    class: &'static str,
    label: Option<Label>,
}

impl GraphView {
    /// Shows a version without a run.
    #[must_use]
    pub fn plain(layout: &Layout, t: &'static Text) -> Self {
        Self::new(layout, t, t.graph_too_large_dag, |_| ("", None), |_| None)
    }

    /// Shows a version as a run has it that may be of another one: tasks that the run does not have are
    /// without a state and a link.
    #[must_use]
    pub fn of_newest(
        layout: &Layout,
        states: &BTreeMap<String, Option<TaskState>>,
        href: impl Fn(&str) -> String,
        t: &'static Text,
    ) -> Self {
        let state = |id: &str| match states.get(id) {
            Some(state) => {
                let badge = Badge::task(*state, t);
                (badge.class, Some(badge.label))
            }
            None => ("", None),
        };
        let href = |id: &str| states.contains_key(id).then(|| href(id));
        Self::new(layout, t, t.graph_too_large_dag, state, href)
    }

    /// Shows a run: each task in its state's colour, with a link to its page.
    #[must_use]
    pub fn of_run(
        layout: &Layout,
        states: &HashMap<String, Option<TaskState>>,
        href: impl Fn(&str) -> String,
        t: &'static Text,
    ) -> Self {
        let state = |id: &str| {
            let badge = Badge::task(states.get(id).copied().flatten(), t);
            (badge.class, Some(badge.label))
        };
        Self::new(layout, t, t.graph_too_large, state, |id| Some(href(id)))
    }

    fn new(
        layout: &Layout,
        t: &'static Text,
        instead: &'static str,
        state: impl Fn(&str) -> (&'static str, Option<&'static str>),
        href: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let nodes = layout.nodes.iter().map(|node| {
            let (class, label) = state(&node.task_id);
            let label = label.map(|label| format!(" · {label}")).unwrap_or_default();
            NodeView {
                id: node.task_id.clone(),
                x: node.x + MARGIN,
                y: node.y + MARGIN,
                width: node.width,
                height: NODE_HEIGHT,
                name: node.name.clone(),
                operator: node.operator.clone(),
                title: format!("{} · {}{label}", node.task_id, node.operator),
                class,
                icon: if class.is_empty() { String::new() } else { placed(icon(class)) },
                text_x: if class.is_empty() { TEXT_X } else { TEXT_X_BESIDE_ICON },
                href: href(&node.task_id),
            }
        });
        let edges = layout.edges.iter().map(|edge| EdgeView {
            path: edge.path.clone(),
            class: state(&edge.from).0,
            label: edge.label.clone(),
        });
        Self {
            t,
            instead: layout.is_too_large.then_some(instead),
            width: format!("{:.0}", layout.width + 2.0 * MARGIN),
            height: format!("{:.0}", layout.height + 2.0 * MARGIN),
            nodes: nodes.collect(),
            edges: edges.collect(),
        }
    }

    /// Returns its markup.
    #[must_use]
    pub fn markup(&self) -> String {
        crate::render(self)
    }
}
