//! Every refusal as people see it, and what a good file becomes.

use std::fmt::Write as _;

use super::model::Schedule;
use super::*;

mod laws;
mod mapped;
mod pages;
mod reference;
mod refusals;

/// The diagnostics of a file, as `dags validate` prints them.
fn check(text: &str) -> String {
    let parsed = parse("dags/users.yaml", text);
    let mut shown = String::new();
    for diagnostic in &parsed.diagnostics {
        writeln!(shown, "{diagnostic}\n").unwrap();
    }
    writeln!(shown, "DAGs: {}", parsed.dags.len()).unwrap();
    shown
}

/// The one DAG of a file that has no errors.
fn good(text: &str) -> Dag {
    let mut parsed = parse("dags/good.yaml", text);
    let shown: Vec<_> = parsed.diagnostics.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    assert_eq!(parsed.dags.len(), 1);
    parsed.dags.remove(0)
}

#[test]
fn a_whole_pipeline_becomes_a_dag() {
    insta::assert_json_snapshot!(good(include_str!("tests/retail.yaml")));
}

#[test]
fn tasks_may_be_a_list() {
    let map =
        good("dag_id: a\ntasks:\n  x: {operator: noop}\n  y: {operator: noop, depends_on: [x]}\n");
    let list = good(
        "dag_id: a\ntasks:\n- {operator: noop, task_id: x}\n- {operator: noop, task_id: y, dependencies: [x]}\n",
    );
    assert_eq!(map, list);
}

#[test]
fn airflows_defaults_hold() {
    let dag = good("dag_id: a\ntasks: {x: {operator: empty}}\n");
    let task = &dag.tasks[0];
    assert_eq!((dag.max_active_runs, dag.max_active_tasks, dag.catchup), (16, 16, false));
    assert_eq!((task.retries, task.retry_delay.as_secs()), (0, 300));
    assert_eq!((task.owner.as_str(), task.queue.as_str()), ("airflow", "default"));
    assert_eq!((task.pool.as_str(), task.priority_weight), ("default_pool", 1));
    assert!(task.do_xcom_push);
}

#[test]
fn one_word_about_weights_and_all_tasks_weigh() {
    let of = |defaults: &str, group: &str, task: &str| {
        let groups = format!("g: {{default_args: {{{group}}}}}");
        let task = format!("x: {{operator: noop, task_group: g{task}}}");
        let text = format!(
            "dag_id: a\ndefault_args: {{{defaults}}}\ntask_groups: {{{groups}}}\ntasks: {{{task}}}\n"
        );
        good(&text)
    };
    let silent = of("retries: 1", "priority_weight: null", "");
    assert!(!silent.weighs());
    // What is written counts, though it is what holds by default.
    let rule = "weight_rule: downstream";
    for said in [of(rule, "", ""), of("", rule, ""), of("", "", ", priority_weight: 1")] {
        assert!(said.weighs() && said.says_weights);
    }
    let list = "tasks:\n- {task_id: x, operator: noop, weight_rule: downstream}\n";
    assert!(good(&format!("dag_id: a\n{list}")).weighs());
    // Versions from before there was the word are read as they are, and stay the same.
    let weighty = of("priority_weight: 5", "", "");
    for dag in [silent, weighty.clone()] {
        let stored = serde_json::to_value(&dag).unwrap();
        assert!(stored.get("says_weights").is_none(), "{stored}");
        assert_eq!(serde_json::from_value::<Dag>(stored).unwrap(), dag);
    }
    assert!(weighty.weighs());
}

