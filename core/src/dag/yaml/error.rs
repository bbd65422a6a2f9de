//! What is wrong with a value, in people's words.

use std::fmt;

use serde::de::{self, Unexpected};

use super::node::Node;
use crate::dag::diagnostic::At;
use crate::dag::suggest::did_you_mean;

/// What a count is.
pub(crate) const POSITIVE: &str = "a whole number, 1 or more";

/// The first whole number behind which not every one can be told from the next, once it is a float: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

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
        let wanted = wanted(found, expected);
        Self::custom(format!("expected {wanted}, found {}{hint}", found_words(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let wanted = wanted(found, expected);
        Self::custom(format!("expected {wanted}, found {}", found_words(found)))
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

/// What was expected: of a whole number that is beyond what is kept, the bound.
fn wanted(found: Unexpected<'_>, expected: &dyn de::Expected) -> String {
    let (least, most) = match expected.to_string().as_str() {
        "u8" => (0, i128::from(u8::MAX)),
        "u16" => (0, i128::from(u16::MAX)),
        "u32" | POSITIVE => (0, i128::from(u32::MAX)),
        "u64" | "usize" => (0, i128::from(u64::MAX)),
        "i32" => (i128::from(i32::MIN), i128::from(i32::MAX)),
        "i64" => (i128::from(i64::MIN), i128::from(i64::MAX)),
        _ => return plain(expected),
    };
    let number = match found {
        Unexpected::Unsigned(number) => i128::from(number),
        Unexpected::Signed(number) => i128::from(number),
        // A whole number that is too long for anything else is read as one.
        Unexpected::Float(number) if number.fract() == 0.0 => number as i128,
        _ => return plain(expected),
    };
    if number > most {
        format!("a whole number, {most} at most")
    } else if least < 0 && number < least {
        format!("a whole number, {least} or more")
    } else {
        plain(expected)
    }
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
        // Its digits are not known any more.
        Unexpected::Float(value) if value.abs() >= EXACT => format!("a number of about {value:e}"),
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
