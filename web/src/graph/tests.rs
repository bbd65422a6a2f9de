//! Laws of the drawing: nothing overlaps, and every arrow goes to the right.

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

#[test]
fn a_chain_is_a_straight_line() {
    let graph = layout(&dag(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]));
    assert_eq!(graph.height, NODE_HEIGHT);
    assert!(graph.nodes.windows(2).all(|pair| pair[0].x + pair[0].width < pair[1].x));
    assert_eq!(graph.edges.len(), 2);
}

#[test]
fn no_two_tasks_overlap_and_long_edges_pass_between_them() {
    let graph = layout(&dag(&[
        ("start", &[]),
        ("a", &["start"]),
        ("b", &["start"]),
        ("c", &["start"]),
        ("d", &["a", "b"]),
        ("end", &["c", "d", "start"]),
    ]));
    for (at, left) in graph.nodes.iter().enumerate() {
        for right in &graph.nodes[at + 1..] {
            let beside = left.x + left.width <= right.x || right.x + right.width <= left.x;
            let above = left.y + NODE_HEIGHT <= right.y || right.y + NODE_HEIGHT <= left.y;
            assert!(beside || above, "{left:?} {right:?}");
        }
        assert!(left.x + left.width <= graph.width && left.y + NODE_HEIGHT <= graph.height);
    }
    let long = graph.edges.iter().find(|edge| edge.from == "start" && edge.to == "end").unwrap();
    assert_eq!(long.path.matches('C').count(), 3);
}

#[test]
fn a_branch_writes_on_its_edges() {
    let mut dag = dag(&[("pick", &[]), ("a", &["pick"]), ("b", &["pick"]), ("c", &["a", "pick"])]);
    let plain = layout(&dag).width;
    dag.tasks[0].operator = "branch".to_owned();
    let long = "more than one thousand rows";
    dag.tasks[0].with = serde_json::json!({"choose": null, "labels": {"a": "few", "c": long}});
    let graph = layout(&dag);
    let of = |to: &str| {
        let edge = graph.edges.iter().find(|edge| edge.from == "pick" && edge.to == to);
        edge.unwrap().label.clone()
    };
    assert_eq!(of("a").unwrap().text, "few");
    assert_eq!(of("b"), None);
    let label = of("c").unwrap();
    assert!(label.text.ends_with('…') && label.whole == long, "{label:?}");
    assert!(graph.width > plain, "there is room for it");
    let place = |id: &str| graph.nodes.iter().find(|node| node.task_id == id).unwrap();
    assert!(label.x > place("pick").x + place("pick").width && label.x < place("a").x);
    let markup = GraphView::plain(&graph, &crate::text::ENGLISH).markup();
    assert!(markup.contains("<title>more than one thousand rows</title>more than one"), "{markup}");
}

#[test]
fn nothing_and_too_much_are_drawn_as_nothing() {
    assert_eq!(layout(&dag(&[])).nodes.len(), 0);
    let ids: Vec<String> = (0..301).map(|at| format!("t{at}")).collect();
    let tasks: Vec<(&str, &[&str])> = ids.iter().map(|id| (&**id, &[] as &[&str])).collect();
    assert!(layout(&dag(&tasks)).is_too_large);
}