#[test]
fn schedules_have_many_forms() {
    let dag = |lines: &str| good(&format!("dag_id: a\n{lines}\ntasks: {{}}\n"));
    let secs = std::time::Duration::from_secs;
    let check = |lines: &str, schedule: Schedule| assert_eq!(dag(lines).schedule, Some(schedule));
    check("schedule: '@daily'", Schedule::Cron("0 0 * * *".to_owned()));
    check("schedule: ' 0  6 * * MON-FRI '", Schedule::Cron("0 6 * * MON-FRI".to_owned()));
    check("schedule: '@once'", Schedule::Once);
    check("schedule: 90", Schedule::Every(secs(90)));
    check("schedule: 1h30m", Schedule::Every(secs(5_400)));
    check("schedule: {every: PT5M}", Schedule::Every(secs(300)));
    let crons = ["0 6 * * *", "0 18 * * *"].map(str::to_owned).to_vec();
    check("schedule: {cron: ['0 6 * * *', '0 18 * * *']}", Schedule::Crons(crons));
    let dated = dag("schedule: {dates: [2026-12-24T18:00, 2026-11-01], timezone: Asia/Jakarta}");
    let dates = ["2026-10-31T17:00:00Z", "2026-12-24T11:00:00Z"].map(|at| at.parse().unwrap());
    assert_eq!(dated.schedule, Some(Schedule::Dates(dates.to_vec())));
    assert_eq!(dag("schedule: '@continuous'").max_active_runs, 1);
    let local = dag("timezone: America/New_York\nstart_date: 2026-03-08 02:30");
    assert_eq!(local.start_date, Some("2026-03-08T07:30:00Z".parse().unwrap()));
}

#[test]
fn a_version_from_before_time_zones_is_still_read() {
    let dag = good("dag_id: a\nschedule: '@daily'\ntasks: {}\n");
    let canonical = version::canonical(&dag);
    for key in ["timezone", "data_interval", "on_overlap"] {
        assert!(canonical.get(key).is_none(), "{key} would make a new version");
    }
    assert_eq!(serde_json::from_value::<Dag>(canonical).unwrap(), dag);
}

#[test]
fn a_tasks_own_keys_win_over_default_args() {
    let dag = good(
        "dag_id: a\ndefault_args: {retries: 3, owner: data, retry_delay: 30s}\ntasks:\n  x: {operator: noop, retries: 0}\n  y: {operator: noop}\n",
    );
    assert_eq!((dag.tasks[0].retries, dag.tasks[1].retries), (0, 3));
    assert_eq!((dag.tasks[0].owner.as_str(), dag.tasks[1].owner.as_str()), ("data", "data"));
}

#[test]
fn groups_prefix_their_tasks_and_stand_for_them() {
    let dag = good(
        "dag_id: a\ndefault_args: {retries: 1}\ntask_groups:\n  outer: {default_args: {retries: 2, owner: data}, depends_on: [first]}\n  inner: {parent: outer, default_args: {retries: 3}}\ntasks:\n  first: {operator: noop}\n  x: {operator: noop, task_group: outer}\n  y: {operator: noop, task_group: inner, depends_on: [x]}\n  z: {operator: noop, task_group: outer.inner, depends_on: [y]}\n  last: {operator: noop, depends_on: [outer]}\n",
    );
    let tasks: Vec<_> = dag
        .tasks
        .iter()
        .map(|task| {
            let above: Vec<_> = task.upstream.iter().map(|up| up.0.as_str()).collect();
            (task.task_id.0.as_str(), above.join(" "), task.retries, task.owner.as_str())
        })
        .collect();
    let expected = [
        ("first", "", 1, "airflow"),
        ("outer.x", "first", 2, "data"),
        ("outer.inner.y", "outer.x", 3, "data"),
        ("outer.inner.z", "outer.inner.y", 3, "data"),
        ("last", "outer.inner.z", 1, "airflow"),
    ];
    assert_eq!(
        tasks,
        expected.map(|(id, above, retries, owner)| (id, above.to_owned(), retries, owner))
    );
    assert_eq!(dag.task_groups.keys().collect::<Vec<_>>(), ["outer", "outer.inner"]);
}

#[test]
fn a_teardown_makes_its_setups() {
    let dag = good(
        "dag_id: a\ntasks:\n  make: {operator: noop}\n  use: {operator: noop, depends_on: [make]}\n  away: {operator: noop, depends_on: [use], teardown: {setups: [make], on_failure_fail_dagrun: true}}\n",
    );
    assert!(dag.tasks[0].setup);
    let away = &dag.tasks[2];
    assert_eq!(away.upstream, ["make".into(), "use".into()]);
    assert_eq!(away.trigger_rule, crate::decide::TriggerRule::AllDoneSetupSuccess);
    assert_eq!(away.teardown, Some(model::Teardown { on_failure_fail_dagrun: true }));
}

