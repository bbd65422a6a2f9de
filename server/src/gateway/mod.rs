//! The server's end of the worker protocol: one stream a worker.

mod inbound;
mod join;
mod requests;
mod session;

pub(crate) use join::JoinCheck;
pub use requests::{RequestError, Requests};

use std::pin::Pin;

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
    /// What goes on beside a stream, and may outlive it: a server that ends waits for it.
    pub(crate) beside: TaskTracker,
}

impl Gateway {
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
        self.join.check(&self.engine.core.store, request.metadata()).await?;
        session::open(self.clone(), request.into_inner()).await
    }
}
