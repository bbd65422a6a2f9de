//! What the API takes and answers, read from the types of its handlers: nothing is written twice.
//!
//! A route of the API is one whose handler is [`Described`]; its extractors say what they take, its
//! answer says what it may be. The document is made of that, and so is what a query may hold.

mod answers;
mod document;
mod operation;
mod strict;
mod taken;

pub(crate) use answers::{Created, Either, NoContent, Streamed, TextOr};
pub(crate) use document::document;
pub(crate) use operation::{Described, Operation, Parameter, Schemas};
pub(crate) use strict::{parameters, strict};
pub(crate) use taken::Taken;
