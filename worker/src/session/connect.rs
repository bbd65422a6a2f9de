//! Opens the stream to a server.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use subak_proto::worker_gateway_client::WorkerGatewayClient;
use subak_proto::{Hello, JoinToken, MESSAGE_BYTES, ServerMessage, Welcome, WorkerMessage};
use subak_proto::{server_message, worker_message};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use super::tls::PinnedCertificate;

/// Of the flow-control windows: a batch of assignments never waits for a window update.
const WINDOW: u32 = 4 * 1024 * 1024;

/// An open stream.
pub(crate) struct Link {
    /// What the server has not taken yet: at most what was not answered when the stream began, and
    /// what tries say in a quarter of the lease, for which an unanswered heartbeat keeps the stream.
    pub(crate) output: mpsc::UnboundedSender<WorkerMessage>,
    pub(crate) input: Streaming<ServerMessage>,
}

/// A stream whose Hello was answered.
pub(crate) struct Welcomed {
    pub(crate) link: Link,
    pub(crate) welcome: Welcome,
    pub(crate) hello_sent: Instant,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("server `{url}`: {reason}")]
    Address { url: String, reason: String },
    #[error("cannot reach server `{url}`")]
    Unreachable { url: String, source: tonic::transport::Error },
    #[error("server `{url}` refuses this worker: {}", status.message())]
    Refused { url: String, status: Box<Status> },
    #[error(
        "`{url}` answers as a web server does: it may be the address of a server's pages and API. Workers \
         join at another port, the server's --workers-listen (8081, unless it was changed): name that \
         one with --server"
    )]
    Pages { url: String },
    #[error("server `{url}` did not answer within {patience:?}")]
    Silent { url: String, patience: Duration },
}

impl ConnectError {
    fn refused(url: &str, status: Status) -> Self {
        let url = url.to_owned();
        // As tonic says it of an answer that is not gRPC. One that says to come again (429, 502 to 504)
        // may be a proxy's.
        let is_web = status.message().starts_with("grpc-status header missing");
        match is_web && status.code() != Code::Unavailable {
            true => Self::Pages { url },
            false => Self::Refused { url, status: Box::new(status) },
        }
    }
}

/// A connection in the making.
pub(crate) type Connecting = Pin<Box<dyn Future<Output = Result<Welcomed, ConnectError>> + Send>>;

/// Where and as whom to connect.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    url: String,
    endpoint: Endpoint,
    bearer: Option<MetadataValue<Ascii>>,
}

impl Server {
    /// Reads an address; nothing is connected yet.
    pub(crate) fn new(url: &str, token: Option<&JoinToken>) -> Result<Self, ConnectError> {
        let wrong = |reason: String| ConnectError::Address { url: url.to_owned(), reason };
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|error| wrong(format!("not an address: {error}")))?
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .tcp_nodelay(true);
        let endpoint = match url.split_once("://") {
            Some(("unix", _)) => endpoint,
            Some(("http", _)) if is_loopback(&endpoint) => endpoint,
            Some(("http", _)) => {
                return Err(wrong("plain http is for loopback only: use https".to_owned()));
            }
            Some(("https", _)) => with_tls(endpoint, token).map_err(wrong)?,
            _ => return Err(wrong("give https://…, http://… or unix:///path".to_owned())),
        };
        let bearer = token.map(|token| format!("Bearer {}", token.secret).parse());
        let bearer =
            bearer.transpose().map_err(|_| wrong("the join token is broken".to_owned()))?;
        Ok(Self { url: url.to_owned(), endpoint, bearer })
    }

    /// Opens the stream and says hello.
    pub(crate) fn connect(&self, hello: Hello, patience: Duration) -> Connecting {
        let server = self.clone();
        Box::pin(async move {
            let silent = ConnectError::Silent { url: server.url.clone(), patience };
            tokio::time::timeout(patience, server.open(hello)).await.unwrap_or(Err(silent))
        })
    }

    async fn open(self, hello: Hello) -> Result<Welcomed, ConnectError> {
        let Self { url, endpoint, bearer } = self;
        let channel = endpoint.connect().await;
        let channel =
            channel.map_err(|source| ConnectError::Unreachable { url: url.clone(), source })?;
        let mut client = WorkerGatewayClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let (output, queue) = mpsc::unbounded_channel();
        let hello = worker_message::Message::Hello(hello);
        let _ = output.send(WorkerMessage { message: Some(hello) });
        let hello_sent = Instant::now();
        let mut request = Request::new(UnboundedReceiverStream::new(queue));
        if let Some(bearer) = bearer {
            request.metadata_mut().insert("authorization", bearer);
        }
        let refused = |status: Status| ConnectError::refused(&url, status);
        let mut input = client.session(request).await.map_err(refused)?.into_inner();
        match input.message().await.map_err(refused)?.and_then(|message| message.message) {
            Some(server_message::Message::Welcome(welcome)) => {
                Ok(Welcomed { link: Link { output, input }, welcome, hello_sent })
            }
            _ => Err(refused(Status::internal("its first message was no welcome"))),
        }
    }
}

fn is_loopback(endpoint: &Endpoint) -> bool {
    let host = endpoint.uri().host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The join token pins the certificate; without a pin, the system's authorities vouch for it.
fn with_tls(endpoint: Endpoint, token: Option<&JoinToken>) -> Result<Endpoint, String> {
    let token = token.ok_or("a worker off loopback needs a join token: `subak workers token`")?;
    let pin = token.certificate.ok_or("the join token pins no certificate: make another one")?;
    let tls = ClientTlsConfig::new();
    endpoint
        .tls_config_with_verifier(tls, PinnedCertificate::new(pin))
        .map_err(|error| format!("TLS: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_from_a_server_that_refuses() {
        let said = |code, text: &str| ConnectError::refused("http://a", Status::new(code, text));
        let missing = "grpc-status header missing, mapped from HTTP status code";
        let pages = said(Code::Unknown, &format!("{missing} 303")).to_string();
        assert!(pages.contains("--workers-listen") && pages.contains("http://a"), "{pages}");
        for other in [
            said(Code::Unavailable, &format!("{missing} 503")),
            said(Code::Unauthenticated, "the join token is not known"),
        ] {
            assert!(matches!(other, ConnectError::Refused { .. }), "{other}");
        }
    }
}
