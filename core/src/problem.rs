//! What is wrong with a value that somebody gave, as data: the API and commands tell it in English, a
//! page in its own language.

use serde_json::Value;

use crate::connection::ConnectionProblem;
use crate::json_schema::Reason;
use crate::state::RunState;

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
    #[error("has {length} {}, and needs {least}", .of.words(*.length))]
    TooShort { length: usize, least: usize, of: Counted },
    #[error("has {length} {}, and may have {most}", .of.words(*.length))]
    TooLong { length: usize, most: usize, of: Counted },
    /// Of a schema that has more than a declaration checks itself.
    #[error("does not match: {}", told(.reasons))]
    Unfit { reasons: Vec<Reason> },
    /// A name of what is kept.
    #[error("is letters, digits, `_`, `-` and `.`, at most {most}")]
    NoName { most: usize },
    #[error("has 1 to {most} characters, none of control")]
    PoolName { most: usize },
    #[error("`{pool}` has no limit, and cannot be given one")]
    NoLimit { pool: String },
    #[error("is at least 0, or -1: no limit")]
    Slots,
    #[error("is a number from 1 to 65535")]
    Port,
    #[error("is no map as JSON")]
    NoMap,
    /// What a connection of its type cannot be.
    #[error("{0}")]
    Connection(ConnectionProblem),
    #[error("a variable's name has 1 to {most} characters, none of control")]
    VariableName { most: usize },
    #[error("variable `{0}` is larger than 256 KiB: use a file or a table")]
    VariableTooLarge(String),
    #[error("variable `{0}` holds the character NUL")]
    VariableHasNul(String),
    /// A run that was to be cancelled.
    #[error("the run has ended already: it is {0}")]
    RunEnded(RunState),
    /// One that was to be deleted.
    #[error("the run is {0}: cancel it, and delete it once it has ended")]
    RunActive(RunState),
    /// One whose tasks were to be marked.
    #[error("the run is being cancelled: mark its tasks once it has ended")]
    RunCancelled,
    /// Retention has dropped what clearing a run takes.
    #[error("the history of the run is gone: it cannot be cleared")]
    NotCleared,
    /// The same of marking its tasks.
    #[error("the history of the run is gone: its tasks cannot be marked")]
    NotMarked,
}

fn told(reasons: &[Reason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
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
    fn words(self, count: usize) -> &'static str {
        match (self, count) {
            (Self::Characters, 1) => "character",
            (Self::Characters, _) => "characters",
            (Self::Items, 1) => "item",
            (Self::Items, _) => "items",
        }
    }
}
