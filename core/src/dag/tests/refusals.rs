//! One snapshot for each kind of mistake.

use super::check;

/// A DAG with these lines of tasks.
fn tasks(tasks: &str) -> String {
    check(&format!("dag_id: a\nparams: {{day: monday}}\ntasks:\n{tasks}"))
}

/// A DAG with these lines besides one task.
fn dag(lines: &str) -> String {
    check(&format!("dag_id: a\n{lines}\ntasks: {{x: {{operator: noop}}}}\n"))
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
    an_empty_file: check("");
    only_comments: check("# nothing\n---\n");
    not_yaml: check("dag_id: a\ntasks: {x: [}\n");
    tabs: check("dag_id: a\ntasks:\n\tx: {operator: noop}\n");
    a_list_instead_of_a_dag: check("- a\n- b\n");
    no_id_and_no_tasks: check("description: nothing\n");
    a_bad_id: check("dag_id: my dag\ntasks: {'a/b': {operator: noop}, '': {operator: noop}}\n");
    a_number_as_id: check("dag_id: 5\ntasks: {7: {operator: noop}}\n");
    two_dags_of_one_id: check("dag_id: a\ntasks: {}\n---\ndag_id: a\ntasks: {}\n");
    unknown_keys_everywhere: check(
        "dag_id: a\nschedul: '@daily'\ndefault_args: {retrys: 3, task_id: x}\nparams: {p: {typ: integer}}\ntasks:\n  load:\n    operator: bash\n    retrys: 3\n    command: ls\n    with: {comand: ls, command: ls}\n",
    );
    duplicate_keys: tasks("  x: {operator: noop, retries: 1, retries: 2}\n  y: {operator: noop}\n  x: {operator: empty}\n");
    duplicate_tasks_of_a_list: tasks("  - {task_id: x, operator: noop}\n  - {task_id: x, operator: noop}\n");
    a_list_without_ids: tasks("  - {operator: noop}\n  - {task_id: 5, operator: noop}\n  - noop\n");
    keys_that_are_not_built_yet: check(
        "dag_id: a\ndeadline: 1h\nschedule: {every: 90s}\ntasks:\n  x: {operator: kafka.produce, pool_slots: 2}\n  y: {operator: noop, expand: {}, pool: mine, inlets: []}\n",
    );
    assets_that_cannot_be: tasks(
        "  x: {operator: noop, inlets: [], outlets: [s3://shop/a, {name: b}, {name: c, uri: 'file:///c', group: g, extra: {rows: 1}}]}\n  y: {operator: noop, outlets: s3://shop/a}\n  z: {operator: noop, inlets: [''], outlets: [{group: g}]}\n  u: {operator: noop, inlets: ['s3://shop/{{ ds }}'], outlets: [a, {uri: a}]}\n  v: {operator: noop, inlets: [{uri: 'two words'}], outlets: [{url: a}]}\n",
    );
    pools_and_the_past: check(
        "dag_id: a\nmax_consecutive_failed_dag_runs: -1\ntasks:\n  x: {operator: noop, pool: '', pool_slots: 0, weight_rule: downsteam}\n  y: {operator: latest_only, with: {newest: true}, depends_on_past: 1, wait_for_downstraem: true}\n",
    );
    limits_of_a_task: tasks(
        "  x: {operator: noop, max_active_tis_per_dag: 0, max_active_tis_per_dagrun: many}\n",
    );
    wrong_types: check(
        "dag_id: a\ncatchup: 'yes'\nmax_active_runs: 0\ntags: retail\ndescription: 5\ndagrun_timeout: soon\nstart_date: tomorrow\ntasks:\n  x: {operator: noop, retries: -1, retry_jitter: 2, trigger_rule: all_sucess, depends_on: y, retry_exponential_backoff: x}\n  y: noop\n  z: {operator: 5}\n",
    );
    an_unknown_operator: tasks("  x: {operator: bsh}\n  y: {operator: csv_read}\n  z: {with: {}}\n");
    operators_arguments: tasks(
        "  x: {operator: csv.read, with: {columns: {a: int, b: integer}, delimiter: ';;', header: 5}}\n  y: {operator: postgres.load, with: {mode: merge, key: id}}\n  z: {operator: bash, with: {command: ls, env: {PORT: 8080}}}\n  w: {operator: csv.write, with: [a]}\n",
    );
    rules_between_arguments: tasks(
        "  x: {operator: python, with: {script: a.py, code: 'print(1)'}}\n  y: {operator: postgres.load, with: {connection: c, input: '{{ tasks.r.output }}', table: t, mode: upsert}}\n  r: {operator: csv.read, with: {path: a, quote: ','}}\n  t: {operator: transform, with: {sql: SELECT 1}}\n",
    );
    an_empty_connection: tasks("  x: {operator: sql, with: {connection: '', sql: SELECT 1}}\n");
    unknown_and_own_dependencies: tasks("  load: {operator: noop, depends_on: [extrat, load, extract, extract]}\n  extract: {operator: noop, depends_on: [], dependencies: []}\n");
    cycles: tasks(
        "  a: {operator: noop, depends_on: [c]}\n  b: {operator: noop, depends_on: [a]}\n  c: {operator: noop, depends_on: [b]}\n  d: {operator: noop, depends_on: [e, a]}\n  e: {operator: noop, depends_on: [d]}\n",
    );
    an_alias_bomb: check(
        "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]\ng: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f]\n",
    );
    a_large_file: check(&"# much\n".repeat(700_000));
    too_many_tasks: check(&(0..20_001).fold("dag_id: a\ntasks:\n".to_owned(), |text, i| text + &format!("  t{i}: {{operator: noop}}\n")));
    catchup_without_start: dag("catchup: true");
    an_end_before_the_start: dag("start_date: 2026-11-02\nend_date: 2026-11-01");
    schedules: [
        dag("schedule: '0 25 * * *'"),
        dag("schedule: '* * * *'"),
        dag("schedule: '0 0 0 * * *'"),
        dag("schedule: '0 6 * * mno'"),
        dag("schedule: '@dayly'"),
        dag("schedule: daily"),
        dag("schedule: 0.1"),
        dag("schedule: true"),
        dag("schedule: '0 0 30 2 *'"),
        dag("timezone: Asia/Jakata"),
        dag("schedule: '@continuous'\nmax_active_runs: 2"),
        dag("schedule: '@continuous'\non_overlap: skip"),
        dag("on_overlap: cancel"),
    ].join("");
    schedules_of_parts: [
        dag("schedule: {cron: '0 6 * * *', every: 90s}"),
        dag("schedule: {}"),
        dag("schedule: {cron: ['0 6 * * *', '0 24 * * *'], jitter: 5m, skip_if: holidays}"),
        dag("schedule: {every: 0.5}"),
        dag("schedule: {dates: [2026-13-01, 2026-12-24], data_interval: next}"),
        dag("schedule: {dates: [2026-12-24], data_interval: previous}"),
        dag("schedule: {cron: []}"),
        dag("timezone: UTC\nschedule: {cron: '@daily', timezone: Asia/Jakarta}"),
        dag("schedule: {assets: {any: [a]}}"),
    ].join("");
    a_schedule_whose_runs_lack_a_param: dag("schedule: '@daily'\nparams: {day: {type: string}}");
    param_defaults: dag("params: {n: {type: integer, default: many}, m: {default: 0, minimum: 1}, s: {pattern: '('}}");
    values_in_a_command: tasks(
        "  x:\n    operator: bash\n    with:\n      command: |\n        echo {{ ds }} {{ run_id }}\n        rm {{ params.day }}\n        ls {{ dag_run.conf['x'] }} {{ ti.xcom_pull('y') | upper }}\n  y: {operator: python, with: {code: \"print('{{ params.day }}')\"}}\n",
    );
    setups_and_teardowns: tasks(
        "  make: {operator: noop, setup: true}\n  use: {operator: noop, depends_on: [make], trigger_rule: all_done}\n  both: {operator: noop, setup: true, teardown: true}\n  away: {operator: noop, teardown: {setups: [mak, make], on_failure: true}}\n  again: {operator: noop, teardown: true, trigger_rule: all_done, depends_on: [use]}\n  odd: {operator: noop, teardown: 5}\n",
    );
    rules_of_setups_and_teardowns: tasks(
        "  make: {operator: noop, setup: true}\n  use: {operator: noop, depends_on: [make], trigger_rule: all_done}\n  both: {operator: noop, setup: true, teardown: true}\n  again: {operator: noop, teardown: true, trigger_rule: all_done, depends_on: [use, make]}\n",
    );
    rules_that_do_not_fail_fast: check(
        "dag_id: a\nfail_fast: true\ntasks:\n  x: {operator: noop}\n  y: {operator: noop, depends_on: [x], trigger_rule: all_done}\n  z: {operator: noop, depends_on: [x], teardown: true}\n",
    );
    tasks_without_an_end: [
        tasks("  x: {operator: generate, with: {profile: purchases, topic: t, connection: k}}\n"),
        check("dag_id: a\nschedule: '@continuous'\ntasks:\n  x: {operator: http.poll, with: {url: 'http://a', topic: t, connection: k}}\n  y: {operator: noop, depends_on: [x]}\n"),
        tasks("  x: {operator: generate, with: {profile: purchases}}\n  y: {operator: generate, with: {profile: persons, topic: t, count: 0, rate: 0, partitions: 0}}\n"),
        check("dag_id: a\nschedule: '@continuous'\ntasks:\n  x: {operator: http.poll, with: {url: a.example, interval: 1ms, topic: '', connection: k}}\n"),
        check("dag_id: a\nschedule: '@continuous'\ntasks:\n  x: {operator: http.poll, with: {url: 'https://a', api: '', retires: 5, topic: t}}\n"),
    ].join("");
    task_groups: check(
        "dag_id: a\ntask_groups:\n  one: {parent: two, tooltip: 5}\n  two: {parent: one}\n  three: {parent: tow, expnd: {}}\n  a.b: {}\n  four: {depends_on: [four, nothing, four.y], default_args: {retrys: 1}}\ntasks:\n  x: {operator: noop, task_group: fuor}\n  y: {operator: noop, task_group: four, depends_on: [four]}\n  four.y: {operator: noop}\n",
    );
    branches: tasks(
        "  pick: {operator: branch, with: {choose: \"{{ params.day }}\", labels: {lft: a, right: b}}}\n  left: {operator: noop, depends_on: [pick]}\n  none: {operator: branch}\n  gate: {operator: short_circuit, with: {condition: true, ignore_downstream_trigger_rules: 5}}\n  wish: {operator: noop, when: 'params.day'}\n  hope: {operator: noop, when: \"{{ parms.day }}\"}\n",
    );
    templates_that_cant_be_right: tasks(
        "  x:\n    operator: bash\n    with:\n      command: |\n        echo {{ dss }} {{ execution_date }}\n        echo {{ logical_date.strftme('%d') }}\n      env:\n        A: \"{{ params.dya }}\"\n        B: \"{{ tasks.nothing.output }}\"\n        C: \"{{ ti.xcom_pull('nothing') }}\"\n        D: \"{{ ds | uper }}\"\n        E: \"{{ ds \"\n        F: \"{% if %}\"\n        G: \"{{ var.value.x }} {{ conn.y.hots }}\"\n        H: \"{% include 'x' %}\"\n        I: \"{{ ti.xcom_pull(task_ids=params.day) }}\"\n        J: \"{{ macros.ds_ad(ds, 1) }} {{ macros.uuid }}\"\n        K: \"{{ tasks.x.output }}\"\n  y: {operator: csv.write, with: {input: \"{{ tasks.x.output }}\", path: out.csv}}\n  z: {operator: csv.write, with: {input: data.csv, path: out.csv}}\n  w: {operator: sql, with: {connection: \"{{ params.day }}\", sql: SELECT 1}}\n",
    );
}

#[test]
fn an_id_of_dots_is_a_folder() {
    for id in [".", "..", "..."] {
        let shown = check(&format!("dag_id: {id}\ntasks: {{'{id}': {{operator: noop}}}}\n"));
        assert_eq!(shown.matches("consists of dots only").count(), 2, "{shown}");
    }
}
