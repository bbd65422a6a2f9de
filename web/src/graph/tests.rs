//! Laws of the drawing: nothing overlaps, and every arrow goes to the right.

use subak_core::state::TaskState;

use super::*;

fn dag(tasks: &[(&str, &[&str])]) -> Dag {
    let tasks: Vec<_> = tasks
        .iter()
        .map(|(id, upstream)| {
            serde_json::json!({
                "task_id": id, "operator": "noop", "with": {}, "upstream": upstream,
                "trigger_rule": "all_success", "retries": 0,
                "retry_delay": {"secs": 300, "nanos": 0}, "retry_exponential_backoff": false,
                "retry_jitter": 0.0, "queue": "default", "pool": "default_pool", "pool_slots": 1,
                "priority_weight": 1, "owner": "airflow", "do_xcom_push": true, "connections": [],
            })
        })
        .collect();
    serde_json::from_value(serde_json::json!({
        "dag_id": "d", "catchup": false, "max_active_runs": 16, "max_active_tasks": 16,
        "is_paused_upon_creation": false, "tags": [], "params": {}, "tasks": tasks,
    }))
    .unwrap()
}

/// As it is before anything is chosen.
fn first(dag: &Dag) -> Layout {
    layout(dag, &Sight::default())
}

/// Puts tasks into groups: what is before their last dot.
fn grouped(mut dag: Dag) -> Dag {
    for task in &mut dag.tasks {
        task.task_group = task.task_id.0.rsplit_once('.').map(|(group, _)| group.to_owned());
    }
    dag
}

fn place(graph: &Layout, id: &str) -> usize {
    let is_it = |node: &Node| match &node.kind {
        Kind::Group(group) => group == id,
        _ => node.task_ids == [id],
    };
    graph.nodes.iter().position(is_it).unwrap_or_else(|| panic!("no {id}: {graph:?}"))
}

fn node<'g>(graph: &'g Layout, id: &str) -> &'g Node {
    &graph.nodes[place(graph, id)]
}

fn edges<'g>(graph: &'g Layout, from: &str, to: &str) -> Vec<&'g Edge> {
    let (from, to) = (place(graph, from), place(graph, to));
    let is_it = |edge: &&Edge| edge.from.contains(&from) && edge.to.contains(&to);
    graph.edges.iter().filter(is_it).collect()
}

/// Nothing lies on anything else, and tasks of an open group lie in its frame.
fn assert_apart(graph: &Layout) {
    for (at, left) in graph.nodes.iter().enumerate() {
        for right in &graph.nodes[at + 1..] {
            let beside = left.x + left.width <= right.x || right.x + right.width <= left.x;
            let above = left.y + NODE_HEIGHT <= right.y || right.y + NODE_HEIGHT <= left.y;
            assert!(beside || above, "{left:?} {right:?}");
        }
        assert!(left.x + left.width <= graph.width && left.y + NODE_HEIGHT <= graph.height);
        for Group { id, frame, .. } in &graph.groups {
            let inside = left.x >= frame.x
                && left.x + left.width <= frame.x + frame.width
                && left.y >= frame.y
                && left.y + NODE_HEIGHT <= frame.y + frame.height;
            let outside = left.x + left.width <= frame.x
                || frame.x + frame.width <= left.x
                || left.y + NODE_HEIGHT <= frame.y
                || frame.y + frame.height <= left.y;
            let is_member = left.task_ids.iter().all(|task| task.starts_with(&format!("{id}.")));
            assert!(if is_member { inside } else { outside }, "{id} {frame:?} {left:?}");
        }
    }
}

#[test]
fn a_chain_is_a_straight_line() {
    let graph = first(&dag(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]));
    assert_eq!(graph.height, NODE_HEIGHT);
    assert!(graph.nodes.windows(2).all(|pair| pair[0].x + pair[0].width < pair[1].x));
    assert_eq!(graph.edges.len(), 2);
}

#[test]
fn no_two_tasks_overlap_and_long_edges_pass_between_them() {
    let graph = first(&dag(&[
        ("start", &[]),
        ("a", &["start"]),
        ("b", &["start"]),
        ("c", &["start"]),
        ("d", &["a", "b"]),
        ("end", &["c", "d", "start"]),
    ]));
    assert_apart(&graph);
    let long = edges(&graph, "start", "end")[0];
    assert_eq!(long.path.matches('C').count(), 3);
}

