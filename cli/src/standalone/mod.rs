//! `subak standalone`: everything in one process, with nothing else running.
//!
//! The code paths are those of `server` and `worker`; only the addresses differ.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::exit::{Ended, Outcome};
use crate::{server, worker};

mod announcement;
mod database;
mod folder;
mod parts;

pub(crate) use announcement::Announcement;
pub(crate) use parts::Parts;

/// Runs server, worker and a private PostgreSQL in one process.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  subak standalone                     data in `.data`, DAG files in `dags`
  subak standalone --data ~/subak      data elsewhere

It ends with Ctrl-C. The data folder may be deleted while it does not run.")]
pub(crate) struct Options {
    /// Folder of databases, datasets, logs and the secret key; made if absent.
    #[arg(long, env = "SUBAK_DATA", default_value = ".data", value_name = "FOLDER")]
    pub(crate) data: PathBuf,
    /// Folder of DAG files; made if absent.
    #[arg(long, env = "SUBAK_DAGS", default_value = "dags", value_name = "FOLDER")]
    pub(crate) dags: PathBuf,
    /// Address of pages and API.
    #[arg(long, env = "SUBAK_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) engine: server::Engine,
    #[command(flatten)]
    pub(crate) work: worker::Work,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let parts = Parts::start(&options).await?;
    parts.announcement().print().await?;
    parts.serve().await?;
    Ok(Ended::Success)
}
