//! YAML with places: a file becomes nodes that know their line and column, and typed structs are
//! read from nodes with every error collected instead of the first only.
//!
//! serde-saphyr parses; nothing here knows YAML's grammar. The detour over nodes is what keeps the
//! place of an error through tags, maps of tasks and untagged enums, where serde would lose it.

mod error;
mod node;
mod read;
mod typed;

pub(crate) use error::POSITIVE;
pub(crate) use node::{Key, Kind, Node};
pub(crate) use read::{check_keys, documents};
pub(crate) use typed::{Read, read};
