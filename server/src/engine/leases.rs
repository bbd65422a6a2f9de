//! Renews leases: all sessions that ask at about the same time in one statement, on a connection
//! whose commits do not wait for the disk.

use std::time::{Duration, Instant};

use subak_store::{Renewed, Store, leases_renew};
use tokio::select;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::within::within;
use super::{Core, EngineConfig};

/// Renewals that may wait.
const WAITING_MOST: usize = 1_024;

type Reply = oneshot::Sender<Result<Option<Renewed>, String>>;

/// Where sessions ask for a renewal.
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    sender: mpsc::Sender<(i64, Reply)>,
}

impl Leases {
    pub(super) fn start(
        store: Store,
        config: &EngineConfig,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        stop: CancellationToken,
    ) -> Self {
        let (sender, waiting) = mpsc::channel(WAITING_MOST);
        // A connection that is silent is opened anew while there is time to renew.
        let limit = (config.lease / 4).clamp(Duration::from_secs(1), config.answer_within);
        tasks.spawn(renew_all(store, limit, waiting, stop));
        Self { sender }
    }

    /// Renews a session's lease; `None` if the session is dead.
    async fn renew(&self, session: i64) -> anyhow::Result<Option<Renewed>> {
        let (reply, answer) = oneshot::channel();
        self.sender.send((session, reply)).await?;
        answer.await?.map_err(|error| anyhow::anyhow!("{error}"))
    }
}

impl Core {
    /// Renews a session's lease; `None` if the session is dead. One that was given nothing for want of a
    /// renewal takes part again.
    pub(crate) async fn renew(&self, session: i64) -> anyhow::Result<Option<Renewed>> {
        let asked = Instant::now();
        let renewed = self.leases.renew(session).await?;
        if renewed.is_some() && self.sessions.renewed(session, asked) {
            self.claims_wake();
        }
        Ok(renewed)
    }
}

async fn renew_all(
    store: Store,
    limit: Duration,
    mut waiting: mpsc::Receiver<(i64, Reply)>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut connection = None;
    let mut asked = Vec::new();
    loop {
        select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            got = waiting.recv_many(&mut asked, WAITING_MOST) => if got == 0 { return Ok(()) },
        }
        let sessions: Vec<i64> = asked.iter().map(|(session, _)| *session).collect();
        let renewed = within(limit, async {
            if connection.is_none() {
                connection = Some(store.lease_session().await?);
            }
            Ok(leases_renew(connection.as_mut().expect("connected above"), &sessions).await?)
        })
        .await;
        if renewed.is_err() {
            connection = None;
        }
        for (session, reply) in asked.drain(..) {
            let answer = match &renewed {
                Ok(alive) => Ok(alive.iter().find(|renewed| renewed.session == session).copied()),
                Err(error) => Err(format!("{error:#}")),
            };
            let _ = reply.send(answer);
        }
    }
}
