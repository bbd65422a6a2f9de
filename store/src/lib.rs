//! The metadata database: every query on it, and its migrations. Nothing else holds SQL on metadata.

mod connect;
mod error;

pub use connect::Store;
pub use error::StoreError;

/// The schema, embedded.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");
