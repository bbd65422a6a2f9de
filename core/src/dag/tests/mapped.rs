//! Mapped tasks: what they become, and what is refused.

use serde_json::json;

use super::super::model::Source;
use super::{check, good};

fn tasks(tasks: &str) -> String {
    check(&format!("dag_id: a\nparams: {{day: monday}}\ntasks:\n{tasks}"))
}

#[test]
fn mapped_tasks_become_a_dag() {
    let dag = good(
        "dag_id: a
tasks:
  list: {operator: python, with: {code: 'print(1)'}}
  each:
    operator: python
    partial: {code: 'print(2)', env: {DAY: '{{ ds }}'}}
    expand: {input: \"{{ ti.xcom_pull('list') }}\"}
    map_index_template: 'file {{ task.input }} of {{ ds }}'
    max_active_tis_per_dagrun: 4
  cross:
    operator: python
    with: {code: 'print(4)'}
    expand:
      env: [{A: '1'}, {A: '{{ ds }}'}]
      input: {zip: [[a, b], \"{{ ti.xcom_pull(task_ids='each') }}\"], fill: c}
  gather:
    operator: python
    depends_on: [cross]
    with: {code: 'print(3)', input: \"{{ ti.xcom_pull('each') }}\"}
",
    );
    let task = |id: &str| dag.task(&id.into()).unwrap();
    let upstream = |id: &str| task(id).upstream.iter().map(|up| up.0.clone()).collect::<Vec<_>>();
    assert_eq!(upstream("each"), ["list"]);
    assert_eq!(upstream("cross"), ["each"], "what is zipped comes first, too");
    assert_eq!(upstream("gather"), ["cross"]);
    let of = |id: &str| Source::Task { task_id: id.into(), key: "return_value".to_owned() };
    let each = task("each");
    assert_eq!(each.with, json!({"code": "print(2)", "env": {"DAY": "{{ ds }}"}}));
    assert_eq!(each.expand.as_ref().unwrap().arguments, [("input".to_owned(), of("list"))]);
    assert_eq!(each.map_index_template.as_deref(), Some("file {{ task.input }} of {{ ds }}"));
    assert_eq!(each.max_active_tis_per_dagrun, Some(4));
    let zipped = Source::Zip {
        of: vec![Source::Literal(json!(["a", "b"])), of("each")],
        fill: Some(json!("c")),
    };
    let environment = Source::Literal(json!([{"A": "1"}, {"A": "{{ ds }}"}]));
    assert_eq!(
        task("cross").expand.as_ref().unwrap().arguments,
        [("env".to_owned(), environment), ("input".to_owned(), zipped)]
    );
}

#[test]
fn a_null_that_fills_is_kept_with_the_version() {
    let zip = Source::Zip { of: Vec::new(), fill: Some(json!(null)) };
    let kept = serde_json::to_string(&zip).unwrap();
    assert_eq!(serde_json::from_str::<Source>(&kept).unwrap(), zip);
}

macro_rules! refused {
    ($($name:ident: $shown:expr;)*) => {
        $(
            #[test]
            fn $name() {
                insta::assert_snapshot!($shown);
            }
        )*
    };
}

refused! {
    what_is_mapped_over: tasks(
        "  up: {operator: noop}\n  a: {operator: bash, with: {command: ls}, expand: {}}\n  b: {operator: bash, with: {command: ls}, expand: [x]}\n  c: {operator: bash, with: {command: ls}, expand: {env: 5}}\n  d: {operator: bash, with: {command: ls}, expand: {env: \"{{ params.day }}\"}}\n  e: {operator: bash, with: {command: ls}, expand: {env: \"{{ ti.xcom_pull('upp') }}\"}}\n  f: {operator: bash, with: {command: ls}, expand: {env: \"{{ ti.xcom_pull('f') }}\"}}\n  g: {operator: bash, with: {command: ls}, expand: {env: \"{{ ti.xcom_pull('up', key='files') }}\"}}\n  h: {operator: bash, with: {command: ls}, expand: {env: \"{{ tasks.up.output }}\"}}\n  i: {operator: bash, with: {command: ls}, expand: {env: {zip: 5}, cwd: {zip: [], fil: 1}}}\n",
    );
    arguments_of_mapped_tasks: tasks(
        "  a: {operator: bash, expand: {env: [{A: '1'}]}}\n  b: {operator: bash, with: {command: ls}, partial: {command: ls}, expand: {command: [ls]}}\n  c: {operator: bash, with: {command: ls}, expand: {env: [{A: '1'}, {A: [1]}, 5]}}\n  d: {operator: bash, with: {command: ls}, expand: {envv: [{A: '1'}]}}\n  e: {operator: bash, partial: {command: ls}, map_index_template: x}\n  f: {operator: sql, with: {sql: SELECT 1}, expand: {connection: [a, b]}}\n  g: {operator: csv.write, with: {path: x}, expand: {input: [\"{{ tasks.r.output }}\"]}}\n  r: {operator: csv.read, with: {path: a}}\n",
    );
    values_in_a_mapped_command: tasks(
        "  up: {operator: noop}\n  a: {operator: bash, expand: {command: \"{{ ti.xcom_pull('up') }}\"}}\n  b: {operator: bash, expand: {command: ['ls {{ ds }}', 'rm {{ params.day }}']}}\n",
    );
    what_cannot_be_mapped: check(
        "dag_id: a\ndefault_args: {expand: {env: [a]}}\ntask_groups: {g: {expand: {x: [1]}}}\ntasks:\n  a: {operator: branch, expand: {choose: [x, y]}}\n",
    );
    datasets_of_mapped_tasks: tasks(
        "  r: {operator: csv.read, expand: {path: [a, b]}}\n  w: {operator: csv.write, with: {path: c, input: \"{{ tasks.r.output }}\"}}\n",
    );
    names_of_instances: tasks(
        "  up: {operator: noop}\n  a: {operator: bash, with: {command: ls}, expand: {env: [{A: '1'}]}, map_index_template: \"{{ task.evn }}\"}\n  b: {operator: bash, with: {command: ls}, expand: {env: [{A: '1'}]}, map_index_template: \"{{ ti.xcom_pull('up') }}\"}\n",
    );
    too_many_instances: tasks(&format!(
        "  a: {{operator: bash, with: {{command: ls}}, expand: {{cwd: [{}], env: [{{A: '1'}}, {{A: '2'}}]}}}}\n",
        "x,".repeat(5_001)
    )).replace("x,", "");
}

#[test]
fn a_mapped_group_becomes_part_of_its_tasks() {
    let dag = good(
        "dag_id: a
task_groups:
  day: {expand: {file: \"{{ ti.xcom_pull('list') }}\", kind: [old, '{{ ds }}']}}
  inner: {parent: day}
tasks:
  list: {operator: python, with: {code: 'print(1)'}}
  read: {operator: csv.read, task_group: day, with: {path: '{{ group.file }}'}}
  save:
    operator: csv.write
    task_group: inner
    with: {input: '{{ tasks[\"day.read\"].output }}', path: 'out/{{ group.kind }}/{{ ti.map_index }}.csv'}
    map_index_template: '{{ group.file }} at {{ ti.map_index }}'
  after: {operator: noop, depends_on: [day]}
",
    );
    let task = |id: &str| dag.task(&id.into()).unwrap();
    let name = task("day.inner.save").map_index_template.as_deref();
    assert_eq!(name, Some("{{ group.file }} at {{ ti.map_index }}"));
    let upstream = |id: &str| task(id).upstream.iter().map(|up| up.0.clone()).collect::<Vec<_>>();
    assert_eq!(upstream("day.read"), ["list"]);
    assert_eq!(upstream("day.inner.save"), ["day.read"], "its own upstream is enough");
    assert_eq!(upstream("after"), ["day.inner.save"]);
    let group = &dag.task_groups["day"];
    assert_eq!(task("day.read").expand, group.expand);
    assert_eq!(task("day.inner.save").expand, group.expand);
    assert_eq!(task("after").expand, None);
    let plan = crate::decide::Plan::numbered_in_order(std::sync::Arc::new(dag)).unwrap();
    let planned = |id: &str| plan.task(plan.number(&id.into()).unwrap()).unwrap();
    assert!(plan.in_one_group(planned("day.read"), planned("day.inner.save")));
    assert!(!plan.in_one_group(planned("day.read"), planned("after")));
}

#[test]
fn rows_of_a_dataset_are_what_its_task_returns() {
    let dag = good(
        "dag_id: a
tasks:
  read: {operator: csv.read, with: {path: a.csv}}
  other: {operator: csv.read, with: {path: b.csv}}
  each: {operator: python, with: {code: 'print(1)'}, expand: {input: '{{ tasks.read.output }}'}}
",
    );
    let task = |id: &str| dag.task(&id.into()).unwrap();
    assert!(task("read").returns_rows && !task("other").returns_rows);
    assert_eq!(task("each").upstream, ["read".into()]);
    let rows = Source::Task { task_id: "read".into(), key: "return_value".to_owned() };
    assert_eq!(task("each").expand.as_ref().unwrap().arguments, [("input".to_owned(), rows)]);
    let refused = tasks(
        "  topic: {operator: kafka.consume, with: {connection: k, topic: t, format: json}}\n  load: {operator: postgres.load, with: {connection: p, input: '{{ tasks.topic.output }}', table: t}}\n  each: {operator: python, with: {code: 'print(1)'}, expand: {input: '{{ tasks.topic.output }}'}}\n",
    );
    assert!(
        refused.contains("what a topic's records flow through cannot be mapped yet"),
        "{refused}"
    );
}

#[test]
fn what_a_mapped_group_cannot_be() {
    let groups = |groups: &str, tasks: &str| {
        check(&format!("dag_id: a\ntask_groups: {groups}\ntasks:\n{tasks}"))
    };
    let one = "{g: {expand: {x: [1, 2]}}}";
    insta::assert_snapshot!(
        [
            groups("{g: {expand: [1]}}", "  a: {operator: noop, task_group: g}"),
            groups("{g: {expand: {x: '{{ ds }}'}}}", "  a: {operator: noop, task_group: g}"),
            groups(
                "{g: {expand: {x: ['{{ ds }}', '{{ task.task_id }}']}}}",
                "  a: {operator: noop, task_group: g}",
            ),
            groups(
                "{g: {expand: {x: {zip: [['{{ ds }}'], \"{{ ti.xcom_pull('b') }}\"]}}}}",
                "  a: {operator: noop, task_group: g}\n  b: {operator: noop}",
            ),
            groups(
                "{g: {expand: {x: \"{{ ti.xcom_pull('g.a') }}\"}}}",
                "  a: {operator: noop, task_group: g}",
            ),
            groups(
                "{g: {expand: {x: \"{{ ti.xcom_pull('b') }}\"}}}",
                "  a: {operator: noop, task_group: g}",
            ),
            groups(
                "{g: {expand: {x: [1]}}, h: {parent: g, expand: {y: [1]}}}",
                "  a: {operator: noop, task_group: h}",
            ),
            groups(one, "  a: {operator: bash, task_group: g, with: {command: 'echo {{ group.x }}'}}"),
            groups(
                one,
                "  a: {operator: bash, task_group: g, with: {command: 'true', env: {X: '{{ group.y }}'}}}",
            ),
            groups(one, "  a: {operator: bash, with: {command: 'true', env: {X: '{{ group.x }}'}}}"),
            groups(
                one,
                "  a: {operator: bash, task_group: g, with: {command: 'true'}, expand: {env: [{A: b}]}}",
            ),
            groups(
                one,
                "  b: {operator: noop}\n  a: {operator: noop, task_group: g, trigger_rule: always, depends_on: [b]}",
            ),
            groups(one, "  a: {operator: short_circuit, task_group: g, with: {condition: true}}"),
            groups(
                one,
                "  a: {operator: csv.read, task_group: g, with: {path: a.csv}}\n  b: {operator: csv.write, with: {input: '{{ tasks[\"g.a\"].output }}', path: b.csv}}",
            ),
        ]
        .concat()
    );
}
