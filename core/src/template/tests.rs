//! Templates as people write them for Airflow.

use serde_json::{Value, json};

use super::*;

fn instant(text: &str) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn context() -> RunContext {
    let date = instant("2026-11-20T01:02:03Z");
    let xcom = XComKey::new;
    RunContext {
        dag_id: "sales".to_owned(),
        task_id: "load".to_owned(),
        run_id: "scheduled__2026-11-20T01:02:03+00:00".to_owned(),
        run_type: "scheduled".to_owned(),
        logical_date: Some(date),
        data_interval_start: Some(date),
        data_interval_end: Some(instant("2026-11-21T01:02:03.000456Z")),
        run_after: Some(date),
        params: json!({"n": 3, "names": ["a", "b"], "deep": {"x": 1.5}, "none": null}),
        conf: json!({"day": "mon", "with space": 1}),
        try_number: 2,
        map_index: -1,
        arguments: serde_json::Map::new(),
        group: serde_json::Map::new(),
        xcoms: [
            (xcom("extract", "return_value"), json!({"rows": 10})),
            (XComKey { of: XComOf::Instance(0), ..xcom("each", "return_value") }, json!("a")),
            (XComKey { of: XComOf::Instance(2), ..xcom("each", "return_value") }, json!("c")),
            (XComKey { of: XComOf::Prior, ..xcom("extract", "return_value") }, json!("earlier")),
            (xcom("extract", "output"), json!({"url": "file:///x", "format": "csv"})),
            (xcom("my-task", "output"), json!({"url": "file:///y"})),
        ]
        .into(),
        previous: PreviousRun { data_interval_end: Some(date), ..PreviousRun::default() },
        variables: [
            ("region".to_owned(), "eu".to_owned()),
            ("limits".to_owned(), r#"{"rows": 3}"#.to_owned()),
        ]
        .into(),
        connections: [(
            "shop".to_owned(),
            json!({"conn_type": "postgres", "host": "db", "port": 5433, "extra": {"mode": "ro"}}),
        )]
        .into(),
    }
}

/// What a template renders to.
fn check(template: &str, expected: impl Into<Value>) {
    let rendered = render(&json!(template), &context());
    assert_eq!(rendered.unwrap(), expected.into(), "{template}");
}

fn fails(template: &str) -> String {
    render(&json!(template), &context()).unwrap_err().to_string()
}

#[test]
fn dates_read_as_in_airflow() {
    check("{{ ds }}", "2026-11-20");
    check("{{ ds_nodash }}", "20261120");
    check("{{ ts }}", "2026-11-20T01:02:03+00:00");
    check("{{ ts_nodash }}", "20261120T010203");
    check("{{ ts_nodash_with_tz }}", "20261120T010203+0000");
    check("{{ logical_date }}", "2026-11-20 01:02:03+00:00");
    check("on {{ data_interval_end }}", "on 2026-11-21 01:02:03.000456+00:00");
    check("{{ data_interval_end.isoformat() }}", "2026-11-21T01:02:03.000456+00:00");
    check(
        "{{ data_interval_end | ds }} {{ data_interval_end | ts_nodash }}",
        "2026-11-21 20261121T010203",
    );
    check("{{ dag_run.logical_date.year }}", 2026);
}

#[test]
fn dates_have_pendulums_methods() {
    check("{{ logical_date.strftime('%d/%m/%y %H.%M %f') }}", "20/11/26 01.02 000000");
    check("{{ logical_date.format('YYYY/MM/D [at] H:mm dddd') }}", "2026/11/20 at 1:02 Friday");
    check("{{ logical_date.add(days=12, hours=1) | ts }}", "2026-12-02T02:02:03+00:00");
    check("{{ logical_date.subtract(months=9).to_date_string() }}", "2026-02-20");
    check("{{ logical_date.start_of('month') }}", "2026-11-01 00:00:00+00:00");
    check("{{ logical_date.start_of('week').date() }}", "2026-11-16");
    check("{{ logical_date.end_of('day') }}", "2026-11-20 23:59:59.999999+00:00");
    check("{{ logical_date.end_of('year').to_date_string() }}", "2026-12-31");
    check("{{ logical_date.in_timezone('Asia/Jakarta') }}", "2026-11-20 08:02:03+07:00");
    check(
        "{{ logical_date.in_timezone('Asia/Jakarta').start_of('day') }}",
        "2026-11-20 00:00:00+07:00",
    );
    check("{{ logical_date.int_timestamp }}", 1_795_136_523);
    check("{{ logical_date.timestamp() }}", 1_795_136_523.0);
    check("{{ logical_date.month }}-{{ logical_date.weekday() }}", "11-4");
    check("{{ logical_date.replace(day=1, hour=0) | ts }}", "2026-11-01T00:02:03+00:00");
    check("{{ logical_date.add(macros.timedelta(days=1)) | ds }}", "2026-11-21");
}

#[test]
fn dates_follow_the_clocks_of_their_zone() {
    let at = |date: &str, zone: &str, rest: &str, expected: &str| {
        let template = format!("{{{{ macros.datetime({date}).in_timezone('{zone}'){rest} }}}}");
        check(&template, expected);
    };
    let (york, cairo) = ("America/New_York", "Africa/Cairo");
    // Spring: 8 March has 23 hours, autumn: 1 November has 25.
    at("2026, 3, 8, 6", york, ".add(days=1)", "2026-03-09 01:00:00-04:00");
    at("2026, 3, 8, 6", york, ".add(hours=24)", "2026-03-09 02:00:00-04:00");
    at("2026, 3, 7, 7, 30", york, ".add(days=1)", "2026-03-08 03:30:00-04:00");
    at("2026, 3, 9, 7, 30", york, ".subtract(weeks=1)", "2026-03-02 03:30:00-05:00");
    at("2026, 2, 8, 7, 30", york, ".add(months=1)", "2026-03-08 03:30:00-04:00");
    at("2026, 3, 8, 12", york, ".end_of('day')", "2026-03-08 23:59:59.999999-04:00");
    at("2026, 3, 8, 12", york, ".end_of('week')", "2026-03-08 23:59:59.999999-04:00");
    at("2026, 11, 1, 12", york, ".end_of('day')", "2026-11-01 23:59:59.999999-05:00");
    at("2026, 11, 1, 12", york, ".end_of('month')", "2026-11-30 23:59:59.999999-05:00");
    at("2026, 11, 1, 5, 30", york, ".start_of('hour')", "2026-11-01 01:00:00-04:00");
    at("2026, 11, 1, 6, 30", york, ".end_of('hour')", "2026-11-01 01:59:59.999999-05:00");
    let day = " + macros.timedelta(days=1)";
    at("2026, 3, 8, 6", york, day, "2026-03-09 02:00:00-04:00");
    // A day that begins at one: midnight is left out.
    at("2026, 4, 24, 12", cairo, ".start_of('day')", "2026-04-24 01:00:00+03:00");
    at("2026, 4, 24, 12", cairo, ".end_of('day')", "2026-04-24 23:59:59.999999+03:00");
    assert!(fails("{{ logical_date.replace(year=262142).add(years=9) }}").contains("out of range"));
}

#[test]
fn dates_are_added_and_compared_as_in_python() {
    check("{{ logical_date - macros.timedelta(days=1) }}", "2026-11-19 01:02:03+00:00");
    check(
        "s3://x/{{ (logical_date - macros.timedelta(days=1)).strftime('%Y/%m/%d') }}.csv",
        "s3://x/2026/11/19.csv",
    );
    check("{{ (macros.timedelta(hours=23) + logical_date) | ts }}", "2026-11-21T00:02:03+00:00");
    check("{{ (data_interval_end - data_interval_start).days }}", 1);
    check("{{ (data_interval_end - data_interval_start).in_hours() }}", 24);
    check("took {{ data_interval_end - data_interval_start }}", "took 1 day, 0:00:00.000456");
    check("{{ data_interval_start - data_interval_end }}", "-2 days, 23:59:59.999544");
    check(
        "{{ macros.timedelta(1) + macros.timedelta(1) - macros.timedelta(hours=1) }}",
        "1 day, 23:00:00",
    );
    check("{{ macros.timedelta(hours=9) < macros.timedelta(hours=10) }}", true);
    check("{{ logical_date < macros.datetime(2027, 1, 1) }}", true);
    check("{{ logical_date.in_timezone('Asia/Jakarta') == logical_date }}", true);
    check(
        "{% for n in range(3) if n != 1 %}{{ (logical_date - macros.timedelta(n)) | ds }} {% endfor %}",
        "2026-11-20 2026-11-18 ",
    );
    check(
        "{% macro ago(n) %}{{ (logical_date - macros.timedelta(n)).day }}{% endmacro %}{{ ago(2) }}",
        "18",
    );
    // Everything else is minijinja's own.
    check("{{ params.n + 2 - 1.5 }}", 3.5);
    check("n-{{ 'a' + 'b' }}-{{ (params.names + ['c']) | join('+') }}", "n-ab-a+b+c");
    assert!(fails("{{ logical_date - 1 }}").contains("tried to use - operator"));
    assert!(fails("x{{ macros.nothing + 1 }}").contains("undefined"));
    assert!(fails("{{ macros.timedelta(-1e300) }}").contains("out of range"));
    let error = fails("{% for i in range(6000) %}{{ ds * 100 + 'y' }}{% endfor %}");
    assert!(error.contains("longer than 4 MiB"), "{error}");
}

#[test]
fn macros_move_and_format_dates() {
    check("{{ macros.ds_add(ds, -20) }}", "2026-10-31");
    check("{{ macros.ds_format(ds, '%Y-%m-%d', '%d.%m.%Y') }}", "20.11.2026");
    check("{{ macros.datetime(2026, 2, 28, 6).add(days=1) }}", "2026-03-01 06:00:00+00:00");
    check("{{ macros.datetime.strptime(ds, '%Y-%m-%d').year }}", 2026);
    check("{{ macros.timedelta(1).total_seconds() }}", 86_400.0);
}

#[test]
fn a_lone_expression_keeps_its_type() {
    check("{{ params.n }}", 3);
    check(" {{- params.n -}} ", 3);
    check("{{ params.n }} ", 3);
    check("n={{ params.n }}", "n=3");
    check("{{ params.n }}{{ params.n }}", "33");
    check("{{ params.names }}", json!(["a", "b"]));
    check("{{ params.deep }}", json!({"x": 1.5}));
    check("{{ params.none }}", Value::Null);
    check("{{ params.n > 2 }}", true);
    check("{{ params.names | join('-') }}", "a-b");
    check("{{ '}}' }}", "}}");
    check(
        "{% for name in params.names %}{{ name }}{% if not loop.last %},{% endif %}{% endfor %}",
        "a,b",
    );
}

#[test]
fn runs_and_other_tasks_are_there() {
    check("{{ run_id }}", "scheduled__2026-11-20T01:02:03+00:00");
    check("{{ dag.dag_id }}.{{ task.task_id }}.{{ ti.try_number }}", "sales.load.2");
    check("{{ dag_run.conf['day'] }}", "mon");
    check("{{ dag_run.conf['with space'] }}", 1);
    check("{{ dag_run.conf.get('nothing', 'default') }}", "default");
    check("{{ ti.xcom_pull('extract') }}", json!({"rows": 10}));
    check("{{ ti.xcom_pull(task_ids='extract')['rows'] }}", 10);
    check("{{ task_instance.xcom_pull(task_ids='extract', key='nothing') }}", Value::Null);
    check("{{ ti.xcom_pull(task_ids=['extract', 'other']) }}", json!([{"rows": 10}, null]));
    check("{{ ti.xcom_pull('each', map_indexes=2) }}", "c");
    check("{{ ti.xcom_pull(task_ids='each', map_indexes=[2, 1, 0]) }}", json!(["c", null, "a"]));
    check("{{ ti.xcom_pull('extract', include_prior_dates=True) }}", "earlier");
    check("{{ ti.xcom_pull('extract', include_prior_dates=False) }}", json!({"rows": 10}));
    check("{{ tasks.extract.output }}", json!({"url": "file:///x", "format": "csv"}));
    check("{{ tasks['my-task'].output.url }}", "file:///y");
}

#[test]
fn pythons_methods_of_texts_and_dicts_are_there() {
    check("{{ ' Ab '.strip().lower().replace('b', 'c') }}", "ac");
    check("{{ ds.split('-')[0] }}/{{ '7'.zfill(3) }}", "2026/007");
    check("{{ '-'.join(params.names) }}", "a-b");
    check("{{ ds.startswith('2026') and not ds.endswith('x') }}", true);
    check("{{ params.deep.get('x') }} {{ params.deep.get('y') }}", "1.5 None");
    check("{% for key, value in params.deep.items() %}{{ key }}={{ value }}{% endfor %}", "x=1.5");
    check("{{ params.deep.keys() }}", json!(["x"]));
    check("{{ params.deep.values() }}", json!([1.5]));
}

#[test]
fn whole_values_are_rendered() {
    let with =
        json!({"sql": "SELECT '{{ ds }}'", "list": ["{{ params.n }}", 5, null], "{{ ds }}": true});
    let rendered = render(&with, &context()).unwrap();
    let expected = json!({"sql": "SELECT '2026-11-20'", "list": [3, 5, null], "{{ ds }}": true});
    assert_eq!(rendered, expected);
}

#[test]
fn an_operator_that_reads_text_gets_text() {
    let task = |operator: &str, with: Value| {
        let text = format!(
            "dag_id: a\nparams: {{n: 1, none: 1, names: 1}}\ntasks: {{extract: {{operator: csv.read, with: {{path: x}}}}, t: {{operator: {operator}, with: {with}}}}}\n"
        );
        let mut parsed = crate::dag::parse("f", &text);
        assert_eq!(parsed.diagnostics, []);
        render_task(&parsed.dags[0].tasks.remove(1), &context()).unwrap()
    };
    let bash = json!({"command": "true", "cwd": "{{ params.none }}", "env": {"N": "{{ params.n }}", "L": "{{ params.names }}"}});
    let rendered = json!({"command": "true", "cwd": null, "env": {"N": "3", "L": "['a', 'b']"}});
    assert_eq!(task("bash", bash), rendered);
    let python = json!({"code": "pass", "args": [], "input": {"n": "{{ params.n }}"}});
    assert_eq!(task("python", python)["input"], json!({"n": 3}));
    let csv = json!({"path": "{{ params.n }}", "input": "{{ tasks.extract.output }}", "header": "{{ params.n > 2 }}"});
    let rendered =
        json!({"path": "3", "input": {"url": "file:///x", "format": "csv"}, "header": true});
    assert_eq!(task("csv.write", csv), rendered);
    check(
        "is {{ params.n > 2 }}, {{ params.none }}, {{ params.deep }}",
        "is True, None, {'x': 1.5}",
    );
}

#[test]
fn what_is_undefined_is_an_error() {
    insta::assert_snapshot!(
        [
            fails("{{ params.missing }}"),
            fails("{{ dag_run.conf.x.y }}"),
            fails("{{ tasks.nothing.output }}"),
            fails("{{ logical_date.nothing() }}"),
            fails("{{ logical_date.in_timezone('Mars') }}"),
            fails("{{ logical_date.strftime('%Q') }}"),
            fails("{{ logical_date.add(years=99999999) }}"),
            fails("{{ params.n | ds }}"),
            render(&json!("{{ ds }}"), &RunContext::default()).unwrap_err().to_string(),
        ]
        .join("\n")
    );
}

#[test]
fn a_template_cant_run_for_ever() {
    assert!(
        fails("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")
            .contains("fuel")
    );
    assert!(fails("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").contains("recursion"));
    assert!(fails("{{ 'x' * 9999999999 }}").len() < 1_000);
}

#[test]
fn a_template_cant_grow_without_end() {
    let doubled = "{% set a = a ~ a %}".repeat(30);
    let named: String = (0..30).map(|n| format!("{{% set a{} = a{n} ~ a{n} %}}", n + 1)).collect();
    for template in [
        format!("{{% set a = 'x' %}}{doubled}{{{{ a }}}}"),
        format!("{{% set a0 = 'x' %}}{named}{{{{ a30 }}}}"),
        "{% set n = namespace(a='x') %}{% for i in range(40) %}{% set n.a = n.a ~ n.a %}{% endfor %}"
            .to_owned(),
        "{% set a = 'x' %}".to_owned() + &"{% set a %}{{ a }}{{ a }}{% endset %}".repeat(30),
        "{% macro f(a) %}{{ a }}{{ a }}{% endmacro %}".to_owned()
            + "{{ "
            + &"f(".repeat(30)
            + "'x'"
            + &")".repeat(30)
            + " }}",
    ] {
        let error = fails(&template);
        assert!(error.contains("it puts a value into itself again and again"), "{error}");
    }
    let error = fails("{% for i in range(6000) %}{{ 'x' * 1000 }}{% endfor %}");
    assert!(error.contains("longer than 4 MiB"), "{error}");
    // What people write.
    check(
        "{% set day = ds %}{% set name = 'sales-' ~ day ~ '.csv' %}{{ name }} {{ day }}",
        "sales-2026-11-20.csv 2026-11-20",
    );
    check(
        "{% set n = namespace(all='') %}{% for x in params.names %}{% set n.all = n.all ~ x %}\
         {% endfor %}{{ n.all }}",
        "ab",
    );
    check("{% macro pair(a) %}{{ a }}={{ a }}{% endmacro %}{{ pair(1) }} {{ pair(2) }}", "1=1 2=2");
}

#[test]
fn references_tell_what_to_send_along() {
    let with = json!({
        "input": "{{ tasks.a.output }}",
        "inputs": {"b": "{{ tasks['b-c'].output.url }}"},
        "env": ["{{ ti.xcom_pull(task_ids=['d', 'e'], key='k') }} {{ ti.xcom_pull('f')['x'] | default(params.g) }}"],
        "more": "{% if dag_run.conf.x %}{{ params['h'] }}{% set params_of = 1 %}{{ params_of }}{% endif %}",
        "broken": "{{ tasks.z.output",
    });
    let found = references(&with);
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(found.outputs, names(&["a", "b-c"]));
    assert_eq!(found.params, names(&["g", "h"]));
    assert!(found.conf);
    let needed: Vec<_> = found
        .needed_xcoms()
        .into_iter()
        .map(|key| format!("{}/{}", key.task_id, key.key))
        .collect();
    assert_eq!(needed, ["a/output", "b-c/output", "d/k", "e/k", "f/return_value"]);
}

#[test]
fn single_instances_and_earlier_runs_are_sent_along() {
    let needed = |text: &str| -> Vec<(String, XComOf)> {
        let found = references(&json!(text)).needed_xcoms();
        found.into_iter().map(|key| (key.task_id, key.of)).collect()
    };
    let each = |of: &[XComOf]| of.iter().map(|of| ("each".to_owned(), *of)).collect::<Vec<_>>();
    let of = |more: &str| needed(&format!("{{{{ ti.xcom_pull('each', {more}) }}}}"));
    assert_eq!(of("map_indexes=3"), each(&[XComOf::Instance(3)]));
    let two = each(&[XComOf::Instance(0), XComOf::Instance(1)]);
    assert_eq!(of("map_indexes=[0, 1]"), two);
    assert_eq!(of("include_prior_dates=true"), each(&[XComOf::Prior]));
    assert_eq!(of("include_prior_dates=false"), each(&[XComOf::Run]));
    let (params, tasks) = (Default::default(), ["each", "b"].into_iter().collect());
    let known = Known { params: &params, tasks: &tasks, arguments: &[], group: &[] };
    for (more, said) in [
        ("map_indexes=-1", "an index or a list of indexes"),
        ("map_indexes=params.x", "map indexes written out"),
        ("include_prior_dates=1", "\"include_prior_dates\" written out"),
        ("map_indexes=0, include_prior_dates=true", "not both"),
        ("dag_id='other'", "not supported yet"),
    ] {
        let problems =
            check::check(&format!("{{{{ ti.xcom_pull('each', {more}) }}}}"), &known).problems;
        assert!(problems.iter().any(|it| it.message.contains(said)), "{more}: {problems:?}");
    }
}

#[test]
fn params_are_read_like_a_dict() {
    check("{{ params.get('n') }} {{ params.get('nothing', 'there') }}", "3 there");
    check("{{ params.items() | list | length }} {{ 'n' in params.keys() }}", "4 True");
    let named = |text: &str| Vec::from_iter(references(&json!(text)).params);
    assert_eq!(named("{{ params.get('n', 1) }}"), ["n"]);
    assert_eq!(named("{% for key, value in params.items() %}{{ key }}{% endfor %}"), ["*"]);
    let (params, tasks) = (Default::default(), Default::default());
    let known = Known { params: &params, tasks: &tasks, arguments: &[], group: &[] };
    for (text, said) in [
        ("{{ params.get('dya') }}", "unknown param \"dya\""),
        ("{{ params.get(ds) }}", "a param's name is written out"),
        ("{{ dag.params.day }}", "write {{ params.day }}"),
    ] {
        let found = check::check(text, &known).problems;
        assert!(found.len() == 1 && found[0].message.contains(said), "{text}: {found:?}");
    }
}

#[test]
fn connections_are_named_and_refused_in_code() {
    let with = json!("{{ conn.shop.host }} {{ conn['my-db'].extra_dejson.mode }}");
    let found = references(&with).connections;
    assert_eq!(found, ["my-db", "shop"].map(str::to_owned).into());
    let (params, tasks) = (Default::default(), Default::default());
    let known = Known { params: &params, tasks: &tasks, arguments: &[], group: &[] };
    let problems = |text: &str| -> Vec<String> {
        let found = check::check(text, &known).problems.into_iter();
        found.map(|problem| problem.message).collect()
    };
    assert_eq!(problems("{{ conn.shop.host }}"), [""; 0]);
    for (text, said) in [
        ("{{ conn.shop.hots }}", "unknown field of a connection \"hots\": did you mean \"host\"?"),
        ("{{ conn.shop }}", "name a connection and its field"),
        ("{{ conn.get('shop').host }}", "name a connection and its field"),
    ] {
        let found = problems(text);
        assert!(found.iter().any(|it| it.starts_with(said)), "{text}: {found:?}");
    }
    assert_eq!(check::check("{{ conn.shop.password }}", &known).values, ["conn.shop.password"]);
}

#[test]
fn connections_have_airflows_fields() {
    check(
        "{{ conn.shop.conn_type }}://{{ conn.shop.host }}:{{ conn.shop.port }}",
        "postgres://db:5433",
    );
    check("{{ conn.shop.port }}", 5433);
    check("{{ conn['shop'].conn_id }}", "shop");
    check("{{ conn.shop.login }}", Value::Null);
    check("{{ conn.shop.extra_dejson.mode }}", "ro");
    check("{{ conn.shop.extra_dejson.get('other', 'none') }}", "none");
    check("{{ conn.shop.extra }}", r#"{"mode":"ro"}"#);
    let missing = fails("{{ conn.stock.host }}");
    assert!(missing.contains("connection `stock` does not exist: add it with"), "{missing}");
}

#[test]
fn every_filter_and_test_that_is_known_exists() {
    for name in check::FILTERS {
        let error = environment::ENVIRONMENT
            .render_str(&format!("{{{{ 1 | {name} }}}}"), ())
            .err()
            .map(|error| error.kind());
        assert_ne!(error, Some(minijinja::ErrorKind::UnknownFilter), "{name}");
    }
    for name in check::TESTS.iter().filter(|name| name.chars().all(char::is_alphanumeric)) {
        let error = environment::ENVIRONMENT
            .render_str(&format!("{{{{ 1 is {name} }}}}"), ())
            .err()
            .map(|error| error.kind());
        assert_ne!(error, Some(minijinja::ErrorKind::UnknownTest), "{name}");
    }
}

#[test]
fn jinjas_filters_of_texts_are_there() {
    check("{{ 'a b/ü~?' | urlencode }}", "a%20b/%C3%BC~%3F");
    check("{{ {'day': 'a b', 'in': 'x/y&'} | urlencode }}", "day=a+b&in=x%2Fy%26");
    check("{{ [('a', 1), ('b', 2)] | urlencode }}", "a=1&b=2");
    check("{{ 'foo bar baz qux' | truncate(9) }}", "foo...");
    check("{{ 'foo bar baz qux' | truncate(11) }}", "foo bar baz qux");
    check("{{ 'foo bar baz qux' | truncate(11, leeway=0) }}", "foo bar...");
    check("{{ 'foo bar baz qux' | truncate(9, True, end='', leeway=0) }}", "foo bar b");
    check("{{ 'two words, or 4?' | wordcount }}", 4);
    check("[{{ 'ab' | center(5) }}][{{ 'a' | center(width=4) }}]", "[  ab ][ a  ]");
    check(
        "{{ 13400 | filesizeformat }} {{ 13400 | filesizeformat(True) }} {{ 999 | filesizeformat }}",
        "13.4 kB 13.1 KiB 999 Bytes",
    );
    assert!(fails("x{{ params.missing | urlencode }}").contains("undefined"));
}

#[test]
fn what_a_run_lacks_is_none_and_what_was_not_pulled_has_its_default() {
    let of = |template: &str, context: &RunContext| render(&json!(template), context).unwrap();
    let undated = RunContext::default();
    assert_eq!(of("{% if dag_run.logical_date %}x{% else %}none{% endif %}", &undated), "none");
    assert_eq!(of("{{ dag_run.run_after }}", &undated), Value::Null);
    check("{{ task_instance_key_str }}", "sales__load__20261120");
    check("{{ ti.xcom_pull('nothing', default=params.n) }}", 3);
    check("{{ ti.xcom_pull('extract', default=5)['rows'] }}", 10);
    check("{{ ti.xcom_pull('each', map_indexes=[0, 1], default='-') }}", json!(["a", "-"]));
    assert_eq!(pulled("{{ ti.xcom_pull('a') }}").map(|key| key.task_id).as_deref(), Some("a"));
    assert_eq!(pulled("{{ ti.xcom_pull('a', default=[]) }}"), None, "its default would be lost");
    assert!(
        references(&json!("{{ ti.xcom_pull('a', default=conn.b.host) }}")).connections.len() == 1
    );

    let (params, tasks) = (Default::default(), Default::default());
    let known = Known { params: &params, tasks: &tasks, arguments: &[], group: &[] };
    for (text, said) in [
        ("{{ ds | wordwrap }}", "the filter \"wordwrap\" is not supported yet"),
        (
            "{{ macros.json.dumps(ds) }}",
            "macros.json is not supported yet: write {{ value | tojson }}",
        ),
        ("{{ dag.tags }}", "unknown attribute of dag \"tags\": use dag_id"),
        (
            "{{ ti.max_tries }}",
            "unknown attribute of ti \"max_tries\": use dag_id, task_id, run_id",
        ),
    ] {
        let found = check::check(text, &known).problems;
        assert!(found.len() == 1 && found[0].message.starts_with(said), "{text}: {found:?}");
    }
}

#[test]
fn every_attribute_of_a_date_that_is_known_exists() {
    for name in datetime::MEMBERS {
        let value = fails_or_not(&format!("{{{{ logical_date.{name} }}}}"));
        let call = fails_or_not(&format!("{{{{ logical_date.{name}() }}}}"));
        let missing = call.as_ref().is_err_and(|error| error.contains("dates have no"));
        assert!(value.is_ok() || !missing, "{name}: {value:?} {call:?}");
    }
}

fn fails_or_not(template: &str) -> Result<Value, String> {
    render(&json!(template), &context()).map_err(|error| error.to_string())
}

#[test]
fn variables_are_texts_or_json() {
    check("{{ var.value.region }}", "eu");
    check("{{ var.value['limits'] }}", "{\"rows\": 3}");
    check("{{ var.json.limits.rows }}", 3);
    check("{{ var.value.get('nope', 'there') }}", "there");
    check("{{ var.json.get('limits', {}).rows }}", 3);
    let missing = fails("{{ var.value.nope }}");
    assert!(missing.contains("`subak variables set nope VALUE`"), "{missing}");
    assert!(fails("{{ var.json.region.x }}").contains("`region` is not JSON"));
    let found = references(&json!([
        "{{ var.value.a }}",
        "{{ var.json.get('b', 1) }}",
        "{{ var.value.b }}"
    ]));
    assert_eq!(found.variables, [("a".to_owned(), false), ("b".to_owned(), false)].into());
}

#[test]
fn the_last_successful_run_has_dates_or_none() {
    check("{{ prev_data_interval_end_success | ds }}", "2026-11-20");
    check("{{ prev_start_date_success is none }}", true);
    assert!(references(&json!("{{ prev_start_date_success }}")).previous);
    assert!(!references(&json!("{{ ds }}")).previous);
}

#[test]
fn each_variable_that_airflow_removed_says_what_to_write_and_that_is_accepted() {
    let problems = |expression: &str| -> Vec<String> {
        let env = format!("{{X: '{{{{ {expression} }}}}'}}");
        let text = format!(
            "dag_id: x\ntasks:\n  a: {{operator: bash, with: {{command: 'true', env: {env}}}}}\n"
        );
        let parsed = crate::dag::parse("x.yaml", &text);
        parsed.diagnostics.into_iter().map(|it| it.message).collect()
    };
    for (name, instead) in check::REMOVED {
        let found = problems(name);
        let says = format!("{name:?} was removed in Airflow 3: write {{{{ {instead} }}}}");
        assert!(found.len() == 1 && found[0].contains(&says), "{name}: {found:?}");
        assert_eq!(problems(instead), [""; 0], "{instead}");
    }
}