#[test]
fn a_branch_writes_on_its_edges() {
    let mut dag = dag(&[("pick", &[]), ("a", &["pick"]), ("b", &["pick"]), ("c", &["a", "pick"])]);
    let plain = first(&dag).width;
    dag.tasks[0].operator = "branch".to_owned();
    let long = "more than one thousand rows";
    dag.tasks[0].with = serde_json::json!({"choose": null, "labels": {"a": "few", "c": long}});
    let graph = first(&dag);
    let of = |to: &str| edges(&graph, "pick", to)[0].label.clone();
    assert_eq!(of("a").unwrap().text, "few");
    assert_eq!(of("b"), None);
    let label = of("c").unwrap();
    assert!(label.text.ends_with('…') && label.whole == long, "{label:?}");
    assert!(graph.width > plain, "there is room for it");
    let (pick, a) = (node(&graph, "pick"), node(&graph, "a"));
    assert!(label.x > pick.x + pick.width && label.x < a.x);
    let markup = markup(&graph, None);
    assert!(markup.contains("<title>more than one thousand rows</title>more than one"), "{markup}");
}

/// As a page has it; all tasks are in this state.
fn markup(graph: &Layout, state: Option<TaskState>) -> String {
    let links = Links {
        task: &|task| state.map(|_| format!("/{task}")),
        here: &|sight| format!("/dag?{}", sight.query()),
        page: "/dag",
    };
    GraphView::new(graph, |_| state.map(Some), &links, &crate::text::ENGLISH).markup()
}

#[test]
fn nothing_is_drawn_as_nothing() {
    assert_eq!(first(&dag(&[])).nodes.len(), 0);
}

#[test]
fn an_open_group_is_a_frame_that_edges_pass() {
    let dag = grouped(dag(&[
        ("start", &[]),
        ("alone", &[]),
        ("g.a", &["start"]),
        ("g.b", &["start"]),
        ("g.in.c", &["g.a", "alone"]),
        ("g.in.d", &["g.in.c"]),
        ("end", &["g.b", "g.in.d", "alone"]),
    ]));
    let graph = first(&dag);
    assert_apart(&graph);
    let names: Vec<&str> = graph.groups.iter().map(|group| &*group.id).collect();
    assert_eq!(names, ["g", "g.in"]);
    let frame = graph.groups[0].frame;
    // One edge to the group, which parts behind its border.
    let two: Vec<&Edge> = edges(&graph, "start", "g.a");
    assert_eq!((two.len(), two[0].to.len(), two[1].to.len()), (2, 1, 2));
    let start = node(&graph, "start");
    assert!(two[1].path.starts_with(&format!("M{:.0} ", start.x + start.width)), "{two:?}");
    assert!(two[1].path.contains(&format!(" {:.0} ", frame.x)), "{two:?}");
    assert!(two[0].path.starts_with(&format!("M{:.0} ", frame.x)), "{two:?}");
    // Through two borders; and within a group as always.
    assert_eq!(edges(&graph, "alone", "g.in.c").len(), 3);
    assert_eq!(edges(&graph, "g.in.c", "g.in.d").len(), 1);
    assert_eq!(edges(&graph, "start", "g.in.d").len(), 0);
    let open = markup(&graph, Some(TaskState::Success));
    assert!(open.contains("<a href=\"/dag?turn=g\" id=\"group-g\""), "{open}");
    assert!(open.contains("href=\"/dag?turn=g.in\""), "{open}");
    assert!(!open.contains("graph-find"), "{open}");

    let folded = layout(&dag, &Sight::read("g", "", None));
    assert_eq!((folded.nodes.len(), folded.groups.len(), folded.edges.len()), (4, 0, 4));
    assert_eq!(edges(&folded, "start", "g").len(), 1);
    assert_eq!(node(&folded, "g").task_ids, ["g.a", "g.b", "g.in.c", "g.in.d"]);
    let words = markup(&folded, Some(TaskState::Failed));
    assert!(words.contains("<title>g · 4 tasks · 4 failed</title>"), "{words}");
    assert!(words.contains("<a href=\"/dag?\" id=\"group-g\"><g class=\"node s-failed"), "{words}");
    let inner = layout(&dag, &Sight::read("g.in", "", None));
    assert_apart(&inner);
    assert_eq!((inner.nodes.len(), inner.groups.len()), (6, 1));
}

#[test]
fn a_group_before_and_after_a_task_has_an_edge_back_and_labels_stay_where_they_are_one() {
    let mut dag = grouped(dag(&[
        ("g.pick", &[]),
        ("check", &["g.pick"]),
        ("g.few", &["check", "g.pick"]),
        ("h.x", &["g.pick"]),
        ("h.y", &["g.pick"]),
    ]));
    dag.tasks[0].operator = "branch".to_owned();
    let labels = serde_json::json!({"h.x": "many", "h.y": "many", "check": "new", "g.few": "few"});
    dag.tasks[0].with = serde_json::json!({"labels": labels});
    let open = first(&dag);
    assert_apart(&open);
    assert!(edges(&open, "check", "g.few").iter().all(|edge| edge.is_back));
    let folded = layout(&dag, &Sight::read("g,h", "", None));
    let label = |from, to| edges(&folded, from, to)[0].label.as_ref().map(|it| &*it.whole);
    assert_eq!(label("g", "h"), Some("many"));
    assert_eq!(label("g", "check"), Some("new"));
    assert_eq!(label("check", "g"), Some("←"));
    dag.tasks[0].with["labels"]["h.y"] = "more".into();
    let folded = layout(&dag, &Sight::read("g,h", "", None));
    assert_eq!(edges(&folded, "g", "h")[0].label, None);
}

