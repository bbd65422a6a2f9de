//! Where copies of rejected records go.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

/// The scheme of a topic of a connection.
const SCHEME: &str = "kafka://";

/// A topic that gets a copy of every dead letter of a task: `kafka://<connection>/<topic>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterCopies {
    pub connection: String,
    pub topic: String,
}

impl FromStr for LetterCopies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.strip_prefix(SCHEME).and_then(|rest| rest.split_once('/'));
        match named {
            Some((connection, topic)) if !connection.is_empty() && !topic.is_empty() => {
                Ok(Self { connection: connection.to_owned(), topic: topic.to_owned() })
            }
            _ => Err(format!("expected {SCHEME}CONNECTION/TOPIC, found {text:?}")),
        }
    }
}

impl fmt::Display for LetterCopies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.connection, self.topic)
    }
}

impl Serialize for LetterCopies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LetterCopies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for LetterCopies {
    fn schema_name() -> Cow<'static, str> {
        "LetterCopies".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "string", "pattern": "^kafka://[^/]+/.+$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_goes_to_a_topic_of_a_connection() {
        let copies: LetterCopies = "kafka://main/users-rejected".parse().unwrap();
        assert_eq!((copies.connection.as_str(), copies.topic.as_str()), ("main", "users-rejected"));
        assert_eq!(copies.to_string(), "kafka://main/users-rejected");
        for wrong in ["", "users", "kafka://main", "kafka:///users", "kafka://main/", "http://a/b"]
        {
            assert!(
                wrong.parse::<LetterCopies>().unwrap_err().contains("kafka://CONNECTION/TOPIC")
            );
        }
    }
}
