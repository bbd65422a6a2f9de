//! Arguments of `kafka.consume`, and what it tells besides the columns: where it begins, how much it takes,
//! where records come from, and how far it is.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Result, ensure};
use subak_testkit::kafka::{Broker, NewRecord, broker};

use super::world::{DAG, LOAD, Wanted, World, records};

/// 2026-01-01T00:00:00Z, in milliseconds.
const JANUARY: i64 = 1_767_225_600_000;

/// Loads a column of the records, and all that is known of each.
const SEEN: &str = "  load:
    operator: postgres.load
    with:
      connection: warehouse
      input: '{{ tasks.read.output }}'
      table: seen
      create: true
      columns: {id: id, _topic: _topic, _timestamp: _timestamp, _key: _key, _headers: _headers}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_task_takes_as_much_as_it_may_and_begins_where_it_is_told() -> Result<()> {
    let broker = broker().await?;
    let wanted = Wanted { about: "bytes", consume: "max_bytes: 4096", ..Wanted::default() };
    let mut world = World::new(broker, &wanted).await?;
    bytes(&mut world, broker).await?;
    observers(&world, broker).await?;
    latest(&mut world, broker).await?;
    instant(&mut world, broker).await
}

/// A record is taken for 1 KiB until some were read, and then for as much as these had.
async fn bytes(world: &mut World, broker: &Broker) -> Result<()> {
    let padded = |ids: Range<i64>, pad: usize| {
        ids.map(move |id| NewRecord {
            value: Some(format!(r#"{{"id": {id}, "pad": "{:pad$}"}}"#, "").into()),
            ..NewRecord::default()
        })
    };
    // Each has 200 bytes.
    broker.produce(&world.topic, padded(10..40, 179)).await?;
    for rows in [4, 24, 30] {
        world.succeed().await?;
        world.check(rows).await?;
    }
    // Ten times as large: so is one range of them, and the next one knows.
    broker.produce(&world.topic, padded(40..63, 1_979)).await?;
    for rows in [50, 52, 53] {
        world.succeed().await?;
        world.check(rows).await?;
    }
    world.find_nothing().await?;
    assert_eq!(world.ledger().await?, "0:53");
    let sizes = "SELECT records || ' ' || bytes FROM topic_range ORDER BY sequence";
    let expected = ["4 800", "20 4000", "6 1200", "20 40000", "2 4000", "1 2000"];
    assert_eq!(world.stack.metadata().texts(sizes).await?, expected);
    Ok(())
}

/// Whoever watches consumer groups sees how far the pipeline was when it last looked.
async fn observers(world: &World, broker: &Broker) -> Result<()> {
    let installation = "SELECT DISTINCT installation FROM subak_offsets";
    let installation = world.warehouse.texts(installation).await?.remove(0);
    let group = format!("subak.{installation}.{DAG}.read");
    let told = async || {
        let committed = broker.committed(&group, &world.topic).await?;
        ensure!(committed == BTreeMap::from([(0, 53)]), "{committed:?}");
        anyhow::Ok(true)
    };
    world.stack.until("the group's offsets", told).await
}

/// From the end that the topic has at the first run, whether or not there is something new by then.
async fn latest(world: &mut World, broker: &Broker) -> Result<()> {
    world.warehouse.run("TRUNCATE record").await?;
    world.topic = broker.topic("latest", 2, &[]).await?;
    let to = |partition: i32| {
        move |record: NewRecord| NewRecord { partition: Some(partition), ..record }
    };
    broker.produce(&world.topic, records(0..10).map(to(0))).await?;
    broker.produce(&world.topic, records(10..17).map(to(1))).await?;
    let dag = world.dag("start: latest", "retries: 0", LOAD);
    world.stack.replace_dag(DAG, &dag).await?;
    world.find_nothing().await?;
    world.find_nothing().await?;
    broker.produce(&world.topic, records(17..20).map(to(0))).await?;
    broker.produce(&world.topic, records(20..22).map(to(1))).await?;
    world.succeed().await?;
    world.check(5).await?;
    assert_eq!(world.number("SELECT min(id) FROM record").await?, 17);
    assert_eq!(positions(world).await?, ["0:13", "1:9"]);
    ensure!(world.ranges().await?.iter().all(|state| state == "committed"));
    world.find_nothing().await
}

/// From the first record of an instant on; each has its topic, timestamp, key and headers.
async fn instant(world: &mut World, broker: &Broker) -> Result<()> {
    world.topic = broker.topic("instant", 1, &[("retention.ms", "-1")]).await?;
    let dated = records(0..8).zip(0..).map(|(record, second)| NewRecord {
        timestamp: Some(JANUARY + second * 1_000 + 250),
        ..record
    });
    broker.produce(&world.topic, dated).await?;
    let told = records(8..9).map(|record| NewRecord {
        timestamp: Some(JANUARY + 8_000),
        key: Some(vec![0xff, 0, b'k']),
        headers: vec![
            header("source", Some("api")),
            header("none", None),
            header("name", Some("Zoë")),
            header("source", Some("file")),
        ],
        ..record
    });
    broker.produce(&world.topic, told).await?;
    let dag = world.dag("start: '2026-01-01T00:00:06Z'", "retries: 0", SEEN);
    world.stack.replace_dag(DAG, &dag).await?;
    world.succeed().await?;
    let seen = format!(
        "SELECT concat_ws(' ', id, _topic = '{}', to_char(_timestamp, 'YYYY-MM-DD HH24:MI:SS.MS'),
                          coalesce(encode(_key, 'hex'), 'null'), coalesce(_headers::jsonb::text, 'null'))
         FROM seen ORDER BY id",
        world.topic
    );
    let expected = [
        "6 t 2026-01-01 00:00:06.250 null null",
        "7 t 2026-01-01 00:00:07.250 null null",
        r#"8 t 2026-01-01 00:00:08.000 ff006b {"name": "Zoë", "none": null, "source": "file"}"#,
    ];
    assert_eq!(world.warehouse.texts(&seen).await?, expected);
    assert_eq!(positions(world).await?, ["0:9"]);
    Ok(())
}

fn header(name: &str, value: Option<&str>) -> (String, Option<Vec<u8>>) {
    (name.to_owned(), value.map(|value| value.as_bytes().to_vec()))
}

/// `partition:next offset` of the topic of now.
async fn positions(world: &World) -> Result<Vec<String>> {
    let rows = format!(
        "SELECT partition || ':' || next_offset FROM subak_offsets WHERE topic = '{}' ORDER BY partition",
        world.topic
    );
    world.warehouse.texts(&rows).await
}
