//! The server: scheduler, worker gateway, REST API and pages. Stateless: any number of servers run
//! side by side on one metadata database.

pub mod connections;
mod dispatch;
pub mod engine;
mod folder;
mod gateway;
mod listen;
mod server;

pub use folder::Folder;
pub use gateway::{RequestError, Requests};
pub use listen::{Certificate, WorkerListen};
pub use server::{Server, ServerConfig};
