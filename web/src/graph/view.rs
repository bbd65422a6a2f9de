//! A graph with the states of a run, as markup.

use askama::Template;
use subak_core::state::TaskState;

use super::sight::DEPTHS;
use super::{Frame, Kind, Label, Layout, NODE_HEIGHT, Node, Shown, Sight, scene};
use crate::badge::{Badge, icon};
use crate::format::count;
use crate::run::{Progress, ProgressPart};
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

/// Where a graph leads.
pub struct Links<'l> {
    /// The page of a task; `None`: there is none.
    pub task: &'l dyn Fn(&str) -> Option<String>,
    /// The page that the graph is on, when this is chosen.
    pub here: &'l dyn Fn(&Sight) -> String,
    /// The same without what is chosen.
    pub page: &'l str,
}

/// A graph to be shown.
#[derive(Debug, Clone, Template)]
#[template(path = "graph.html")]
pub struct GraphView {
    t: &'static Text,
    width: String,
    height: String,
    nodes: Vec<NodeView>,
    groups: Vec<GroupView>,
    edges: Vec<EdgeView>,
    /// How a task is looked for; of a small graph nobody needs it.
    find: Option<Find>,
    /// What else is to be said: what is not drawn.
    notes: Vec<String>,
}

#[derive(Debug, Clone)]
struct NodeView {
    /// Of the element.
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
    /// The others are shown around it.
    is_centre: bool,
    /// It is unfolded by a click.
    is_folded: bool,
    /// How many tasks are in which state; of a task nothing.
    bar: Vec<Part>,
    more: Option<More>,
}

/// A part of the bar in a box.
#[derive(Debug, Clone)]
struct Part {
    class: &'static str,
    x: String,
    width: String,
}

/// The way to tasks beside a box that are not drawn.
#[derive(Debug, Clone)]
struct More {
    href: String,
    text: String,
    title: String,
    x: f64,
}

#[derive(Debug, Clone)]
struct GroupView {
    id: String,
    name: String,
    title: String,
    frame: Frame,
    href: String,
}

#[derive(Debug, Clone)]
struct EdgeView {
    path: String,
    class: String,
    label: Option<Label>,
}

/// How a task is looked for.
#[derive(Debug, Clone)]
struct Find {
    action: String,
    word: String,
    /// What is shown.
    said: String,
    /// The whole graph, where a part is shown.
    whole: Option<String>,
    /// How many steps are shown: the number, its address, and whether it is this one.
    depths: Vec<(usize, String, bool)>,
    /// How many tasks may be meant.
    note: Option<String>,
    /// The first of them.
    found: Vec<(String, String)>,
}

/// What is known of the tasks of a box.
struct States {
    badge: Option<Badge>,
    /// By state, what is counted.
    parts: Vec<ProgressPart>,
}

impl GraphView {
    /// Shows what is chosen of a version; `state` is a task's in a run that may be of another version,
    /// `None`: the run does not have it, or there is no run.
    #[must_use]
    pub fn new(
        layout: &Layout,
        state: impl Fn(&str) -> Option<Option<TaskState>>,
        links: &Links<'_>,
        t: &'static Text,
    ) -> Self {
        let states: Vec<States> =
            layout.nodes.iter().map(|node| States::of(node, &state, t)).collect();
        let nodes = layout.nodes.iter().zip(&states).enumerate();
        let nodes = nodes.map(|(at, (node, known))| {
            let worst = worst(node, &state);
            NodeView::new(at, node, known, &worst, layout, links, t)
        });
        let edges = layout.edges.iter().map(|edge| {
            let mut classes =
                edge.from.iter().map(|at| states[*at].badge.map_or("", |it| it.class));
            let first = classes.next().unwrap_or_default();
            let class = if classes.all(|class| class == first) { first } else { "" };
            let class = if edge.is_back { format!("{class} back") } else { class.to_owned() };
            EdgeView { path: edge.path.clone(), class, label: edge.label.clone() }
        });
        let groups = layout.groups.iter().map(|group| GroupView {
            id: group.id.clone(),
            name: group.name.clone(),
            title: t.fill(t.graph_fold, &group.id),
            frame: Frame { x: group.frame.x + MARGIN, y: group.frame.y + MARGIN, ..group.frame },
            href: (links.here)(&layout.sight.turn(&group.id)),
        });
        Self {
            t,
            width: format!("{:.0}", layout.width + 2.0 * MARGIN),
            height: format!("{:.0}", layout.height + 2.0 * MARGIN),
            nodes: nodes.collect(),
            groups: groups.collect(),
            edges: edges.collect(),
            find: find(layout, links, t),
            notes: notes(layout, t),
        }
    }

    /// Returns its markup.
    #[must_use]
    pub fn markup(&self) -> String {
        crate::render(self)
    }
}

impl States {
    fn of(
        node: &Node,
        state: impl Fn(&str) -> Option<Option<TaskState>>,
        t: &'static Text,
    ) -> Self {
        let known: Vec<Option<TaskState>> =
            node.task_ids.iter().filter_map(|id| state(id)).collect();
        let worst = known.iter().copied().min_by_key(|state| Badge::trouble(*state));
        let badge = worst.map(|state| Badge::task(state, t));
        let parts = match node.kind {
            Kind::Task => Vec::new(),
            _ => {
                let badges: Vec<Badge> = known.iter().map(|it| Badge::task(*it, t)).collect();
                Progress::of(&badges, 0, t).parts
            }
        };
        Self { badge, parts }
    }

