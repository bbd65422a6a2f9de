//! `retry_policy`: what becomes of failures of one class or exit code.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::values::Span;

/// A rule about failed tries; the first that fits decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryRule {
    /// Any of these; empty: whatever it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exit_code: Vec<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorClass>,
    /// Whether another try follows, whatever the operator says of the error.
    pub retry: bool,
    /// Instead of the task's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_delay: Option<Duration>,
}

/// What an operator says of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Another try may succeed.
    Transient,
    /// Another try would fail the same way.
    Permanent,
}

/// A rule as written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct RetryKeys {
    /// The exit codes that it is about: one, or a list.
    exit_code: Option<Codes>,
    /// The class of errors that it is about: what operators say may succeed another time
    /// (`transient`), or would fail the same way (`permanent`).
    error: Option<ErrorClass>,
    /// Whether another try follows; true if absent.
    retry: Option<bool>,
    /// Tries after the first one failed, instead of the task's.
    retries: Option<u32>,
    /// Delay before the next try, instead of the task's.
    retry_delay: Option<Span>,
}

/// A rule that has been checked.
#[derive(Debug, Clone)]
pub(crate) struct RawRetryRule(pub(crate) RetryRule);

/// One exit code or several.
#[derive(Debug, Clone)]
struct Codes(Vec<i32>);

impl<'de> Deserialize<'de> for RawRetryRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = RetryKeys::deserialize(deserializer)?;
        let changes = keys.retries.is_some() || keys.retry_delay.is_some();
        if keys.exit_code.is_none() && keys.error.is_none() {
            let message =
                "a rule of \"retry_policy\" needs \"exit_code\" or \"error\": what it is about";
            return Err(de::Error::custom(message));
        }
        if keys.retry == Some(false) && changes {
            let message = "\"retry: false\" has no \"retries\" and no \"retry_delay\"";
            return Err(de::Error::custom(message));
        }
        if keys.retry.is_none() && !changes {
            let message =
                "a rule of \"retry_policy\" needs \"retry\", \"retries\" or \"retry_delay\"";
            return Err(de::Error::custom(message));
        }
        Ok(Self(RetryRule {
            exit_code: keys.exit_code.map_or_else(Vec::new, |codes| codes.0),
            error: keys.error,
            retry: keys.retry.unwrap_or(true),
            retries: keys.retries,
            retry_delay: keys.retry_delay.map(|span| span.0),
        }))
    }
}

impl JsonSchema for RawRetryRule {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RetryRule".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        RetryKeys::json_schema(generator)
    }
}

impl<'de> Deserialize<'de> for Codes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Codes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an exit code or a list of exit codes")
            }

            fn visit_u64<E: de::Error>(self, code: u64) -> Result<Codes, E> {
                code_of(code).map(|code| Codes(vec![code]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Codes, A::Error> {
                let mut codes = Vec::new();
                while let Some(code) = items.next_element::<u64>()? {
                    codes.push(code_of(code)?);
                }
                if codes.is_empty() {
                    return Err(de::Error::custom("\"exit_code\" is empty"));
                }
                Ok(Codes(codes))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

fn code_of<E: de::Error>(code: u64) -> Result<i32, E> {
    let known = i32::try_from(code).ok().filter(|code| (1..=255).contains(code));
    known.ok_or_else(|| E::custom(format!("an exit code of a failure is 1 to 255, not {code}")))
}

impl JsonSchema for Codes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ExitCodes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let code = serde_json::json!({ "type": "integer", "minimum": 1, "maximum": 255 });
        json_schema!({ "anyOf": [code, { "type": "array", "minItems": 1, "items": code }] })
    }
}

impl RetryRule {
    /// Whether a failure of this class and exit code is what it is about.
    #[must_use]
    pub fn fits(&self, class: ErrorClass, exit_code: Option<i32>) -> bool {
        let code = self.exit_code.is_empty()
            || exit_code.is_some_and(|code| self.exit_code.contains(&code));
        code && self.error.is_none_or(|error| error == class)
    }
}
