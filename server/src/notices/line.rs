//! A connection to a server that people name, with TLS or without.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bytes both ways.
pub(super) trait Line: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

/// Connects.
pub(super) async fn connect(host: &str, port: u16) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await;
    // The host may be part of a secret address.
    stream.map_err(|error| anyhow::anyhow!("connecting: {error}"))
}

/// Goes on with TLS; the certificate must be good for `host` by the roots of this machine.
pub(super) async fn secure(
    stream: impl Line + 'static,
    host: &str,
) -> anyhow::Result<Box<dyn Line>> {
    let name = host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(name).context("the host is no name that TLS knows")?;
    let stream = TlsConnector::from(config()?).connect(name, stream).await;
    Ok(Box::new(stream.map_err(|error| anyhow::anyhow!("TLS: {error}"))?))
}

/// The machine's roots, read once.
fn config() -> anyhow::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        bail!("this machine has no certificates of authorities: install ca-certificates");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(CONFIG.get_or_init(|| Arc::new(config)).clone())
}
