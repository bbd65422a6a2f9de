//! The loads that a topic's records end in.

use subak_core::dag::parse;

const HEAD: &str = "dag_id: drain
tasks:
  read:
    operator: kafka.consume
    with: {connection: broker, topic: t, columns: {id: id}}
";

const LOAD: &str = "  load:
    operator: postgres.load
    with: {connection: warehouse, input: '{{ tasks.FROM.output }}', table: t}
";

/// The sinks of `read` and its connections, or what the file is refused for.
fn sinks(tasks: &str) -> Result<(Vec<String>, Vec<String>), String> {
    let parsed = parse("dags/drain.yaml", &format!("{HEAD}{tasks}"));
    if let Some(problem) = parsed.diagnostics.first() {
        return Err(problem.to_string());
    }
    let dag = &parsed.dags[0];
    let read = dag.task(&"read".into()).unwrap();
    let sinks = read.sinks.iter().map(|sink| format!("{} {}", sink.task_id, sink.connection));
    Ok((sinks.collect(), read.connections.clone()))
}

fn load(id: &str, from: &str) -> String {
    LOAD.replace("load:", &format!("{id}:")).replace("FROM", from)
}

#[test]
fn loads_below_a_topic_are_its_sinks_however_its_records_get_there() {
    let made = "  made:
    operator: transform
    with: {input: '{{ tasks.read.output }}', sql: SELECT * FROM read}
";
    let other = "  file:
    operator: csv.read
    with: {path: a.csv}
";
    let tasks = [
        load("l1", "read"),
        made.to_owned(),
        load("l2", "made"),
        other.to_owned(),
        load("l3", "file"),
    ];
    let (sinks, connections) = sinks(&tasks.concat()).unwrap();
    assert_eq!(sinks, ["l1 warehouse", "l2 warehouse"]);
    assert_eq!(connections, ["broker", "warehouse"]);
}

#[test]
fn a_topic_without_a_load_is_refused() {
    let check = |tasks: &str, expected: &str| {
        let said = sinks(tasks).unwrap_err();
        assert!(said.contains(expected), "{said}");
    };
    check("", "task \"read\": no load follows");
    let after = "  after: {operator: noop, depends_on: [read]}\n";
    check(after, "no load follows");
}

#[test]
fn arguments_of_a_topics_reader_must_fit_together() {
    let check = |with: &str, expected: &str| {
        let file = format!("{HEAD}{}", load("load", "read")).replace("columns: {id: id}", with);
        let said = parse("dags/drain.yaml", &file).diagnostics.first().map(ToString::to_string);
        assert!(said.clone().unwrap_or_default().contains(expected), "{said:?}");
    };
    check("format: csv", "needs \"names\"");
    check("format: raw, columns: {id: id}", "one column, \"value\"");
    check("names: [a], columns: {id: id}", "belongs to format csv");
    check("columns: {_offset: id}", "are there by themselves");
    check("columns: {id: id}, max_messages: 0", "is 0");
    check("columns: {id: id}, start: yesterday", "earliest, latest or an instant");
    check("columns: {id: {typ: bigint}}", "");
}
