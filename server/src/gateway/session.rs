//! Opens a worker's session: a new one, or one that resumes, and tells the two sides' books apart.

use std::collections::{BTreeMap, HashSet};

use futures::StreamExt;
use serde_json::json;
use subak_proto::{self as proto, ServerMessage, server_message, worker_message};
use subak_store::engine::HandedOver;
use subak_store::{NewSession, SessionTry};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};
use tracing::{info, warn};

use super::Gateway;
use super::inbound::Inbound;
use super::own::Own;
use crate::dispatch::Connected;
use crate::engine::Core;

/// Messages that may wait for a worker to read them.
const OUTBOUND_MOST: usize = 8_192;

type Answer = Result<Response<<Gateway as super::WorkerGateway>::SessionStream>, Status>;

/// Answers Hello with Welcome and serves the stream until it ends.
pub(super) async fn open(gateway: Gateway, mut stream: Streaming<proto::WorkerMessage>) -> Answer {
    let first = stream.message().await?.and_then(|message| message.message);
    let Some(worker_message::Message::Hello(hello)) = first else {
        return Err(Status::invalid_argument("the first message of a stream is Hello"));
    };
    let opened = begin(&gateway, &hello).await.map_err(|error| {
        warn!(error = format!("{error:#}"), worker.name = hello.worker, "a worker could not join");
        Status::unavailable("the database cannot be asked now")
    })?;
    let (outbound, messages) = mpsc::channel(OUTBOUND_MOST);
    let welcome = opened.welcome(&gateway, &hello);
    let first = ServerMessage { message: Some(server_message::Message::Welcome(welcome)) };
    outbound.try_send(first).map_err(|_| Status::internal("the stream is full at its start"))?;

    let core = gateway.engine.core.clone();
    let session = opened.session;
    // What it should hold and does not: never arrived, or its report still waits there.
    let known: HashSet<i64> = hello.held.iter().map(|held| held.token).collect();
    let missing = opened.held.iter().filter(|t| !t.restarting && !known.contains(&t.token));
    let missing: Vec<_> = missing.map(handed_over).collect();
    core.sessions.connect(Connected {
        session,
        outbound: outbound.clone(),
        free: opened.free(&hello),
        held: opened.held.iter().map(|t| (t.token, t.fence().instance, t.queue.clone())).collect(),
        resent: missing.len() as u64,
        lease: core.config.lease,
    });
    info!(worker.name = hello.worker, worker.session = session, resumed = opened.resumed, "joined");
    if let Err(error) = core.within(core.assign(&missing)).await {
        warn!(error = format!("{error:#}"), "hand-overs could not be sent again");
    }
    for held in opened.held.iter().filter(|held| held.restarting) {
        core.stop_tries(&[held.fence()], "cleared");
    }
    for queue in core.sessions.free_queues() {
        core.backlog.raise(&queue);
    }
    core.claims_wake();
    if opened.draining {
        core.drain(session);
    }
    if gateway.leaving.is_cancelled() {
        // It came while the others were told.
        core.sessions.close();
        core.sessions.send(session, leave());
    }

    let own = Own::new(session, opened.former);
    let (stop, requests) = (gateway.stop.clone(), gateway.requests.clone());
    let worker = hello.worker.clone();
    let beside = gateway.beside.clone();
    beside.spawn(async move {
        let inbound = Inbound::new(gateway, session, own, outbound.clone());
        let heard = tokio::select! {
            heard = inbound.serve(stream) => heard,
            () = stop.cancelled() => true,
        };
        let holds = core.sessions.digest(session).is_some_and(|(_, tries, _)| tries > 0);
        let drains = core.sessions.is_draining(session);
        core.sessions.disconnect(session, &outbound);
        requests.gone(session);
        if drains && !holds {
            // The worker has ended, and need not be waited for.
            end_drained(&core, session).await;
        } else if !heard && !opened.resumed && !holds {
            // Its welcome did not reach the worker: that comes again, as a new session.
            end_unknown(&core, session).await;
        }
        info!(worker.name = worker, worker.session = session, "the worker's stream ended");
    });
    Ok(Response::new(Box::pin(ReceiverStream::new(messages).map(Ok))))
}

