//! Arrow to PostgreSQL's binary COPY format.

mod cell;
mod encoder;
mod numeric;
mod pg_type;
mod text;
mod time;

pub(crate) use encoder::{Encoder, Field};
pub(crate) use pg_type::{PgType, ddl_type};
