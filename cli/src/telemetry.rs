//! Logs of the process itself: to standard error, for people or as JSON.

use std::io;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// What is logged, and how.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Level, or levels by module: `info`, `subak_server=debug,warn`.
    #[arg(long, global = true, env = "SUBAK_LOG", default_value = "info", hide_env = true)]
    log: String,
    /// Layout of log lines.
    #[arg(long, global = true, env = "SUBAK_LOG_FORMAT", default_value = "text", hide_env = true)]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Starts logging. A filter that cannot be read is replaced by `info`, and that is logged.
pub(crate) fn start(options: &Options) {
    let (filter, problem) = match EnvFilter::try_new(&options.log) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match options.log_format {
        Format::Text => logs.with_target(false).init(),
        Format::Json => logs.json().flatten_event(true).init(),
    }
    if let Some(error) = problem {
        tracing::warn!(%error, "SUBAK_LOG cannot be read, logging at `info`");
    }
}
