//! `on_failure`, `on_success`, `on_retry`: whom an end is told to.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Addresses of one notice.
const TO_MOST: usize = 50;

/// One way in which people are told: the connection says how, its type is `smtp`, `slack` or `webhook`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub connection: String,
    /// Addresses of a mail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
}

/// Who is told of which end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notices {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_failure: Vec<Notice>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_success: Vec<Notice>,
    /// Of a try that is followed by another one; a task's only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_retry: Vec<Notice>,
}

impl Notices {
    /// Whether nobody is told of anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.on_failure.is_empty() && self.on_success.is_empty() && self.on_retry.is_empty()
    }
}

/// A notice as written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoticeKeys {
    /// A connection of type `smtp`, `slack` or `webhook`.
    connection: String,
    /// Addresses of a mail; a connection of type `smtp` needs them.
    #[serde(default)]
    to: Vec<String>,
}

/// One notice or several.
#[derive(Debug, Clone, Default)]
pub(crate) struct RawNotices(pub(crate) Vec<Notice>);

impl<'de> Deserialize<'de> for RawNotices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = RawNotices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{connection: name, to: [address]}, or a list of such maps")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawNotices, A::Error> {
                let keys = NoticeKeys::deserialize(MapAccessDeserializer::new(map))?;
                notice(keys).map(|notice| RawNotices(vec![notice]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawNotices, A::Error> {
                let mut all = Vec::new();
                while let Some(keys) = items.next_element::<NoticeKeys>()? {
                    all.push(notice(keys)?);
                }
                Ok(RawNotices(all))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

fn notice<E: de::Error>(keys: NoticeKeys) -> Result<Notice, E> {
    let NoticeKeys { connection, to } = keys;
    if connection.trim().is_empty() {
        return Err(E::custom("\"connection\" is empty: name one of type smtp, slack or webhook"));
    }
    if connection.contains("{{") || to.iter().any(|it| it.contains("{{")) {
        return Err(E::custom("a template can't stand here: whom to tell is known before the run"));
    }
    let is_address = |it: &String| {
        it.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
            && !it.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if let Some(wrong) = to.iter().find(|it| !is_address(it)) {
        return Err(E::custom(format!("{wrong:?} is no mail address")));
    }
    if to.len() > TO_MOST {
        return Err(E::custom(format!("a notice goes to {TO_MOST} addresses at most")));
    }
    Ok(Notice { connection, to })
}

impl JsonSchema for RawNotices {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Notices".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<NoticeKeys>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}
