//! A record, as it came from a broker or as a dead letter has kept it.

use std::borrow::Cow;

use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers as _, Message as _};
use serde_json::{Map, Value, json};
use subak_core::hex;
use subak_core::letter::Letter;

/// What rows are made of.
pub(crate) struct Record<'r> {
    pub(super) payload: Option<&'r [u8]>,
    pub(super) key: Option<Cow<'r, [u8]>>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// Milliseconds since the Unix epoch.
    pub(super) timestamp: Option<i64>,
    /// A JSON object.
    pub(super) headers: Option<String>,
}

impl<'r> Record<'r> {
    /// A record that a broker has sent.
    pub(crate) fn of(message: &'r BorrowedMessage<'_>) -> Self {
        let headers = message.headers().filter(|headers| headers.count() > 0);
        Self {
            payload: message.payload(),
            key: message.key().map(Cow::Borrowed),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().filter(|millis| *millis >= 0),
            headers: headers.map(text),
        }
    }

    /// A record that was rejected before.
    pub(crate) fn of_letter(letter: &'r Letter) -> Self {
        let metadata = &letter.metadata;
        Self {
            payload: Some(&letter.raw),
            key: metadata["key"].as_str().and_then(hex::decode).map(Cow::Owned),
            partition: letter.partition,
            offset: letter.position,
            timestamp: metadata["timestamp"].as_i64(),
            headers: metadata["headers"].as_str().map(str::to_owned),
        }
    }

    /// Bytes of its value and its key.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.map_or(0, <[u8]>::len) + self.key.as_ref().map_or(0, |key| key.len())
    }

    /// What a dead letter keeps of it besides its value; read by [`Self::of_letter`].
    pub(crate) fn metadata(&self) -> Value {
        json!({
            "key": self.key.as_ref().map(|key| hex::encode(key)),
            "timestamp": self.timestamp,
            "headers": self.headers,
        })
    }
}

/// Headers as a JSON object; of several of one name the last.
fn text(headers: &BorrowedHeaders) -> String {
    let value = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => Value::from(String::from_utf8_lossy(bytes)),
        None => Value::Null,
    };
    let entries = headers.iter().map(|header| (header.key.to_owned(), value(header.value)));
    Value::Object(entries.collect::<Map<_, _>>()).to_string()
}
