//! Logs of the process itself: to standard error, for people or as JSON. And where its traces go.

use std::io::{self, IsTerminal as _};

use clap::{Args, ValueEnum};
use subak_trace::Traces;
use tracing_subscriber::EnvFilter;

/// What is logged, and how.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Level, or levels by module, such as `subak_server=debug,warn`; left out: `info` for what runs
    /// until a signal, `warn` for the rest.
    #[arg(long, global = true, env = "SUBAK_LOG", value_name = "LEVELS")]
    log: Option<String>,
    /// Layout of log lines.
    #[arg(long, global = true, env = "SUBAK_LOG_FORMAT", default_value = "text")]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The database's notices are no news.
const SERVING: &str = "info,sqlx::postgres::notice=warn";
const PASSING: &str = "warn";

/// Starts logging. A filter that cannot be read is replaced by the default, and that is logged.
pub(crate) fn start(options: &Options, serves: bool) {
    let default = if serves { SERVING } else { PASSING };
    let wanted = options.log.as_deref().unwrap_or(default);
    let (filter, problem) = match EnvFilter::try_new(wanted) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(default), Some(error)),
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match options.log_format {
        Format::Text => logs.with_target(false).with_ansi(io::stderr().is_terminal()).init(),
        Format::Json => logs.json().flatten_event(true).init(),
    }
    if let Some(error) = problem {
        tracing::warn!(%error, "SUBAK_LOG cannot be read, logging at `{default}`");
    }
}

/// Where the traces of a service go, as `OTEL_EXPORTER_OTLP_ENDPOINT` says.
pub(crate) fn traces(service: &str) -> anyhow::Result<Traces> {
    Traces::from_env(service, env!("CARGO_PKG_VERSION")).map_err(anyhow::Error::msg)
}

/// Sends what is left of them.
pub(crate) async fn end(traces: Traces) {
    // It waits for its own thread.
    let _ = tokio::task::spawn_blocking(move || traces.end()).await;
}
