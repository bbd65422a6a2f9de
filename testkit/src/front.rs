//! TLS before a web server, as a proxy does it.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::sinks::Certificate;

/// See the module. Ends with its connections when it is dropped.
pub struct Front {
    port: u16,
    certificate: Certificate,
    _all: JoinSet<std::io::Result<()>>,
}

impl Front {
    /// Listens before a port of 127.0.0.1, with a certificate for `localhost`.
    pub async fn before(to: u16) -> anyhow::Result<Self> {
        let certificate = Certificate::new()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let acceptor = certificate.acceptor();
        let mut all = JoinSet::new();
        all.spawn(async move {
            let mut connections: JoinSet<std::io::Result<()>> = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await?;
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    // Who does not trust the certificate goes away.
                    let mut client = acceptor.accept(client).await?;
                    let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
                    copy_bidirectional(&mut client, &mut server).await?;
                    Ok(())
                });
            }
        });
        Ok(Self { port, certificate, _all: all })
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file that whoever trusts it names.
    #[must_use]
    pub fn authority(&self) -> String {
        self.certificate.path()
    }
}
