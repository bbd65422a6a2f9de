//! What is wrong with a value that somebody gave, as data: the API and commands tell it in English, a
//! page in its own language.

use serde_json::Value;

/// What is wrong. Its words follow the name of what the value is for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A param that has neither a value nor a default.
    #[error("has no default: give it in conf")]
    NoDefault,
    #[error("is {value}, not one of {allowed}")]
    NotOneOf { value: Value, allowed: Value },
    #[error("is {value}, not of type {}", .types.join(" or "))]
    NotOfType { value: Value, types: Vec<String> },
    #[error("is {value}, and must be {} {bound}", .limit.words())]
    OutOfBounds { value: Value, limit: Limit, bound: String },
    #[error("has {length} {}, and needs {least}", .of.words())]
    TooShort { length: usize, least: usize, of: Counted },
    #[error("has {length} {}, and may have {most}", .of.words())]
    TooLong { length: usize, most: usize, of: Counted },
    /// In the words of the validator of JSON Schema, which are English.
    #[error("does not match: {}", .reasons.join("; "))]
    Unfit { reasons: Vec<String> },
    /// A name of what is kept.
    #[error("is letters, digits, `_`, `-` and `.`, at most {most}")]
    NoName { most: usize },
    #[error("`{pool}` has no limit, and cannot be given one")]
    NoLimit { pool: String },
    #[error("is at least 0, or -1: no limit")]
    Slots,
    #[error("is a number from 1 to 65535")]
    Port,
    #[error("is no map as JSON")]
    NoMap,
    #[error("a variable's name has 1 to {most} characters, none of control")]
    VariableName { most: usize },
    #[error("variable `{0}` is larger than 256 KiB: use a file or a table")]
    VariableTooLarge(String),
    #[error("variable `{0}` holds the character NUL")]
    VariableHasNul(String),
}

/// A limit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    AtLeast,
    AtMost,
    MoreThan,
    LessThan,
}

/// What a length counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Characters,
    Items,
}

impl Limit {
    fn words(self) -> &'static str {
        match self {
            Self::AtLeast => "at least",
            Self::AtMost => "at most",
            Self::MoreThan => "more than",
            Self::LessThan => "less than",
        }
    }
}

impl Counted {
    fn words(self) -> &'static str {
        match self {
            Self::Characters => "characters",
            Self::Items => "items",
        }
    }
}
