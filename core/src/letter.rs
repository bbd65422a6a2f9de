//! Dead letters that go through again, as workers and servers speak of them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::hex;
use crate::range::Range;

/// The key of a run's conf that says that the run replays dead letters. Which ones the server knows:
/// what stands there is for people.
pub const REPLAY_KEY: &str = "subak_replay";

/// Cluster and topic of a replay in the ledgers of sinks. Each replay is a partition of its own.
pub const REPLAY_CLUSTER: &str = "subak";
pub const REPLAY_TOPIC: &str = "dead letters";

/// The topic of ranges that are loaded once more; their cluster is that of other replays.
pub const REPLAYED_RANGES: &str = "ranges";

/// A larger record was cut when it was kept: it cannot go through again.
pub const RECORD_BYTES_MOST: usize = 1 << 20;

/// What a run takes in the place of what its sources have: dead letters, or a range once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The task that has rejected them or read the range, and does so now.
    pub task: String,
    /// What the sinks' ledgers are held against.
    pub range: Range,
    /// The range that is read once more; none: dead letters are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Range>,
}

/// A record of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    pub id: i64,
    pub source: String,
    pub partition: i32,
    pub position: i64,
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub raw: Vec<u8>,
    /// What the task that rejected it knew of it besides.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub metadata: Value,
}

fn to_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    hex::decode(&text).ok_or_else(|| de::Error::custom("expected hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_travels_whole() {
        let letter = Letter {
            id: 7,
            source: "orders".to_owned(),
            partition: 2,
            position: 41,
            raw: vec![0xff, 0, b'a'],
            metadata: Value::Null,
        };
        let text = serde_json::to_string(&letter).unwrap();
        assert!(text.contains(r#""raw":"ff0061""#), "{text}");
        assert_eq!(serde_json::from_str::<Letter>(&text).unwrap(), letter);
    }
}
