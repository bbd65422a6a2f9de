//! Arrow to PostgreSQL's binary COPY format.

mod cell;
mod encoder;
mod json;
mod numeric;
mod pg_type;
mod source;
mod text;
mod time;

pub(crate) use encoder::{Encoder, Field};
pub(crate) use pg_type::{PgType, ddl_type};
pub(crate) use source::{Source, Unknown};
