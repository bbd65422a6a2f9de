//! What records are: JSON whose columns nobody names, CSV, bytes.

use anyhow::{Result, ensure};
use subak_testkit::kafka::{NewRecord, broker};

use super::world::{DAG, Wanted, World};
use crate::stdout;

fn values(values: &[&str]) -> Vec<NewRecord> {
    let record = |value: &&str| NewRecord { value: Some((*value).into()), ..NewRecord::default() };
    values.iter().map(record).collect()
}

/// A DAG that reads a topic, and loads all columns into a table that it makes.
fn dag(topic: &str, arguments: &str) -> String {
    format!(
        "dag_id: {DAG}\ndefault_args: {{retries: 0}}\ntasks:\n  read:\n    operator: kafka.consume\n    with:\n      \
         connection: broker\n      topic: {topic}\n      {arguments}\n  load:\n    \
         operator: postgres.load\n    with:\n      connection: warehouse\n      \
         input: '{{{{ tasks.read.output }}}}'\n      table: made\n      create: true\n"
    )
}

async fn world(about: &str, arguments: &str) -> Result<World> {
    let broker = broker().await?;
    let world = World::new(broker, &Wanted { about, ..Wanted::default() }).await?;
    world.stack.replace_dag(DAG, &dag(&world.topic, arguments)).await?;
    Ok(world)
}

const COLUMNS: &str = "SELECT column_name || ' ' || data_type FROM information_schema.columns
                       WHERE table_name = 'made' AND column_name NOT LIKE '\\_%' ORDER BY 1";

#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_columns_of_its_first_records() -> Result<()> {
    let mut world = world("inferred", "format: json").await?;
    let broker = broker().await?;
    let first = values(&[
        r#"{"id": 1, "name": {"first": "Ann", "age": 31}, "paid": 2, "tags": ["a"]}"#,
        r#"{"id": 2, "name": {"first": "Bob"}, "paid": 2.5, "member": true}"#,
    ]);
    broker.produce(&world.topic, first).await?;
    world.succeed().await?;
    let columns = [
        "id bigint",
        "member boolean",
        "name_age bigint",
        "name_first text",
        "paid double precision",
        "tags text",
    ];
    assert_eq!(world.warehouse.texts(COLUMNS).await?, columns);
    let rows =
        "SELECT concat_ws(' ', id, name_first, name_age, paid, member, tags) FROM made ORDER BY id";
    assert_eq!(world.warehouse.texts(rows).await?, ["1 Ann 31 2 [\"a\"]", "2 Bob 2.5 t"]);

    // What the first 10,000 records do not have is left out, and told.
    let many: Vec<NewRecord> = (3..10_003)
        .map(|id| format!(r#"{{"id": {id}, "name": {{"first": "n", "age": 1}}, "paid": 1.5, "member": false, "tags": []}}"#))
        .chain([r#"{"id": 10003, "late": 1, "name": {"nick": "x"}}"#.to_owned()])
        .map(|value| NewRecord { value: Some(value.into()), ..NewRecord::default() })
        .collect();
    broker.produce(&world.topic, many).await?;
    let ended = world.succeed().await?;
    assert_eq!(world.number("SELECT count(*) FROM made").await?, 10_003);
    let log = world.stack.subak(&["runs", "logs", DAG, &ended.run_id, "--task", "read"]).await?;
    let log = stdout(&log);
    for part in
        ["columns taken from 10000 records: id bigint, ", "do not have them: late, name.nick"]
    {
        ensure!(log.contains(part), "no `{part}` in {log}");
    }
    Ok(())
}

/// Rules and loads name a field as it is in the record.
#[tokio::test(flavor = "multi_thread")]
async fn fields_of_records_are_found_by_their_path() -> Result<()> {
    let mut world = world("paths", "format: json").await?;
    let dag = format!(
        "dag_id: {DAG}\ntasks:\n  read:\n    operator: kafka.consume\n    with: {{connection: broker, \
         topic: {}}}\n  check:\n    operator: validate\n    with:\n      \
         input: '{{{{ tasks.read.output }}}}'\n      \
         rules: [{{column: name.first, not_empty: true}}]\n  load:\n    operator: postgres.load\n    \
         with:\n      connection: warehouse\n      input: '{{{{ tasks.check.output }}}}'\n      \
         table: made\n      create: true\n      columns: {{id: id, first: name.first}}\n",
        world.topic
    );
    world.stack.replace_dag(DAG, &dag).await?;
    let records =
        values(&[r#"{"id": 1, "name": {"first": "Ann"}}"#, r#"{"id": 2, "name": {"first": " "}}"#]);
    broker().await?.produce(&world.topic, records).await?;
    world.succeed().await?;
    assert_eq!(world.warehouse.texts("SELECT id || first FROM made").await?, ["1Ann"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_must_match_a_schema_and_dead_letters_are_copied() -> Result<()> {
    let broker = broker().await?;
    let rejected = broker.topic("rejected", 1, &[]).await?;
    let arguments = format!(
        "columns: {{id: {{type: bigint}}}}\n      on_bad_record: dead_letter\n      dead_letter: \
         kafka://broker/{rejected}\n      schema: {{required: [id, email], properties: {{id: \
         {{minimum: 1}}, email: {{format: email}}}}}}"
    );
    let mut world = world("schema", &arguments).await?;
    let records = values(&[
        r#"{"id": 1, "email": "ann@example.org"}"#,
        r#"{"id": 0, "email": "nobody"}"#,
        r#"{"id": 2}"#,
        "oops",
    ]);
    broker.produce(&world.topic, records).await?;
    world.succeed().await?;
    assert_eq!(world.warehouse.texts("SELECT id::text FROM made").await?, ["1"]);
    let reasons =
        "SELECT position || ' ' || jsonb_array_length(reasons) FROM dead_letter ORDER BY 1";
    assert_eq!(world.stack.metadata().texts(reasons).await?, ["1 2", "2 1", "3 1"]);
    let copies = broker.records(&rejected).await?;
    ensure!(copies.len() == 3, "{copies:?}");
    for ((key, value), part) in copies.iter().zip(["email", "email", "JSON"]) {
        ensure!(key.contains("\"partition\":0") && value.contains(part), "{key} {value}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_and_bytes_arrive_as_they_were() -> Result<()> {
    let mut csv = world("csv", "format: csv\n      names: [id, name, day]\n      columns: {id: {type: bigint}, who: name}\n      on_bad_record: skip").await?;
    let broker = broker().await?;
    broker.produce(&csv.topic, values(&["1,\"Ann, B\",x", "2,,y\r\n", "three,C,z", "4"])).await?;
    csv.succeed().await?;
    let rows = "SELECT id || ':' || coalesce(who, 'null') FROM made ORDER BY id";
    assert_eq!(csv.warehouse.texts(rows).await?, ["1:Ann, B", "2:null"]);

    let mut raw = world("raw", "format: raw").await?;
    let bytes = |value: Option<&[u8]>| NewRecord {
        value: value.map(<[u8]>::to_vec),
        ..NewRecord::default()
    };
    let records = [bytes(Some(b"\xff\x00a")), bytes(Some(b"")), bytes(None)];
    broker.produce(&raw.topic, records).await?;
    raw.succeed().await?;
    let rows = "SELECT coalesce(encode(value, 'hex'), 'null') FROM made ORDER BY 1";
    assert_eq!(raw.warehouse.texts(rows).await?, ["", "ff0061", "null"]);
    Ok(())
}
