//! Brokers that ask who one is, over TLS.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use subak_task::{Connection, ErrorClass, TaskError};
use subak_testkit::kafka::{Broker, PLAIN_USER, SCRAM_USER, SECRET, WRONG_SECRET};

/// What may pass by itself is asked for so long.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where it does not pass.
const SHORT_PATIENCE: Duration = Duration::from_secs(5);

async fn probe(value: Value, patience: Duration) -> Result<Value, TaskError> {
    let connection: Connection = serde_json::from_value(value).unwrap();
    subak_tasks_kafka::probe(&connection, patience).await
}

/// A connection as in Confluent Cloud; the authority is only needed as it is the test's own.
fn connection(broker: &Broker, login: &str, password: &str, mut extra: Value) -> Result<Value> {
    let authority = broker.authority().context("the broker has a certificate")?;
    extra["ssl.ca.location"] = json!(authority);
    Ok(json!({
        "conn_type": "kafka", "host": broker.bootstrap(), "login": login, "password": password,
        "extra": extra,
    }))
}

#[tokio::test]
async fn both_mechanisms_let_in_who_is_known_and_name_what_is_wrong() -> Result<()> {
    let broker = Broker::start_secured().await?;
    let scram = || json!({"sasl.mechanism": "SCRAM-SHA-512"});
    // Any property of librdkafka goes with it.
    let plain = json!({"socket.keepalive.enable": true, "client.id": "the-test"});
    for value in [
        connection(&broker, PLAIN_USER, SECRET, plain)?,
        connection(&broker, SCRAM_USER, SECRET, scram())?,
    ] {
        assert_eq!(probe(value, PATIENCE).await.unwrap()["brokers"], 1);
    }

    let authentication = "what to do: set the right login and password";
    let mut distrusted = connection(&broker, PLAIN_USER, SECRET, json!({}))?;
    distrusted["extra"] = json!({});
    let mut plaintext = distrusted.clone();
    plaintext["extra"] = json!({"security.protocol": "sasl_plaintext"});
    for (value, class, expected) in [
        (
            connection(&broker, PLAIN_USER, WRONG_SECRET, json!({}))?,
            ErrorClass::Permanent,
            authentication,
        ),
        (
            connection(&broker, SCRAM_USER, WRONG_SECRET, scram())?,
            ErrorClass::Permanent,
            authentication,
        ),
        (connection(&broker, "nobody", SECRET, scram())?, ErrorClass::Permanent, authentication),
        (
            connection(&broker, PLAIN_USER, SECRET, json!({"sasl.mechanism": "SCRAM-SHA-256"}))?,
            ErrorClass::Permanent,
            "sasl.mechanism",
        ),
        (
            distrusted,
            ErrorClass::Permanent,
            "ssl.ca.location in the connection's extra is its authority",
        ),
        (plaintext, ErrorClass::Transient, "security.protocol is theirs"),
    ] {
        let shown = value["extra"].to_string();
        let passes = class == ErrorClass::Transient;
        let patience = if passes { SHORT_PATIENCE } else { PATIENCE };
        let error = probe(value, patience).await.unwrap_err();
        assert!(error.message.contains(expected), "{shown}: {error}");
        assert_eq!(error.class, class, "{shown}: {error}");
        assert!(error.message.contains(broker.bootstrap()), "{error}");
        assert!(!error.message.contains("hunter"), "{error}");
    }
    Ok(())
}
