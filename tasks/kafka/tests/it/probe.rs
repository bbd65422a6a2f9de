//! "Test connection".

use std::net::TcpListener;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use subak_task::{Connection, ErrorClass, TaskError};
use subak_testkit::kafka::broker;

fn connection(host: &str, extra: Value) -> Connection {
    let value = json!({"conn_type": "kafka", "host": host, "extra": extra});
    serde_json::from_value(value).unwrap()
}

async fn probe(host: &str, extra: Value, patience: Duration) -> Result<Value, TaskError> {
    subak_tasks_kafka::probe(&connection(host, extra), patience).await
}

#[tokio::test]
async fn a_broker_says_what_it_is() -> Result<()> {
    let broker = broker().await?;
    broker.topic("probe", 2, &[]).await?;
    let found = probe(broker.bootstrap(), json!({}), Duration::from_secs(60)).await.unwrap();
    assert_eq!(found["server"], "Kafka");
    assert_eq!(found["brokers"], 1);
    assert!(found["topics"].as_u64().unwrap() >= 1, "{found}");
    assert!(found["cluster"].as_str().is_some_and(|id| !id.is_empty()), "{found}");
    Ok(())
}

#[tokio::test]
async fn a_broker_that_is_away_is_named_with_its_reason() -> Result<()> {
    // A port that was free a moment ago: nobody listens.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let error = probe(&address, json!({}), Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    for part in [address.as_str(), "Connection refused", "what to do: see that the brokers run"] {
        assert!(error.message.contains(part), "{part}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_property_that_librdkafka_does_not_take_is_named_without_its_value() -> Result<()> {
    let extra = json!({"socket.timeout.ms": "hunter2"});
    let error = probe("localhost", extra, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent, "{error}");
    assert!(error.message.contains("`socket.timeout.ms`"), "{error}");
    assert!(!error.message.contains("hunter2"), "{error}");
    Ok(())
}