#[test]
fn yaml_is_1_2() {
    let dag = good(
        "dag_id: no\ndescription: on\ntasks: {yes: {operator: bash, with: {command: 'true', env: {A: off, B: '010'}}}}\n",
    );
    assert_eq!(dag.dag_id.0, "no");
    assert_eq!(dag.description.as_deref(), Some("on"));
    assert_eq!(dag.tasks[0].task_id.0, "yes");
    assert_eq!(dag.tasks[0].with["env"]["A"], "off");
}

#[test]
fn anchors_and_merges_are_expanded() {
    let dag = good(
        "dag_id: a\ntasks:\n  x: &base {operator: noop, retries: 2}\n  y: {<<: *base, retries: 5}\n",
    );
    assert_eq!((dag.tasks[0].retries, dag.tasks[1].retries), (2, 5));
}

#[test]
fn a_file_may_hold_several_dags() {
    let parsed = parse(
        "f",
        "dag_id: a\ntasks: {x: {operator: noop}}\n---\ndag_id: b\ntasks: {x: {operator: nop}}\n---\ndag_id: c\ntasks: {x: {operator: noop}}\n",
    );
    let ids: Vec<_> = parsed.dags.iter().map(|dag| dag.dag_id.0.as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
    assert_eq!(
        parsed.diagnostics[0].headline(),
        "f:5:23: unknown operator \"nop\": did you mean \"noop\"?"
    );
}

#[test]
fn a_dataset_reference_makes_the_edge_and_an_xcom_does_not() {
    let dag = good(
        r#"
dag_id: a
params: {n: 3}
tasks:
  write:
    operator: csv.write
    with: {input: "{{ tasks['read it'.replace(' it', '')].output if false else tasks.read.output }}", path: out.csv}
  read: {operator: csv.read, with: {path: "in/{{ ds }}.csv", header: "{{ params.n > 2 }}"}}
  say: {operator: bash, with: {command: 'echo "$V"', env: {V: "{{ ti.xcom_pull('read') }}"}}}
"#
        .replace("tasks['read it'.replace(' it', '')].output if false else ", "")
        .as_str(),
    );
    let order: Vec<_> = dag.tasks.iter().map(|task| task.task_id.0.as_str()).collect();
    assert_eq!(order, ["read", "write", "say"]);
    assert_eq!(dag.tasks[1].upstream, vec!["read".into()]);
    assert!(dag.tasks[2].upstream.is_empty());
}

#[test]
fn a_connection_is_known_before_the_task_runs() {
    let dag = good(
        "dag_id: a\ntasks: {x: {operator: sql, with: {connection: warehouse, sql: SELECT 1}}}\n",
    );
    assert_eq!(dag.tasks[0].connections, ["warehouse"]);
    let dag = good(
        r#"
dag_id: a
tasks:
  x:
    operator: sql
    when: "{{ conn.stock.host }}"
    with: {connection: warehouse, sql: "SELECT '{{ conn.warehouse.login }}', '{{ conn.shop.host }}'"}
  y: {operator: bash, with: {command: "true"}, expand: {env: [{A: "{{ conn['z'].host }}"}]}}
"#,
    );
    assert_eq!(dag.tasks[0].connections, ["warehouse", "shop", "stock"]);
    assert_eq!(dag.tasks[1].connections, ["z"]);
}

#[test]
fn params_are_checked_against_their_declaration() {
    let dag = good(
        "dag_id: a\nparams: {n: {type: integer, default: 3, minimum: 1}, day: {type: string, enum: [mon, tue]}, any: null}\ntasks: {}\n",
    );
    let with = |conf: serde_json::Value| dag.params_with(&conf);
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(with(json(r#"{"day": "mon"}"#)), Ok(json(r#"{"any": null, "day": "mon", "n": 3}"#)));
    insta::assert_debug_snapshot!([
        with(json("{}")),
        with(json(r#"{"n": 0, "day": "sun"}"#)),
        with(json(r#"{"n": "3", "day": "mon"}"#)),
    ]);
}

#[test]
fn params_keep_the_order_of_the_file() {
    let file = |params: &str| good(&format!("dag_id: a\nparams: {{{params}}}\ntasks: {{}}\n"));
    let names = |dag: &Dag| -> Vec<String> {
        dag.params_in_order().map(|(name, _)| name.clone()).collect()
    };
    let written = file("shop: north, day: monday, most: 3");
    assert_eq!(names(&written), ["shop", "day", "most"]);
    let sorted = file("day: monday, most: 3, shop: north");
    assert_eq!(names(&sorted), ["day", "most", "shop"]);
    assert_ne!(version::hash(&written), version::hash(&sorted));

    // What is sorted, or has none, is kept as ever; what was kept without an order is sorted.
    let mut kept = serde_json::to_value(&written).unwrap();
    assert!(kept.as_object_mut().unwrap().remove("param_order").is_some());
    let of_before: Dag = serde_json::from_value(kept).unwrap();
    assert_eq!(of_before, sorted);
    assert_eq!(version::hash(&of_before), version::hash(&sorted));
    assert_eq!(file("").param_order, Vec::<String>::new());
}

#[test]
fn a_params_declaration_may_be_all_of_json_schema() {
    use serde_json::json;

    let text = |declared: &str| format!("dag_id: a\nparams: {{p: {{{declared}}}}}\ntasks: {{}}\n");
    let map = "type: object, additionalProperties: false, properties: {n: {type: integer}}";
    let list = "type: array, items: {$ref: '#/$defs/n'}, $defs: {n: {minimum: 3}}";
    let form =
        "section: Size, description_md: '*few*', enum: [s], values_display: {s: Small}, ours: 5";
    let uuid = json!("1b4e28ba-2fa1-11d2-883f-0016d3cca427");
    for (declared, fits, wrong, why) in [
        ("format: date", json!("2026-02-28"), json!("2026-02-30"), "date"),
        ("format: date-time", json!("2026-02-28T01:02:03Z"), json!("2026-02-28"), "date-time"),
        ("format: time", json!("16:30:00"), json!("25:00:00"), "it is written as 16:30:00"),
        ("format: time", json!("16:30:00+07:00"), json!("noon"), "it is written as 16:30:00"),
        ("format: email", json!("a@b.org"), json!("a"), "email"),
        ("format: uri", json!("https://a.org/b"), json!("b"), "uri"),
        ("format: uuid", uuid, json!("b"), "uuid"),
        ("format: multiline, pattern: '^a'", json!("a\nb"), json!("b"), "pattern"),
        ("const: 5", json!(5), json!(6), "5"),
        ("multipleOf: 5", json!(10), json!(11), "multipleOf 5"),
        ("uniqueItems: true", json!([1, 2]), json!([1, 1]), "equal"),
        ("anyOf: [{type: integer}, {const: all}]", json!("all"), json!("some"), "all"),
        (map, json!({"n": 1}), json!({"m": 1}), "not allowed"),
        (list, json!([3]), json!([2]), "must be >=3"),
        (form, json!("s"), json!("l"), "not one of"),
    ] {
        let dag = good(&text(declared));
        let param = &dag.params["p"];
        assert_eq!(param.problem(&fits), None, "{declared}");
        let problem = param.problem(&wrong).map(|it| it.to_string()).unwrap_or_default();
        assert!(problem.contains(why), "{declared}: {problem}");
    }
    assert_eq!(good(&text(form)).params["p"].schema["ours"], 5);

    for (declared, message) in [
        ("typ: integer", "did you mean \"type\"?"),
        ("uniqueItem: true", "did you mean \"uniqueItems\"?"),
        ("rows: 5", "a map that is the default itself stands under \"default\""),
        ("format: date, default: someday", "param \"p\": the default does not match"),
        ("multipleOf: much", "param \"p\" is no JSON Schema"),
        (
            "pattern: '('",
            "param \"p\" is no JSON Schema: pattern: '(' is not valid regex: unclosed",
        ),
        (
            "type: strings",
            "\"type\" in param \"p\": unknown value \"strings\": did you mean \"string\"?",
        ),
        ("type: [text, 'null']", "unknown value \"text\": use string, integer, number, boolean, "),
        (
            "type: 5",
            "\"type\" in param \"p\": expected a type or a list of types, found the number 5",
        ),
        ("enum: []", "param \"p\": \"enum\" is empty: no value is allowed"),
        ("values_display: [a]", "\"values_display\" in param \"p\""),
    ] {
        let parsed = parse("f", &text(declared));
        let said: Vec<String> = parsed.diagnostics.iter().map(|it| it.headline()).collect();
        assert!(said.len() == 1 && said[0].contains(message), "{declared}: {said:?}");
    }
}

#[test]
fn numbers_name_the_bound_they_are_beyond_and_no_task_is_near_itself() {
    let text = "dag_id: a\nmax_active_runs: -1\nmax_active_tasks: 99999999999\ntasks:\n  a: {operator: noop, priority_weight: 99999999999, retries: 99999999999999999999, depends_on: [b]}\n";
    let parsed = parse("f", text);
    let said: Vec<String> = parsed.diagnostics.into_iter().map(|it| it.message).collect();
    assert_eq!(
        said,
        [
            "\"max_active_runs\" in the DAG: expected a whole number, 1 or more, found the number -1",
            "\"max_active_tasks\" in the DAG: expected a whole number, 4294967295 at most, found the number 99999999999",
            "\"priority_weight\" in task \"a\": expected a whole number, 2147483647 at most, found the number 99999999999",
            "\"retries\" in task \"a\": expected a whole number, 4294967295 at most, found a number of about 1e20",
            "task \"a\" depends on unknown task \"b\"",
        ]
    );
}

#[test]
fn what_would_wait_or_follow_nothing_is_refused() {
    let said = |tasks: &str| -> Vec<String> {
        let text = format!("dag_id: a\ntask_groups: {{g: {{}}, h: {{}}}}\ntasks:\n{tasks}");
        parse("f", &text).diagnostics.into_iter().map(|it| it.message).collect()
    };
    let below = "  left: {operator: noop, depends_on: [b]}\n  in: {operator: noop, task_group: g, depends_on: [b]}\n  far: {operator: noop, task_group: h}\n";
    let branch = |choose: &str| {
        said(&format!("  b: {{operator: branch, with: {{choose: {choose}}}}}\n{below}"))
    };
    for right in ["left", "[left, g.in]", "g", "null", "[]", "\"{{ ds }}\""] {
        assert_eq!(branch(right), [""; 0], "{right}");
    }
    for (wrong, near) in
        [("lefts", ": did you mean \"left\"?"), ("h.far", ""), ("h", ""), ("in", "")]
    {
        let message = format!("branch \"b\" has no task or group {wrong:?} right below it{near}");
        assert_eq!(branch(wrong), [message.as_str()]);
        assert_eq!(branch(&format!("[left, {wrong}]")), [message]);
    }
    assert_eq!(
        said("  x: {operator: noop, queue: ' '}\n"),
        ["\"queue\" in task \"x\": \" \" is no name of a queue: no worker would take the task"]
    );
}

#[test]
fn dates_are_read_as_in_files_elsewhere_too() {
    let read = |text: &str| date(text, Tz::UTC).map(|at| at.to_rfc3339());
    assert_eq!(read("2026-11-01").as_deref(), Some("2026-11-01T00:00:00+00:00"));
    assert_eq!(read("2026-11-01T06:00:00+07:00").as_deref(), Some("2026-10-31T23:00:00+00:00"));
    assert_eq!(read("soon"), None);
}

#[test]
fn the_schema_knows_every_key() {
    let mut schema = schema();
    let task = schema["$defs"]["Task"]["properties"].clone();
    for key in raw::HEAD_KEYS.iter().chain(raw::CONTROL_KEYS) {
        assert!(task.get(key).is_some(), "{key}");
    }
    let known = raw::HEAD_KEYS.len() + raw::CONTROL_KEYS.len();
    assert_eq!(task.as_object().unwrap().len(), known);
    // The operators' own part is left to them.
    let operators = schema["$defs"]["Task"]["allOf"].take();
    assert_eq!(operators.as_array().unwrap().len(), crate::operators::OPERATORS.len());
    insta::assert_json_snapshot!(schema);
}

#[test]
fn tasks_without_an_end_have_slots_of_their_own() {
    let feed = "schedule: '@continuous'\ntasks:\n  x: {operator: generate, with: {profile: purchases, topic: t, connection: k}}";
    let parsed = parse("a.yaml", &format!("dag_id: a\n{feed}\n"));
    assert_eq!(parsed.diagnostics, []);
    let task = &parsed.dags[0].tasks[0];
    assert_eq!((task.queue.as_str(), task.continuous), (model::FEEDS, true));
    // With a count it ends, and is like any other.
    let ends = feed.replace("topic: t,", "topic: t, count: 5,");
    let parsed = parse("a.yaml", &format!("dag_id: a\n{ends}\n"));
    let task = &parsed.dags[0].tasks[0];
    assert_eq!((task.queue.as_str(), task.continuous), (model::DEFAULT_QUEUE, false));
}

#[test]
fn policies_and_notices_are_read_and_inherited() {
    let dag = good(
        "dag_id: a\non_failure: {connection: mail, to: [a@b.c]}\ndefault_args: {retry_policy: [{exit_code: 1, retry: false}], on_retry: [{connection: chat}]}\ntasks:\n  x: {operator: noop}\n  y: {operator: noop, retry_policy: [{error: permanent, retries: 2, retry_delay: 5s}, {exit_code: [2, 3], retry: true}]}\n",
    );
    let rule = |task: usize, rule: usize| dag.tasks[task].retry_policy[rule].clone();
    assert_eq!((rule(0, 0).exit_code, rule(0, 0).retry), (vec![1], false));
    assert_eq!(rule(1, 0).retry_delay, Some(std::time::Duration::from_secs(5)));
    assert_eq!((rule(1, 1).exit_code, rule(1, 1).error), (vec![2, 3], None));
    assert_eq!(dag.notices.on_failure[0].to, ["a@b.c"]);
    assert_eq!(dag.tasks[1].notices.on_retry[0].connection, "chat");
    // A DAG without them has the hash that it had before there were any.
    let plain = good("dag_id: a\ntasks: {x: {operator: noop}}\n");
    let json = serde_json::to_string(&plain).unwrap();
    assert!(!json.contains("retry_policy") && !json.contains("notices"), "{json}");
}

#[test]
fn a_policy_or_a_notice_that_cannot_be_right_is_refused() {
    for (line, message) in [
        ("retry_policy: [{retry: false}]", "needs \"exit_code\" or \"error\""),
        ("retry_policy: [{exit_code: 1}]", "needs \"retry\", \"retries\" or \"retry_delay\""),
        ("retry_policy: [{exit_code: 1, retry: false, retries: 2}]", "has no \"retries\""),
        ("retry_policy: [{exit_code: 0, retry: false}]", "1 to 255, not 0"),
        ("retry_policy: [{exit_code: [], retry: false}]", "\"exit_code\" is empty"),
        ("retry_policy: [{error: transiant, retry: false}]", "transiant"),
        ("retry_policy: [{exit_codes: 1, retry: false}]", "did you mean \"exit_code\"?"),
        ("on_failure: {connection: ''}", "\"connection\" is empty"),
        ("on_failure: {connection: m, to: [ops]}", "\"ops\" is no mail address"),
        ("on_failure: [{to: [a@b.c]}]", "connection"),
        ("on_retry: {connection: '{{ params.x }}'}", "a template can't stand here"),
        ("on_failures: {connection: m}", "did you mean \"on_failure\"?"),
    ] {
        let text = format!("dag_id: a\ntasks:\n  x:\n    operator: noop\n    {line}\n");
        let parsed = parse("f", &text);
        let said: Vec<String> = parsed.diagnostics.iter().map(|it| it.headline()).collect();
        assert!(
            said.iter().any(|it| it.starts_with("f:5:") && it.contains(message)),
            "{line}: {said:?}"
        );
    }
}

#[test]
fn a_variable_goes_into_a_command_by_its_environment() {
    let parsed = parse(
        "f",
        "dag_id: a\ntasks: {x: {operator: bash, with: {command: 'echo {{ var.value.region }}'}}}\n",
    );
    let said = parsed.diagnostics[0].headline();
    assert!(said.contains("env: {VALUE: \"{{ var.value.region }}\"}"), "{said}");
    let named = parse(
        "f",
        "dag_id: a\ntasks: {x: {operator: bash, with: {command: 'true', env: {A: '{{ var.value }}'}}}}\n",
    );
    assert!(named.diagnostics[0].headline().contains("name a variable"));
}
