//! A broker that speaks TLS, and knows its clients by SASL: PLAIN and SCRAM.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use super::Broker;

/// A user that PLAIN knows.
pub const PLAIN_USER: &str = "plainly";
/// A user that SCRAM-SHA-512 knows.
pub const SCRAM_USER: &str = "scrambled";
/// The password of both.
pub const SECRET: &str = "hunter2-and-more";
/// One that is not.
pub const WRONG_SECRET: &str = "hunter3-and-less";

/// Both mechanisms on the one listener; the broker itself comes in by PLAIN.
const PROPERTIES: &str = r#"
listener.security.protocol.map=BROKER:SASL_SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.broker.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="PLAIN_USER" password="SECRET" user_PLAIN_USER="SECRET";
listener.name.broker.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location=FOLDER/server.pem
ssl.truststore.type=PEM
ssl.truststore.location=FOLDER/ca.pem
"#;

impl Broker {
    /// Starts one of a test's own that asks its clients for a user and a password, over TLS.
    pub async fn start_secured() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).context("making a certificate")?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let path = folder.path().to_path_buf();
        fs::write(path.join("ca.pem"), &certificate)?;
        fs::write(path.join("server.pem"), key + &certificate)?;
        let properties = PROPERTIES
            .replace("PLAIN_USER", PLAIN_USER)
            .replace("SECRET", SECRET)
            .replace("FOLDER", &path.display().to_string());
        fs::write(path.join("secured.properties"), properties)?;
        let env = vec![
            ("KAFKA_PROPERTIES", path.join("secured.properties").display().to_string()),
            ("KAFKA_SCRAM", format!("SCRAM-SHA-512=[name={SCRAM_USER},password={SECRET}]")),
        ];
        let settings = [
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", PLAIN_USER),
            ("sasl.password", SECRET),
            ("ssl.ca.location", &path.join("ca.pem").display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self::start_with(folder, env, settings.to_vec()).await
    }

    /// The file of the authority that a secured broker's clients are to trust.
    #[must_use]
    pub fn authority(&self) -> Option<PathBuf> {
        let own = self.own.as_ref()?;
        Some(own.folder.path().join("ca.pem")).filter(|file| file.exists())
    }
}