    /// "2 failed, 118 success".
    fn words(&self) -> String {
        let words = self.parts.iter().map(|part| format!("{} {}", part.count, part.label));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// The task of a box that is worst off.
fn worst(node: &Node, state: impl Fn(&str) -> Option<Option<TaskState>>) -> String {
    let worst = node.task_ids.iter().min_by_key(|id| state(id).map_or(u8::MAX, Badge::trouble));
    worst.cloned().unwrap_or_default()
}

impl NodeView {
    fn new(
        at: usize,
        node: &Node,
        states: &States,
        worst: &str,
        layout: &Layout,
        links: &Links<'_>,
        t: &'static Text,
    ) -> Self {
        let tasks = t.fill(t.graph_tasks, count(node.task_ids.len() as u64));
        let around = |id: &str| (links.here)(&layout.sight.at(id));
        let is_around = matches!(layout.shown, Shown::Around { .. });
        let (id, name, operator, whole, href) = match &node.kind {
            Kind::Task => {
                let href = (links.task)(worst).or_else(|| is_around.then(|| around(worst)));
                let operator = node.operator.clone();
                (format!("node-{worst}"), node.name.clone(), operator, worst.to_owned(), href)
            }
            Kind::Group(id) => {
                let href = (links.here)(&layout.sight.turn(id));
                (format!("group-{id}"), node.name.clone(), tasks, id.clone(), Some(href))
            }
            Kind::Layers { first, last } => {
                let name = if first == last {
                    t.fill(t.graph_layer, first)
                } else {
                    t.fill(t.graph_layers, format!("{first}–{last}"))
                };
                (format!("layer-{at}"), name.clone(), tasks, name, Some(around(worst)))
            }
        };
        let said = match node.kind {
            Kind::Task => states.badge.map(|badge| badge.label.to_owned()).unwrap_or_default(),
            _ => states.words(),
        };
        let said = if said.is_empty() { said } else { format!(" · {said}") };
        let class = states.badge.map_or("", |badge| badge.class);
        let is_centre = matches!(&layout.shown, Shown::Around { task_id, .. } if task_id == worst);
        let more = (node.more > 0).then(|| More {
            href: around(worst),
            text: format!("+{}", node.more),
            title: t.fill(t.graph_more, node.more),
            x: node.x + MARGIN + node.width - 10.0,
        });
        Self {
            id,
            x: node.x + MARGIN,
            y: node.y + MARGIN,
            width: node.width,
            height: NODE_HEIGHT,
            title: format!("{whole} · {operator}{said}"),
            name,
            operator,
            class,
            icon: if class.is_empty() { String::new() } else { placed(icon(class)) },
            text_x: if class.is_empty() { TEXT_X } else { TEXT_X_BESIDE_ICON },
            href,
            is_centre,
            is_folded: matches!(node.kind, Kind::Group(_)),
            bar: states.parts.iter().map(|part| Part::new(part, node.width)).collect(),
            more,
        }
    }
}

impl Part {
    /// Within a box of this width, below its texts.
    fn new(part: &ProgressPart, width: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "1000 at most")]
        let scale = |of: usize| of as f64 * (width - 2.0 * f64::from(TEXT_X)) / 1000.0;
        let x = scale(part.x) + f64::from(TEXT_X);
        // A sliver is seen, too.
        let width = scale(part.width).max(2.0);
        Self { class: part.class, x: format!("{x:.1}"), width: format!("{width:.1}") }
    }
}

/// How a task of a graph is looked for that nobody sees at a glance.
fn find(layout: &Layout, links: &Links<'_>, t: &'static Text) -> Option<Find> {
    let is_part = layout.shown != Shown::Whole { stays_folded: false } || layout.found.is_some();
    if layout.tasks <= scene::FOLDED_FROM && !is_part {
        return None;
    }
    let tasks = count(layout.tasks as u64);
    let (word, said) = match &layout.shown {
        Shown::Around { task_id, .. } => {
            let shown = t.fill(t.graph_around, layout.nodes.len());
            (task_id.clone(), t.fill(&shown, tasks))
        }
        Shown::Layers => (String::new(), t.fill(t.graph_of_layers, tasks)),
        Shown::Whole { .. } => (String::new(), t.fill(t.graph_tasks, tasks)),
    };
    let depth = layout.sight.depth();
    let depths = match &layout.shown {
        Shown::Around { task_id, .. } => {
            let here = |steps: usize| (links.here)(&Sight::around(task_id, steps));
            DEPTHS.into_iter().map(|steps| (steps, here(steps), steps == depth)).collect()
        }
        _ => Vec::new(),
    };
    let found = layout.found.iter().flat_map(|found| &found.task_ids);
    let found = found.map(|id| (id.clone(), (links.here)(&Sight::read("", id, None))));
    let note = layout.found.as_ref().map(|found| match found.total {
        0 => t.fill(t.graph_found_none, &found.word),
        total => t.fill(&t.fill(t.graph_found, total), &found.word),
    });
    Some(Find {
        note,
        action: links.page.to_owned(),
        word: layout.found.as_ref().map_or(word, |found| found.word.clone()),
        said,
        whole: (!depths.is_empty()).then(|| (links.here)(&Sight::default())),
        depths,
        found: found.collect(),
    })
}

/// Says what is not drawn.
fn notes(layout: &Layout, t: &'static Text) -> Vec<String> {
    let mut notes = Vec::new();
    match &layout.shown {
        Shown::Whole { stays_folded: true } => notes.push(t.graph_stays_folded.to_owned()),
        Shown::Around { left_out, .. } if *left_out > 0 => {
            notes.push(t.fill(t.graph_left_out, left_out));
        }
        Shown::Layers => notes.push(t.graph_layers_why.to_owned()),
        _ => {}
    }
    notes
}