/// Begins the session, or resumes it. A worker may give up while the database is waited for: then
/// nobody knows the session, and it ends at once instead of with its lease.
async fn begin(gateway: &Gateway, hello: &proto::Hello) -> anyhow::Result<Opened> {
    let (opened, wanted) = oneshot::channel();
    let (gateway, hello) = (gateway.clone(), hello.clone());
    // Apart from the stream, which takes what waits on it along when it ends.
    let beside = gateway.beside.clone();
    beside.spawn(async move {
        let unwanted = opened.send(Opened::new(&gateway, &hello).await);
        if let Err(Ok(Opened { session, resumed: false, .. })) = unwanted {
            end_unknown(&gateway.engine.core, session).await;
        }
    });
    wanted.await?
}

/// Ends a session that its worker does not know of.
async fn end_unknown(core: &Core, session: i64) {
    if let Err(error) = core.asked(core.store.session_end(session, "the worker gave up")).await {
        warn!(error = format!("{error:#}"), worker.session = session, "it ends with its lease");
    }
}

async fn end_drained(core: &Core, session: i64) {
    if let Err(error) = core.store.session_drained(session).await {
        warn!(error = format!("{error:#}"), worker.session = session, "it ends with its lease");
    }
}

/// What sends a worker to another server.
pub(super) fn leave() -> server_message::Message {
    server_message::Message::Leave(proto::Leave { reason: "the server ends".to_owned() })
}

/// A session as the database has it.
struct Opened {
    session: i64,
    resumed: bool,
    held: Vec<SessionTry>,
    /// What workers of its state folder had before.
    former: Vec<i64>,
    /// It is to take no more tries.
    draining: bool,
}

impl Opened {
    async fn new(gateway: &Gateway, hello: &proto::Hello) -> anyhow::Result<Self> {
        gateway.engine.core.within(Self::in_time(gateway, hello)).await
    }

    async fn in_time(gateway: &Gateway, hello: &proto::Hello) -> anyhow::Result<Self> {
        let store = &gateway.engine.core.store;
        let server = &gateway.engine.core.config.server;
        let folder = &hello.state_folder;
        if hello.former_session != 0 {
            store.session_taken_over(hello.former_session.cast_signed(), folder).await?;
        }
        let former = store.sessions_of_folder(folder).await?;
        let asked = hello.session.cast_signed();
        if asked != 0
            && let Some(draining) = store.session_resume(asked, server, folder).await?
        {
            let held = store.tries_of_session(asked).await?;
            return Ok(Self { session: asked, resumed: true, held, former, draining });
        }
        let session = rand::random_range(1..i64::MAX);
        let queues: Vec<_> = hello
            .queues
            .iter()
            .map(|queue| json!({ "queue": queue.queue, "slots": queue.slots }))
            .collect();
        store
            .session_begin(&NewSession {
                session,
                worker: hello.worker.clone(),
                state_folder: folder.clone(),
                version: hello.version.clone(),
                server: server.clone(),
                queues: queues.into(),
                lease: gateway.engine.core.config.lease,
            })
            .await?;
        Ok(Self { session, resumed: false, held: Vec::new(), former, draining: false })
    }

    fn welcome(&self, gateway: &Gateway, hello: &proto::Hello) -> proto::Welcome {
        let held: HashSet<i64> = self.held.iter().map(|held| held.token).collect();
        let config = &gateway.engine.core.config;
        proto::Welcome {
            session: self.session.cast_unsigned(),
            lease_micros: u64::try_from(config.lease.as_micros()).unwrap_or(u64::MAX),
            resumed: self.resumed,
            unknown: hello.held.iter().filter(|t| !held.contains(&t.token)).copied().collect(),
            server: config.server.clone(),
        }
    }

    /// Free slots by queue: the worker's count, less what is about to be sent to it again.
    fn free(&self, hello: &proto::Hello) -> BTreeMap<String, u32> {
        let known: HashSet<i64> = hello.held.iter().map(|held| held.token).collect();
        let mut free: BTreeMap<String, u32> =
            hello.queues.iter().map(|queue| (queue.queue.clone(), queue.free)).collect();
        for missing in self.held.iter().filter(|held| !known.contains(&held.token)) {
            if let Some(slots) = free.get_mut(&missing.queue) {
                *slots = slots.saturating_sub(1);
            }
        }
        free
    }
}

/// A try of the database as a hand-over, to be sent again with the same token.
pub(super) fn handed_over(held: &SessionTry) -> HandedOver {
    HandedOver {
        key: held.fence().instance,
        session: held.session,
        token: held.token,
        try_number: held.try_number,
        resets: held.resets,
        queue: held.queue.clone(),
        queued_at: None,
        started_at: held.started_at,
    }
}
