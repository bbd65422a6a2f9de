//! The server: scheduler, worker gateway, REST API and pages. Stateless: any number of servers run
//! side by side on one metadata database.

mod accounts;
mod actions;
mod api;
mod app;
mod audit;
pub mod auth;
mod clock;
pub mod connections;
mod counts;
pub mod dismiss;
mod dispatch;
pub mod engine;
mod explain;
mod extract;
mod folder;
mod fresh;
mod gateway;
mod histogram;
mod labels;
mod listen;
pub mod notices;
mod observe;
mod openapi;
mod pages;
mod previews;
pub mod probes;
mod problem;
pub mod range_view;
pub mod replay;
pub mod router;
pub mod selection;
mod server;
mod surface;
mod topics;
mod traced;
mod try_log;
mod versions;

pub use app::App;
pub use folder::Folder;
pub use gateway::{RequestError, Requests};
pub use listen::{Certificate, WorkerListen};
pub use router::router;
pub use server::{Server, ServerConfig};
