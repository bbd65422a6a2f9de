//! What brokers tell of topics.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use subak_task::Connection;
use subak_testkit::kafka::{NewRecord, broker};

const PATIENCE: Duration = Duration::from_secs(60);

fn connection(host: &str) -> Connection {
    serde_json::from_value(json!({"conn_type": "kafka", "host": host})).unwrap()
}

fn record(partition: i32, key: &str, value: Option<&[u8]>, timestamp: i64) -> NewRecord {
    NewRecord {
        partition: Some(partition),
        key: Some(key.into()),
        value: value.map(<[u8]>::to_vec),
        timestamp: Some(timestamp),
        ..NewRecord::default()
    }
}

#[tokio::test]
async fn a_topic_shows_how_far_it_goes_and_its_latest_records() -> Result<()> {
    let broker = broker().await?;
    let topic = broker.topic("looked-at", 2, &[]).await?;
    let connection = connection(broker.bootstrap());
    let heads = subak_tasks_kafka::topics(&connection, PATIENCE).await.unwrap();
    let head = heads.topics.iter().find(|it| it.name == topic).unwrap();
    assert_eq!((head.partitions, head.replicas, heads.brokers), (2, 1, 1));
    assert!(heads.topics.iter().all(|it| !it.name.starts_with("__")), "{heads:?}");

    let empty = subak_tasks_kafka::look(&connection, topic.clone(), 10, PATIENCE).await.unwrap();
    assert_eq!((empty.records.len(), empty.missing), (0, None));

    let long = [b'x'; 5000];
    broker
        .produce(
            &topic,
            [
                record(0, "a", Some(b"one"), 1_000),
                record(1, "b", Some(b"\xff\xfe"), 2_000),
                record(0, "c", None, 3_000),
                record(0, "d", Some(&long), 4_000),
            ],
        )
        .await?;
    broker.expire(&topic, 0, 1).await?;
    let look = subak_tasks_kafka::look(&connection, topic.clone(), 3, PATIENCE).await.unwrap();
    let marks: Vec<_> =
        look.marks.partitions.iter().map(|it| (it.partition, it.low, it.high)).collect();
    assert_eq!(marks, [(0, Some(1), Some(3)), (1, Some(0), Some(1))]);
    assert_eq!((look.cluster, look.missing), (heads.cluster, None));
    let [long, tombstone, bytes] = &look.records[..] else { panic!("{:?}", look.records) };
    assert_eq!((long.offset, long.timestamp, tombstone.offset), (2, Some(4_000), 1));
    let value = long.value.as_ref().unwrap();
    assert!(
        value.is_cut() && value.is_text && value.size_bytes == 5000 && value.shown.len() == 2048
    );
    assert_eq!((&tombstone.value, &*tombstone.key.as_ref().unwrap().shown), (&None, "c"));
    assert_eq!(bytes.value.as_ref().map(|it| (&*it.shown, it.is_text)), Some(("fffe", false)));

    let both = vec![topic.clone(), "no-such-topic".to_owned()];
    let marks = subak_tasks_kafka::marks(&connection, both, PATIENCE).await.unwrap();
    let found: Vec<_> = marks.topics.iter().map(|it| (&*it.name, it.partitions.len())).collect();
    assert_eq!(found, [(&*topic, 2), ("no-such-topic", 0)]);
    let error = subak_tasks_kafka::look(&connection, "no-such-topic".into(), 1, PATIENCE);
    assert!(error.await.unwrap_err().message.ends_with("has no topic `no-such-topic`"));
    Ok(())
}
