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
        "dag_id: a\ndefault_args: {expand: {env: [a]}}\ntask_groups: {g: {expand: {x: [1]}}}\ntasks:\n  a: {operator: branch, expand: {choose: [x, y]}}\n  b: {operator: bash, with: {command: ls}, setup: true, expand: {env: [{A: '1'}]}}\n  c: {operator: bash, with: {command: ls}, depends_on_past: true, expand: {env: [{A: '1'}]}}\n  d: {operator: bash, with: {command: ls}, wait_for_downstream: true}\n  e: {operator: bash, with: {command: ls}, depends_on: [d], expand: {env: [{A: '1'}]}}\n",
    );
    the_past_of_mapped_tasks: tasks(
        "  c: {operator: bash, with: {command: ls}, depends_on_past: true, expand: {env: [{A: '1'}]}}\n  d: {operator: bash, with: {command: ls}, wait_for_downstream: true}\n  e: {operator: bash, with: {command: ls}, depends_on: [d], expand: {env: [{A: '1'}]}}\n",
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
