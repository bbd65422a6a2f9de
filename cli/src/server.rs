//! `subak server`: scheduler, worker gateway, API and pages.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use subak_server::engine::{EngineConfig, Traces};
use subak_server::{Certificate, Server, ServerConfig, WorkerListen};
use tokio_util::sync::CancellationToken;

use crate::config::{KeySource, Metadata, machine_name};
use crate::exit::{Ended, Outcome};
use crate::oidc::Oidc;
use crate::services::Services;
use crate::telemetry;

/// Runs a server. Any number of them may run on one metadata database.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak db migrate && subak server --dags /etc/subak/dags
  subak server --listen 0.0.0.0:8080 --workers-listen 0.0.0.0:8081 \\
      --tls-certificate workers.crt --tls-key workers.key     workers on other machines

Off loopback workers need TLS and a join token: see `subak workers`.")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    #[command(flatten)]
    key: KeySource,
    /// Address of pages and API.
    #[arg(long, env = "SUBAK_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Browsers reach the server by TLS, at a proxy before it.
    #[arg(long, env = "SUBAK_HTTPS")]
    https: bool,
    /// Where workers join: an address, or `unix:///path`; several separated by commas.
    #[arg(
        long,
        env = "SUBAK_WORKERS_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDRESS",
        value_delimiter = ','
    )]
    workers_listen: Vec<ListenAt>,
    /// Certificate for workers, PEM; needed off loopback.
    #[arg(long, env = "SUBAK_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, env = "SUBAK_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Folder of DAG files, the same on every server.
    #[arg(long, env = "SUBAK_DAGS", default_value = "dags", value_name = "FOLDER")]
    dags: PathBuf,
    #[command(flatten)]
    oidc: Oidc,
    #[command(flatten)]
    engine: Engine,
    /// The server's name, for people; left out: the machine's.
    #[arg(long, env = "SUBAK_NAME")]
    name: Option<String>,
}

/// Settings that all servers of an installation share.
#[derive(Debug, Clone, Args)]
pub(crate) struct Engine {
    /// A worker that was not heard of for so long is lost, and its tasks run elsewhere.
    #[arg(long, env = "SUBAK_LEASE_SECS", default_value_t = 60, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    lease_secs: u64,
    /// Days that ended runs are kept.
    #[arg(long, env = "SUBAK_KEEP_DAYS", default_value_t = 90, value_name = "DAYS",
        value_parser = clap::value_parser!(i32).range(1..=36_500))]
    keep_days: i32,
}

impl Engine {
    /// Returns the settings of a server's engine.
    pub(crate) fn config(&self, server: String, traces: Traces) -> EngineConfig {
        EngineConfig {
            server,
            lease: Duration::from_secs(self.lease_secs),
            keep_days: self.keep_days,
            answer_within: EngineConfig::ANSWER_WITHIN,
            traces,
        }
    }
}

/// Where workers join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListenAt {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// Connections in progress are given this long to end.
const GRACE: Duration = Duration::from_secs(15);

pub(crate) async fn run(options: Options) -> Outcome {
    let certificate = match (&options.tls_certificate, &options.tls_key) {
        (Some(chain), Some(key)) => Some(certificate(chain, key)?),
        _ => None,
    };
    if !options.dags.is_dir() {
        bail!(
            "the folder of DAG files `{}` does not exist: make it, or name another with SUBAK_DAGS",
            options.dags.display()
        );
    }
    let stop = CancellationToken::new();
    let mut services = Services::new(stop.clone())?;
    let key = options.key.load(&options.metadata)?;
    let store = options.metadata.store_and_storage().await?;
    let listen = |at: ListenAt| match at {
        ListenAt::Unix(path) => WorkerListen::Unix(path),
        ListenAt::Tcp(address) if address.ip().is_loopback() => {
            if certificate.is_some() {
                tracing::warn!(
                    %address,
                    "the certificate is not used on loopback: workers join there without TLS"
                );
            }
            WorkerListen::Tcp { address, tls: None }
        }
        ListenAt::Tcp(address) => WorkerListen::Tcp { address, tls: certificate.clone() },
    };
    let traces = telemetry::traces("subak-server")?;
    let name = options.name.unwrap_or_else(machine_name);
    let config = ServerConfig {
        engine: options.engine.config(name, traces.clone()),
        http: Some(options.listen),
        https: options.https,
        oidc: options.oidc.config()?,
        workers: options.workers_listen.into_iter().map(listen).collect(),
        dags: Some(options.dags),
    };
    let server = Server::start(config, store.clone(), Some(Arc::new(key))).await?;
    services.spawn("the server", server.run(stop));
    let served = services.run(GRACE).await;
    store.close().await;
    telemetry::end(traces).await;
    served?;
    Ok(Ended::Success)
}

fn certificate(chain: &Path, key: &Path) -> anyhow::Result<Certificate> {
    let read = |file: &Path| {
        std::fs::read_to_string(file).with_context(|| format!("reading `{}`", file.display()))
    };
    Ok(Certificate { chain: read(chain)?, key: read(key)? })
}

impl FromStr for ListenAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix://") {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        text.parse()
            .map(Self::Tcp)
            .map_err(|_| "expected an address such as 0.0.0.0:8081, or unix:///path".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_join_at_an_address_or_a_socket() {
        let read = |text: &str| text.parse::<ListenAt>();
        assert_eq!(read("127.0.0.1:8081"), Ok(ListenAt::Tcp(([127, 0, 0, 1], 8081).into())));
        assert_eq!(read("unix:///run/subak.sock"), Ok(ListenAt::Unix("/run/subak.sock".into())));
        assert!(read("localhost").is_err());
    }
}
