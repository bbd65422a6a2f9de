//! Starts and supervises a private PostgreSQL from the machine's binaries.
//!
//! `subak standalone` keeps its databases in one, and tests run against one of their own. It listens
//! on a Unix socket in a private folder and, where asked, on a loopback port with a password. It ends
//! with the process that started it, whatever ends that.
//!
//! It owns the folder, the processes and their settings. It does not own what is in the databases.

mod account;
mod binaries;
mod error;
mod folder;
mod leftovers;
mod options;
mod private;
mod process;
mod settings;
mod spawn;
mod template;
mod temporary;
mod tenant;

pub use binaries::Binaries;
pub use error::PostgresError;
pub use options::{Options, TcpPort};
pub use private::PrivatePostgres;
pub use tenant::Tenant;

/// Name of the superuser of every private PostgreSQL.
pub const SUPERUSER: &str = "subak";