/// So many tasks, each below some of those before it; in groups of so many.
fn large(tasks: usize, group: Option<usize>) -> Dag {
    let id = |at: usize| match group {
        Some(size) => format!("g{}.t{at}", at / size),
        None => format!("t{at}"),
    };
    let ids: Vec<(String, Vec<String>)> = (0..tasks)
        .map(|at| (id(at), [10, 13].iter().filter_map(|up| at.checked_sub(*up)).map(&id).collect()))
        .collect();
    let ups: Vec<Vec<&str>> =
        ids.iter().map(|(_, ups)| ups.iter().map(String::as_str).collect()).collect();
    let tasks: Vec<(&str, &[&str])> =
        ids.iter().zip(&ups).map(|((id, _), ups)| (&**id, &**ups)).collect();
    grouped(dag(&tasks))
}

#[test]
fn many_tasks_in_groups_are_folded_and_some_can_be_opened() {
    let dag = large(1000, Some(25));
    let folded = first(&dag);
    assert_eq!((folded.nodes.len(), folded.groups.len()), (40, 0));
    assert!(markup(&folded, None).contains("href=\"/dag?turn=g7\" id=\"group-g7\""));
    let open = layout(&dag, &Sight::read("g7,g8,none", "", None));
    assert_eq!((open.nodes.len(), open.groups.len()), (88, 2));
    assert_apart(&open);
    // Not all at once.
    let all: Vec<String> = (0..40).map(|group| format!("g{group}")).collect();
    let most = layout(&dag, &Sight::read(&all.join(","), "", None));
    assert_eq!(most.shown, Shown::Whole { stays_folded: true });
    assert!(most.nodes.len() <= 300 && most.groups.len() > 5, "{}", most.nodes.len());
    assert!(markup(&most, None).contains("some groups stay folded"));
}

#[test]
fn too_many_tasks_are_layers_or_what_is_around_one() {
    let dag = large(1000, None);
    let layers = first(&dag);
    assert_eq!((layers.shown.clone(), layers.nodes.len()), (Shown::Layers, 34));
    assert_eq!(layers.nodes[0].task_ids.len(), 30);
    let words = markup(&layers, Some(TaskState::Running));
    assert!(words.contains("<title>Layers 1–3 · 30 tasks · 30 running</title>"), "{words}");
    assert!(words.contains("<a href=\"/dag?around=t0&#38;depth=2\" id=\"layer-0\">"), "{words}");

    let around = layout(&dag, &Sight::read("", " t500 ", Some(1)));
    let ids: Vec<&str> = around.nodes.iter().map(|node| &*node.task_ids[0]).collect();
    assert_eq!(ids, ["t487", "t490", "t500", "t510", "t513"]);
    assert_eq!((node(&around, "t500").more, node(&around, "t490").more), (0, 3));
    let words = markup(&around, Some(TaskState::Running));
    assert!(words.contains("5 of 1,000 tasks") && words.contains("+3"), "{words}");
    assert!(words.contains("<a href=\"/t490\" id=\"node-t490\">"), "{words}");
    let far = layout(&dag, &Sight::read("", "t500", Some(99)));
    assert!(matches!(&far.shown, Shown::Around { depth: 5, left_out: 0, .. }), "{:?}", far.shown);

    // The only one with this in its name, several, none.
    assert_eq!(layout(&dag, &Sight::read("", "T500", Some(1))).nodes, around.nodes);
    let several = layout(&dag, &Sight::read("", "T50", None));
    assert_eq!(several.found.as_ref().map(|found| found.total), Some(11));
    let none = markup(&layout(&dag, &Sight::read("", "<b>", None)), None);
    assert!(none.contains("No task has “&#60;b&#62;” in its name."), "{none}");
}

#[test]
fn of_a_crowd_the_nearest_are_drawn() {
    let ids: Vec<String> = (0..400).map(|at| format!("t{at}")).collect();
    let (none, hub): (&[&str], &[&str]) = (&[], &["hub"]);
    let mut tasks = vec![("hub", none)];
    tasks.extend(ids.iter().map(|id| (&**id, hub)));
    let around = layout(&dag(&tasks), &Sight::read("", "hub", None));
    assert_eq!(around.nodes.len(), 150);
    assert!(markup(&around, None).contains("251 more tasks are as near"));
}
