//! Which boxes a graph has: tasks, folded groups or layers, and the groups that are open around them.

use std::collections::{BTreeMap, HashMap, HashSet};

use subak_core::dag::model::Dag;

use super::{Kind, Sight};

/// More boxes are not drawn: nobody could read them.
pub(super) const BOXES_MOST: usize = 300;
/// And not more edges.
const EDGES_MOST: usize = 3000;
/// Groups of a graph with more tasks are folded at first.
pub(super) const FOLDED_FROM: usize = 60;
/// Groups that lie deeper in each other stay folded.
const DEEP_MOST: usize = 12;
/// Boxes of layers: of a longer graph each stands for several.
const LAYERS_MOST: usize = 40;

/// What is drawn as one box.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) kind: Kind,
    /// Places of its tasks in the DAG.
    pub(super) tasks: Vec<usize>,
    /// The open group that it lies in.
    pub(super) group: Option<usize>,
    /// Tasks beside it that are not drawn.
    pub(super) more: usize,
}

/// A group that is open.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) id: String,
    pub(super) parent: Option<usize>,
}

/// What comes before what; several edges of the DAG may be one.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) from: usize,
    pub(super) to: usize,
    /// What is written on all of them.
    pub(super) label: Option<String>,
}

/// Boxes and edges without places.
#[derive(Debug, Clone, Default)]
pub(super) struct Scene {
    /// In the order of the DAG.
    pub(super) leaves: Vec<Leaf>,
    /// Outer ones first.
    pub(super) groups: Vec<Open>,
    pub(super) ways: Vec<Way>,
    /// There are groups that stay folded though they were to be open.
    pub(super) stays_folded: bool,
    /// Tasks that are near enough, but too many.
    pub(super) left_out: usize,
}

/// The groups of a DAG that have tasks.
struct Groups<'d> {
    ids: Vec<&'d str>,
    parents: Vec<Option<usize>>,
    /// Tasks and groups right in it.
    inner: Vec<usize>,
    /// Of each task.
    of_task: Vec<Option<usize>>,
}

impl<'d> Groups<'d> {
    fn of(dag: &'d Dag) -> Self {
        let named = dag.tasks.iter().filter_map(|task| task.task_group.as_deref());
        let known: HashSet<&str> =
            named.clone().chain(dag.task_groups.keys().map(String::as_str)).collect();
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        for group in named {
            let mut next = Some(group);
            while let Some(group) = next.filter(|group| !numbers.contains_key(group)) {
                numbers.insert(group, 0);
                next = outer(group, &known);
            }
        }
        let ids: Vec<&str> = numbers.keys().copied().collect();
        numbers.values_mut().enumerate().for_each(|(at, number)| *number = at);
        let parents: Vec<Option<usize>> =
            ids.iter().map(|id| Some(numbers[outer(id, &known)?])).collect();
        let of_task: Vec<Option<usize>> =
            dag.tasks.iter().map(|task| Some(numbers[task.task_group.as_deref()?])).collect();
        let mut inner = vec![0; ids.len()];
        for around in parents.iter().chain(&of_task).flatten() {
            inner[*around] += 1;
        }
        Self { ids, parents, inner, of_task }
    }
}

/// The group right around a group.
fn outer<'d>(group: &'d str, known: &HashSet<&str>) -> Option<&'d str> {
    let mut outer = group.rmatch_indices('.').map(|(at, _)| &group[..at]);
    outer.find(|outer| known.contains(outer))
}

/// All tasks, those of folded groups as one box. `None`: too much.
pub(super) fn whole(dag: &Dag, upstream: &[Vec<usize>], sight: &Sight) -> Option<Scene> {
    let groups = Groups::of(dag);
    let is_folded_first = dag.tasks.len() > FOLDED_FROM;
    let top = groups.of_task.iter().chain(&groups.parents).filter(|it| it.is_none());
    let mut boxes = top.count();
    let mut scene = Scene::default();
    // Of each group: its place among the open ones, how deep it lies, and what it is hidden in.
    let mut open: Vec<Option<usize>> = vec![None; groups.ids.len()];
    let mut depths = vec![1; groups.ids.len()];
    let mut hidden: Vec<Option<usize>> = vec![None; groups.ids.len()];
    for (at, id) in groups.ids.iter().enumerate() {
        let parent = groups.parents[at];
        if let Some(around) = parent {
            depths[at] = depths[around] + 1;
            hidden[at] = hidden[around];
        }
        if hidden[at].is_some() {
            continue;
        }
        let after = boxes + groups.inner[at] - 1;
        let is_wanted = is_folded_first == sight.is_turned(id);
        if is_wanted && after <= BOXES_MOST && depths[at] <= DEEP_MOST {
            boxes = after;
            open[at] = Some(scene.groups.len());
            let parent = parent.and_then(|parent| open[parent]);
            scene.groups.push(Open { id: (*id).to_owned(), parent });
        } else {
            scene.stays_folded |= is_wanted;
            hidden[at] = Some(at);
        }
    }
    if boxes > BOXES_MOST {
        return None;
    }
    let mut folded: HashMap<usize, usize> = HashMap::new();
    let mut leaf_of = Vec::with_capacity(dag.tasks.len());
    for (task, group) in groups.of_task.iter().enumerate() {
        let within = group.and_then(|group| hidden[group]);
        if let Some(leaf) = within.and_then(|within| folded.get(&within)) {
            scene.leaves[*leaf].tasks.push(task);
            leaf_of.push(*leaf);
            continue;
        }
        let leaf = scene.leaves.len();
        leaf_of.push(leaf);
        let (kind, around) = match within {
            Some(within) => {
                folded.insert(within, leaf);
                (Kind::Group(groups.ids[within].to_owned()), groups.parents[within])
            }
            None => (Kind::Task, *group),
        };
        let group = around.and_then(|around| open[around]);
        scene.leaves.push(Leaf { kind, tasks: vec![task], group, more: 0 });
    }
    scene.ways = ways(dag, upstream, |task| Some(leaf_of[task]))?;
    Some(scene)
}

