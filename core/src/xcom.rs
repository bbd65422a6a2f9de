//! Values that tasks hand on: small ones are kept in the database, large ones under the storage URL. A
//! large one is written by the worker that ran its task, and read by whoever needs it.

use serde::Deserialize;
use serde_json::Value;

use crate::ids::{InstanceKey, RunKey};

/// A value of more bytes, as JSON, is a large one.
pub const KEPT_BYTES: usize = 64 << 10;
/// A value has at most this many.
pub const MOST_BYTES: usize = 16 << 20;

/// A large value as its object has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Large {
    pub value: Value,
    /// As people see it, where that differs: secrets are hidden.
    #[serde(default)]
    pub shown: Option<Value>,
}

impl Large {
    /// What people see.
    #[must_use]
    pub fn into_shown(self) -> Value {
        self.shown.unwrap_or(self.value)
    }
}

/// An object's bytes, of values that are JSON already.
#[must_use]
pub fn packed(value: &[u8], shown: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = b"{\"value\":".to_vec();
    bytes.extend_from_slice(value);
    if let Some(shown) = shown {
        bytes.extend_from_slice(b",\"shown\":");
        bytes.extend_from_slice(shown);
    }
    bytes.push(b'}');
    bytes
}

/// The folder of a run's large values, below the storage URL.
#[must_use]
pub fn folder(installation: &str, run: RunKey) -> String {
    format!("{installation}/{}/xcoms/{run}", run.day())
}

/// The object of what one try returns. Both sides work it out: a worker cannot name another's.
#[must_use]
pub fn object(installation: &str, of: InstanceKey, token: i64) -> String {
    let (task, map_index) = (of.task.0, of.map_index.0);
    format!("{}/{task}-{map_index}-{token}.json", folder(installation, of.run))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_read_as_it_was_packed() {
        let read = |bytes: Vec<u8>| serde_json::from_slice::<Large>(&bytes).unwrap();
        let plain = read(packed(b"[1,2]", None));
        assert_eq!((plain.value.clone(), plain.into_shown()), (json!([1, 2]), json!([1, 2])));
        let hidden = read(packed(b"\"a:b\"", Some(b"\"a:***\"")));
        assert_eq!((hidden.value.clone(), hidden.into_shown()), (json!("a:b"), json!("a:***")));
    }
}
