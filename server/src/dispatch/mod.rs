//! The workers whose streams this server holds: their free slots, the tries they hold, and whether
//! ready work may be waiting in the database for a slot.
//!
//! Nothing here is truth. The database says who holds what; this says where to send it.

mod backlog;
mod sessions;

pub(crate) use backlog::Backlog;
pub(crate) use sessions::{Connected, Outbound, Sessions};
