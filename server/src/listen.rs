//! Where workers reach the server: a Unix socket, or an address.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::net::{TcpListener, UnixListener, UnixSocket};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::gateway::{Gateway, JoinCheck};

/// Workers that may wait to be let in.
const WAITING_MOST: u32 = 1_024;

/// A listener for workers.
#[derive(Debug, Clone)]
pub enum WorkerListen {
    /// Only this user can open it.
    Unix(PathBuf),
    /// Without TLS on loopback only; elsewhere with a certificate.
    Tcp { address: SocketAddr, tls: Option<Certificate> },
}

/// A certificate chain and its private key, PEM.
#[derive(Clone)]
pub struct Certificate {
    pub chain: String,
    pub key: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate(…)")
    }
}

/// A bound listener, so that a failure shows before anything else starts.
pub(crate) enum Bound {
    Unix(UnixListener),
    Tcp(TcpListener, Option<Certificate>),
}

impl WorkerListen {
    /// Binds; refuses to serve off loopback without TLS.
    pub(crate) async fn bind(&self) -> anyhow::Result<Bound> {
        match self {
            Self::Unix(path) => bind_unix(path).map(Bound::Unix),
            Self::Tcp { address, tls } => {
                anyhow::ensure!(
                    tls.is_some() || address.ip().is_loopback(),
                    "workers can't join at {address} without TLS: give the server a certificate, \
                     or listen on 127.0.0.1"
                );
                let listener = TcpListener::bind(address)
                    .await
                    .with_context(|| format!("listening for workers at {address}"))?;
                Ok(Bound::Tcp(listener, tls.clone()))
            }
        }
    }
}

fn bind_unix(path: &Path) -> anyhow::Result<UnixListener> {
    // One of a server that was killed.
    if path.exists() {
        std::fs::remove_file(path).with_context(|| format!("removing {}", path.display()))?;
    }
    let at = || format!("listening at {}", path.display());
    let socket = UnixSocket::new_stream().with_context(at)?;
    // Before it has a name: nobody else can open it, not for a moment.
    let file = std::fs::File::from(socket.as_fd().try_clone_to_owned().with_context(at)?);
    file.set_permissions(Permissions::from_mode(0o600)).with_context(at)?;
    socket.bind(path).with_context(at)?;
    // Where the system does not take a socket's mode over to its name.
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).with_context(at)?;
    socket.listen(WAITING_MOST).with_context(at)
}

impl Bound {
    /// The address, where it is one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(listener, _) => listener.local_addr().ok(),
        }
    }

    /// Serves workers until `stop`.
    pub(crate) async fn serve(
        self,
        gateway: Gateway,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let join = match &self {
            Self::Unix(_) | Self::Tcp(_, None) => JoinCheck::Trusted,
            Self::Tcp(_, Some(_)) => JoinCheck::Token,
        };
        let service = Gateway { join, ..gateway }.service();
        let builder = || Server::builder().tcp_nodelay(true);
        let stopped = stop.cancelled_owned();
        match self {
            Self::Unix(listener) => {
                let router: Router = builder().add_service(service);
                let incoming = UnixListenerStream::new(listener);
                router.serve_with_incoming_shutdown(incoming, stopped).await?;
            }
            Self::Tcp(listener, tls) => {
                let mut server = builder();
                if let Some(certificate) = tls {
                    let identity = Identity::from_pem(certificate.chain, certificate.key);
                    server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
                }
                let incoming = TcpListenerStream::new(listener);
                let router = server.add_service(service);
                router.serve_with_incoming_shutdown(incoming, stopped).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_this_user_can_open_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("workers.sock");
        // The second one finds what a killed server left.
        for _ in 0..2 {
            let _listener = bind_unix(&path).unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
