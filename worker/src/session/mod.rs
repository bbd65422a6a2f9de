//! The worker's session with the servers: one task that owns all of its state, so that nothing is
//! locked and what was decided together is sent together.
//!
//! It goes on while no server answers: tries run, reports and logs wait, the lease runs out on the
//! worker's own clock.

mod assigned;
mod book;
mod connect;
mod copies;
mod ending;
mod incoming;
mod joining;
mod lease;
mod letters;
mod outbox;
mod outgoing;
mod tls;
mod traced;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::OptionFuture;
use rand::Rng;
use subak_proto::{DeadLetters, JoinToken, RangeRequest, StateRequest};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::config::Config;
use crate::host::Host;
use crate::spool::{Spool, Spooled};
use crate::state_folder::StateFolder;
use crate::tries::{StopCause, TaskCache};
use book::Book;
use connect::{ConnectError, Connecting, Link, Server};
use ending::LAST_ANSWERS;
use lease::Lease;
pub(crate) use outbox::flush_logs;
use outbox::{Event, Outbox};

/// Events taken at once.
const BATCH: usize = 512;
/// A report without an answer is written to disk, where it was not before.
const SPOOL_AFTER: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Session {
    config: Arc<Config>,
    host: Arc<Host>,
    folder: StateFolder,
    spool: Spool,
    servers: Vec<Server>,
    next_server: usize,

    book: Book,
    lease: Lease,
    id: u64,
    /// The session of this folder's former worker, until a Hello has said that it ended.
    former: Option<u64>,
    /// When that is said even if reports of it still wait.
    former_at: Option<Instant>,
    former_said: bool,
    lease_lost: bool,
    link: Option<Link>,
    connecting: Option<Connecting>,
    connect_at: Instant,
    failures: u32,
    was_welcomed: bool,
    /// When the heartbeat was sent whose answer says that `Held` follows.
    held_as_of: Option<Instant>,
    credit_due: bool,
    seen: u64,

    outbox: Outbox,
    events: mpsc::UnboundedReceiver<Event>,
    cache: TaskCache,
    requests: Arc<AtomicU64>,
    states: HashMap<u64, (StateRequest, StateReply)>,
    ranges: HashMap<u64, (RangeRequest, RangeReply)>,
    /// Messages of rejected records that the server does not keep yet, by token.
    letters: HashMap<i64, Vec<Arc<DeadLetters>>>,
    resend_at: Option<Instant>,
    spool_at: Option<Instant>,
    tries: TaskTracker,

    /// No more tries are taken.
    is_draining: bool,
    drain_until: Option<Instant>,
    end_at: Option<Instant>,
}

type RangeReply = oneshot::Sender<Result<Vec<u8>, String>>;
type StateReply = oneshot::Sender<Result<Option<Vec<u8>>, String>>;

impl Session {
    /// Prepares the session; [`Session::run`] connects.
    pub(crate) fn new(
        config: Arc<Config>,
        host: Arc<Host>,
        folder: StateFolder,
        spool: Spool,
        left: Vec<Spooled>,
    ) -> anyhow::Result<(Self, outbox::WaitingLogs)> {
        let token: Option<JoinToken> =
            config.join_token.as_deref().map(str::parse).transpose().context("join token")?;
        let servers = config.servers.iter().map(|url| Server::new(url, token.as_ref()));
        let servers: Vec<_> = servers.collect::<Result<_, ConnectError>>()?;
        let (outbox, events, logs) = Outbox::open();
        let now = Instant::now();
        let letters = left
            .iter()
            .map(|left| (left.report.r#try.unwrap_or_default().token, left.letters.clone()));
        let session = Self {
            letters: letters.collect(),
            book: Book::open(&config.queues, left, now),
            former: folder.former_session(),
            next_server: rand::rng().random_range(0..servers.len()),
            config,
            host,
            folder,
            spool,
            servers,
            lease: Lease::unknown(now),
            id: 0,
            former_at: None,
            former_said: false,
            lease_lost: false,
            link: None,
            connecting: None,
            connect_at: now,
            failures: 0,
            was_welcomed: false,
            held_as_of: None,
            credit_due: false,
            seen: 0,
            outbox,
            events,
            cache: TaskCache::default(),
            requests: Arc::default(),
            states: HashMap::new(),
            ranges: HashMap::new(),
            resend_at: None,
            spool_at: None,
            tries: TaskTracker::new(),
            is_draining: false,
            drain_until: None,
            end_at: None,
        };
        Ok((session, logs))
    }

    /// Works until `stop`, then lets running tries end, and returns.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(BATCH);
        let mut alarm = std::pin::pin!(sleep_until(Instant::now().into()));
        while !self.is_over() {
            let due = self.next_due();
            if alarm.deadline() != due.into() {
                alarm.as_mut().reset(due.into());
            }
            tokio::select! {
                count = self.events.recv_many(&mut events, BATCH) => {
                    debug_assert!(count > 0, "the session itself holds an outbox");
                    self.take_events(&mut events);
                }
                message = OptionFuture::from(self.link.as_mut().map(|link| link.input.message())),
                    if self.link.is_some() => self.take_message(message),
                welcomed = OptionFuture::from(self.connecting.as_mut()),
                    if self.connecting.is_some() => self.take_connection(welcomed)?,
                () = &mut alarm => self.tick(Instant::now()),
                () = stop.cancelled(), if self.drain_until.is_none() => self.drain_in_time("stopped"),
            }
        }
        self.spool_waiting();
        Ok(())
    }

    /// The earliest instant at which something is to be done.
    fn next_due(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3_600);
        let is_idle = self.link.is_none() && self.connecting.is_none();
        let reconnect = is_idle.then_some(self.connect_at);
        let linked = self.link.is_some();
        let beat = linked.then(|| self.lease.next_beat());
        let silent = self.lease.is_silent_from().filter(|_| linked);
        let lost = self.lease.ends_tries().filter(|_| !self.lease_lost);
        let resend = self.resend_at.filter(|_| linked);
        let dues = [
            reconnect,
            beat,
            silent,
            lost,
            resend,
            self.spool_at,
            self.drain_until.filter(|_| self.end_at.is_none()),
            self.end_at.filter(|at| *at > Instant::now()),
            self.former_at.filter(|_| linked && self.former.is_some()),
        ];
        dues.into_iter().flatten().min().unwrap_or(far)
    }

    /// Does what is due.
    fn tick(&mut self, now: Instant) {
        if !self.lease_lost && self.lease.ends_tries().is_some_and(|at| at <= now) {
            self.lose_lease();
        }
        if self.link.is_none() && self.connecting.is_none() && self.connect_at <= now {
            self.connect();
        }
        if self.link.is_some() {
            self.tick_linked(now);
        }
        if self.spool_at.is_some_and(|at| at <= now) {
            self.spool_overdue(now);
        }
        if self.drain_until.is_some_and(|at| at <= now) && self.end_at.is_none() {
            self.stop_all(&StopCause::ShuttingDown, None);
            self.end_at = Some(now + self.config.grace + LAST_ANSWERS);
        }
    }

    fn tick_linked(&mut self, now: Instant) {
        if self.lease.is_silent_from().is_some_and(|at| at <= now) {
            warn!("the server is silent, trying the next one");
            self.disconnect();
            self.next_server += 1;
            return;
        }
        if self.lease.next_beat() <= now {
            self.beat(now);
        }
        if self.resend_at.is_some_and(|at| at <= now) {
            self.resend_reports(now);
        }
        self.settle_former(now);
    }
}
