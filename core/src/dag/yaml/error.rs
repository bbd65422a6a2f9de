//! What is wrong with a value, in people's words.

use std::fmt;

use serde::de::{self, Unexpected};

use super::node::Node;
use crate::dag::diagnostic::At;
use crate::dag::suggest::did_you_mean;

/// An error on its way to the node where it belongs.
#[derive(Debug)]
pub(super) struct Error {
    pub place: Option<(At, *const Node)>,
    /// The nearest key above the place.
    pub key: Option<String>,
    pub message: String,
    pub missing: Option<&'static str>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { place: None, key: None, message: message.to_string(), missing: None }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let hint = match found {
            Unexpected::Signed(_) | Unexpected::Unsigned(_) | Unexpected::Float(_)
                if expected.to_string().contains("string") =>
            {
                " (write it in quotes)"
            }
            _ => "",
        };
        Self::custom(format!("expected {}, found {}{hint}", plain(expected), found_words(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format!("expected {}, found {}", plain(expected), found_words(found)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format!("unknown value {variant:?}{}", near_or_all(variant, expected)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format!("unknown key {field:?}{}", near_or_all(field, expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::custom(format!("{field:?} is missing")) }
    }
}

/// The word that was meant, or all that there are.
fn near_or_all(word: &str, known: &[&str]) -> String {
    let near = did_you_mean(word, known.iter().copied());
    if near.is_empty() { format!(": use {}", one_of(known)) } else { near }
}

/// serde's words for types, as people say them.
fn plain(expected: &dyn de::Expected) -> String {
    match expected.to_string().as_str() {
        "a string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "u32" | "u64" | "usize" | "u16" | "u8" => "a whole number, 0 or more".to_owned(),
        "i32" | "i64" => "a whole number".to_owned(),
        "f64" => "a number".to_owned(),
        other if other.starts_with("struct ") => "a map".to_owned(),
        other => other.to_owned(),
    }
}

fn found_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("{value}"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(text) => format!("the text {text:?}"),
        Unexpected::Unit => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn one_of(words: &[&str]) -> String {
    words.join(", ")
}