/// Edges between boxes. `None`: too many.
fn ways(
    dag: &Dag,
    upstream: &[Vec<usize>],
    leaf: impl Fn(usize) -> Option<usize>,
) -> Option<Vec<Way>> {
    let mut ways: Vec<Way> = Vec::new();
    let mut places: HashMap<(usize, usize), usize> = HashMap::new();
    let mut mixed = HashSet::new();
    for (task, ups) in upstream.iter().enumerate() {
        let Some(to) = leaf(task) else { continue };
        for up in ups {
            let Some(from) = leaf(*up).filter(|from| *from != to) else { continue };
            let label = label(dag, *up, task);
            match places.get(&(from, to)) {
                Some(place) if ways[*place].label.as_deref() != label => {
                    mixed.insert(*place);
                }
                Some(_) => {}
                None => {
                    places.insert((from, to), ways.len());
                    ways.push(Way { from, to, label: label.map(str::to_owned) });
                }
            }
        }
        if ways.len() > EDGES_MOST {
            return None;
        }
    }
    mixed.into_iter().for_each(|place| ways[place].label = None);
    Some(ways)
}

/// What a branch writes on its edge to a task.
fn label(dag: &Dag, from: usize, to: usize) -> Option<&str> {
    let from = &dag.tasks[from];
    let labels = from.with.get("labels").filter(|_| from.operator == "branch")?;
    labels.get(&dag.tasks[to].task_id.0)?.as_str()
}

/// A task and those at most so many steps up and down from it; of too many the nearest.
pub(super) fn around(
    dag: &Dag,
    upstream: &[Vec<usize>],
    centre: usize,
    depth: usize,
    most: usize,
) -> Option<Scene> {
    let mut downstream: Vec<Vec<usize>> = vec![Vec::new(); upstream.len()];
    for (task, ups) in upstream.iter().enumerate() {
        ups.iter().for_each(|up| downstream[*up].push(task));
    }
    // In the order in which they are met.
    let (mut near, mut is_near) = (vec![centre], HashSet::from([centre]));
    let mut sides = [(upstream, vec![centre]), (&*downstream, vec![centre])];
    for _ in 0..depth {
        for (beside, edge) in &mut sides {
            let beside = *beside;
            let mut next = Vec::new();
            for task in edge.iter().flat_map(|task| &beside[*task]) {
                if is_near.insert(*task) {
                    near.push(*task);
                    next.push(*task);
                }
            }
            *edge = next;
        }
    }
    let left_out = near.len().saturating_sub(most);
    near.truncate(most);
    near.sort_unstable();
    let leaf_of: HashMap<usize, usize> =
        near.iter().enumerate().map(|(leaf, task)| (*task, leaf)).collect();
    let leaves = near.iter().map(|task| {
        let beside = upstream[*task].iter().chain(&downstream[*task]);
        let more = beside.filter(|task| !leaf_of.contains_key(*task)).count();
        Leaf { kind: Kind::Task, tasks: vec![*task], group: None, more }
    });
    let leaves = leaves.collect();
    let ways = ways(dag, upstream, |task| leaf_of.get(&task).copied())?;
    Some(Scene { leaves, ways, left_out, ..Scene::default() })
}

/// One box a layer, or for several: tasks lie in the layer after their last upstream.
pub(super) fn layers(upstream: &[Vec<usize>]) -> Scene {
    let mut layer_of: Vec<usize> = Vec::with_capacity(upstream.len());
    for ups in upstream {
        layer_of.push(ups.iter().map(|up| layer_of[*up] + 1).max().unwrap_or(0));
    }
    let layers = layer_of.iter().map(|layer| layer + 1).max().unwrap_or(0);
    let each = layers.div_ceil(LAYERS_MOST).max(1);
    let mut tasks: Vec<Vec<usize>> = vec![Vec::new(); layers.div_ceil(each)];
    for (task, layer) in layer_of.iter().enumerate() {
        tasks[layer / each].push(task);
    }
    let ways = (1..tasks.len()).map(|to| Way { from: to - 1, to, label: None }).collect();
    let leaves = tasks.into_iter().enumerate().map(|(at, tasks)| {
        let kind = match tasks.len() {
            1 => Kind::Task,
            _ => Kind::Layers { first: at * each + 1, last: ((at + 1) * each).min(layers) },
        };
        Leaf { kind, tasks, group: None, more: 0 }
    });
    Scene { leaves: leaves.collect(), ways, ..Scene::default() }
}
