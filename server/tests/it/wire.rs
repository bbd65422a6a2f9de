//! A worker that says what the test tells it to, over the protocol itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use subak_proto::server_message::Message as Heard;
use subak_proto::worker_gateway_client::WorkerGatewayClient;
use subak_proto::worker_message::Message as Said;
use subak_proto::{
    Assignment, Heartbeat, Hello, Outcome, QueueSlots, Report, Reports, ServerMessage, TryRef,
    WorkerMessage,
};
use subak_server::{Server, ServerConfig, WorkerListen};
use subak_store::Store;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use crate::world::{LEASE, World, key, whole_server};

/// Nothing may take longer: the machine of the tests is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// One stream.
pub(crate) struct Wire {
    pub(crate) session: u64,
    output: mpsc::UnboundedSender<WorkerMessage>,
    input: Streaming<ServerMessage>,
}

impl World {
    /// A whole server, and where its workers join.
    pub(crate) async fn served() -> anyhow::Result<(Self, SocketAddr)> {
        Self::served_on(subak_testkit::postgres::database().await?.store).await
    }

    /// The same, on a database that is there.
    pub(crate) async fn served_on(store: Store) -> anyhow::Result<(Self, SocketAddr)> {
        let listen = WorkerListen::Tcp { address: "127.0.0.1:0".parse()?, tls: None };
        let config = ServerConfig { workers: vec![listen], ..whole_server("served", LEASE) };
        let server = Server::start(config, store.clone(), Some(Arc::new(key()))).await?;
        let address = server.workers()[0].context("a TCP listener has an address")?;
        let (engine, requests) = (server.engine().clone(), server.requests().clone());
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(server.run(stop.clone()));
        Ok((Self { store, engine, requests, stop, tasks }, address))
    }
}

impl Wire {
    /// Joins with this many slots of the default queue.
    pub(crate) async fn join(server: SocketAddr, slots: u32) -> anyhow::Result<Self> {
        Self::open(server, slots, 0, Vec::new()).await
    }

    /// Joins, or resumes a session that runs these tries.
    pub(crate) async fn open(
        server: SocketAddr,
        slots: u32,
        session: u64,
        held: Vec<TryRef>,
    ) -> anyhow::Result<Self> {
        let free = slots.saturating_sub(u32::try_from(held.len())?);
        Self::hello(server, |hello| {
            hello.queues = vec![QueueSlots { queue: "default".to_owned(), slots, free }];
            (hello.session, hello.held) = (session, held);
        })
        .await
    }

    /// Joins with one slot, as the worker of a state folder.
    pub(crate) async fn of_folder(server: SocketAddr, folder: &str) -> anyhow::Result<Self> {
        Self::hello(server, |hello| {
            let queue = "default".to_owned();
            hello.queues = vec![QueueSlots { queue, slots: 1, free: 1 }];
            folder.clone_into(&mut hello.state_folder);
        })
        .await
    }

    /// Joins with a Hello of the test's own.
    pub(crate) async fn hello(
        server: SocketAddr,
        of: impl FnOnce(&mut Hello),
    ) -> anyhow::Result<Self> {
        let mut client = WorkerGatewayClient::connect(format!("http://{server}")).await?;
        let (output, queue) = mpsc::unbounded_channel();
        let mut hello = Hello { worker: "wire".to_owned(), ..Hello::default() };
        of(&mut hello);
        let session = hello.session;
        output.send(WorkerMessage { message: Some(Said::Hello(hello)) })?;
        let input = client.session(UnboundedReceiverStream::new(queue)).await?.into_inner();
        let mut wire = Self { session, output, input };
        let welcome = wire.until(|heard| match heard {
            Heard::Welcome(welcome) => Some(welcome),
            _ => None,
        });
        wire.session = welcome.await?.session;
        Ok(wire)
    }

    /// Says something.
    pub(crate) fn say(&self, message: Said) -> anyhow::Result<()> {
        Ok(self.output.send(WorkerMessage { message: Some(message) })?)
    }

    /// Reports ends.
    pub(crate) fn report(&self, reports: Vec<Report>) -> anyhow::Result<()> {
        self.say(Said::Reports(Reports { reports }))
    }

    /// Waits for a message that `pick` takes; others are dropped.
    pub(crate) async fn until<T>(
        &mut self,
        mut pick: impl FnMut(Heard) -> Option<T>,
    ) -> anyhow::Result<T> {
        let picked = async {
            loop {
                let message = self.input.message().await?.context("the server ended the stream")?;
                if let Some(picked) = message.message.and_then(&mut pick) {
                    return anyhow::Ok(picked);
                }
            }
        };
        tokio::time::timeout(PATIENCE, picked).await.context("waiting for the server's word")?
    }

    /// Waits until the server has taken everything that was said.
    pub(crate) async fn heard(&mut self) -> anyhow::Result<()> {
        self.say(Said::Heartbeat(Heartbeat::default()))?;
        self.until(|heard| matches!(heard, Heard::HeartbeatAck(_)).then_some(())).await
    }

    /// Waits for this many assignments.
    pub(crate) async fn assignments(&mut self, count: usize) -> anyhow::Result<Vec<Assignment>> {
        let mut all = Vec::new();
        self.until(|heard| {
            if let Heard::Assignments(more) = heard {
                all.extend(more.assignments);
            }
            (all.len() >= count).then_some(())
        })
        .await?;
        Ok(all)
    }
}

/// The report of a try that succeeded.
pub(crate) fn success(of: TryRef) -> Report {
    Report { r#try: Some(of), outcome: Outcome::Success.into(), ..Report::default() }
}
