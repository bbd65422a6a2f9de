//! The server's end of the worker protocol: one stream a worker.

mod inbound;
mod join;
mod own;
mod ranges;
mod requests;
mod session;

pub(crate) use join::JoinCheck;
pub use requests::{RequestError, Requests};

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use subak_proto::worker_gateway_server::{WorkerGateway, WorkerGatewayServer};
use subak_proto::{MESSAGE_BYTES, ServerMessage, WorkerMessage};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::engine::Engine;

/// Serves workers on one listener.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) engine: Engine,
    pub(crate) requests: Requests,
    pub(crate) join: JoinCheck,
    pub(crate) stop: CancellationToken,
    /// Cancelled before `stop`: nobody is let in any more.
    pub(crate) leaving: CancellationToken,
    /// What goes on beside a stream, and may outlive it: a server that ends waits for it.
    pub(crate) beside: TaskTracker,
}

/// How long workers may take to go to another server.
const LEAVING: Duration = Duration::from_secs(2);

impl Gateway {
    /// Sends every worker to another server, and waits for a moment until they have gone.
    pub(crate) async fn leave(&self) {
        self.leaving.cancel();
        let sessions = &self.engine.core.sessions;
        for session in sessions.close() {
            sessions.send(session, session::leave());
        }
        self.beside.close();
        // Whoever is still here is cut off.
        let _ = tokio::time::timeout(LEAVING, self.beside.wait()).await;
    }

    /// The service for tonic's router.
    pub(crate) fn service(self) -> WorkerGatewayServer<Self> {
        WorkerGatewayServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES)
    }
}

#[tonic::async_trait]
impl WorkerGateway for Gateway {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<ServerMessage, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        if self.leaving.is_cancelled() {
            return Err(Status::unavailable("this server ends: ask another one"));
        }
        self.join.check(&self.engine.core.store, request.metadata()).await?;
        session::open(self.clone(), request.into_inner()).await
    }
}
