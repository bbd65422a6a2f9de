//! The worker's session with the servers: one task that owns all of its state, so that nothing is
//! locked and what was decided together is sent together.
//!
//! It goes on while no server answers: tries run, reports and logs wait, the lease runs out on the
//! worker's own clock.

mod assigned;
mod book;
mod connect;
mod incoming;
mod lease;
mod letters;
mod outbox;
mod outgoing;
mod tls;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::OptionFuture;
use rand::Rng;
use subak_proto::{DeadLetters, Hello, JoinToken, StateRequest, TryRef};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Code;
use tracing::{info, warn};

use crate::config::Config;
use crate::host::Host;
use crate::spool::{Spool, Spooled};
use crate::state_folder::StateFolder;
use crate::tries::{StopCause, TaskCache};
use book::{Book, Waiting};
use connect::{ConnectError, Connecting, Link, Server, Welcomed};
use lease::Lease;
pub(crate) use outbox::flush_logs;
use outbox::{Event, Outbox};

/// Events taken at once.
const BATCH: usize = 512;
/// A report without an answer is written to disk, where it was not before.
const SPOOL_AFTER: Duration = Duration::from_secs(1);
/// How long a former session's reports may delay the word that this session has ended.
const FORMER_PATIENCE: Duration = Duration::from_secs(2);
/// How long the last reports may wait for their answers at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

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
    /// Messages of rejected records that the server does not keep yet, by token.
    letters: HashMap<i64, Vec<Arc<DeadLetters>>>,
    resend_at: Option<Instant>,
    spool_at: Option<Instant>,
    tries: TaskTracker,

    drain_until: Option<Instant>,
    end_at: Option<Instant>,
}

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
            resend_at: None,
            spool_at: None,
            tries: TaskTracker::new(),
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
                () = stop.cancelled(), if self.drain_until.is_none() => self.drain("stopped"),
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

    // ---- connecting --------------------------------------------------------------------------

    fn connect(&mut self) {
        let hello = self.hello();
        let server = &self.servers[self.next_server % self.servers.len()];
        self.connecting = Some(server.connect(hello, self.lease.patience()));
    }

    fn hello(&mut self) -> Hello {
        self.former_said = self.former.is_some() && self.is_former_settled(Instant::now());
        let former = self.former.filter(|_| self.former_said).unwrap_or_default();
        Hello {
            worker: self.config.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            session: self.id,
            former_session: former,
            queues: self.book.queue_slots(self.is_draining()),
            held: self.book.held(),
            state_folder: self.folder.id().to_owned(),
        }
    }

    fn take_connection(
        &mut self,
        welcomed: Option<Result<Welcomed, ConnectError>>,
    ) -> anyhow::Result<()> {
        self.connecting = None;
        match welcomed {
            Some(Ok(welcomed)) => self.welcome(welcomed)?,
            Some(Err(error)) => self.connection_failed(error)?,
            None => {}
        }
        Ok(())
    }

    /// A worker that was never welcome and is told why ends; any other one tries again.
    fn connection_failed(&mut self, error: ConnectError) -> anyhow::Result<()> {
        if let ConnectError::Refused { status, .. } = &error {
            let is_final = matches!(
                status.code(),
                Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument
            );
            if is_final && !self.was_welcomed {
                return Err(error.into());
            }
        }
        let error = anyhow::Error::from(error);
        warn!(error = format!("{error:#}"), "no connection, trying again");
        self.next_server += 1;
        self.failures += 1;
        // One quick look at each server, then more and more slowly.
        let rounds = self.failures / u32::try_from(self.servers.len()).unwrap_or(1).max(1);
        let limit = self.lease.beat_period().min(Duration::from_secs(2));
        let wait = Duration::from_millis(20).saturating_mul(1 << rounds.min(10)).min(limit);
        self.connect_at = Instant::now() + wait.mul_f64(rand::rng().random_range(0.5..1.0));
        Ok(())
    }

    fn welcome(&mut self, welcomed: Welcomed) -> anyhow::Result<()> {
        let Welcomed { link, welcome, hello_sent } = welcomed;
        let is_new = welcome.session != self.id;
        info!(
            session = format!("{:016x}", welcome.session),
            server = welcome.server,
            resumed = !is_new,
            "connected"
        );
        let lease = Duration::from_micros(welcome.lease_micros);
        self.lease.welcomed(lease, is_new, hello_sent);
        if is_new {
            self.lease_lost = false;
            self.begin_session(welcome.session)?;
        }
        for try_ref in welcome.unknown {
            self.stop_unknown(try_ref);
        }
        (self.link, self.failures, self.was_welcomed) = (Some(link), 0, true);
        if self.former_said {
            self.former = None;
        }
        self.former_at.get_or_insert_with(|| Instant::now() + FORMER_PATIENCE);
        self.resend_all(Instant::now());
        Ok(())
    }

    fn begin_session(&mut self, session: u64) -> anyhow::Result<()> {
        let reason = "superseded: its session has ended".to_owned();
        self.stop_all(&StopCause::Server(reason), None);
        self.id = session;
        self.seen = 0;
        self.book.begin_session(session);
        self.folder.set_session(session).context("writing the session's id")
    }

    /// Results that the former session left may still count: its end is said after them.
    fn is_former_settled(&self, now: Instant) -> bool {
        !self.book.has_former() || self.former_at.is_some_and(|at| at <= now)
    }

    /// Says that the former session has ended, which only a Hello can.
    fn settle_former(&mut self, now: Instant) {
        if self.former.is_some() && self.is_former_settled(now) {
            self.disconnect();
            self.connect();
        }
    }

    fn disconnect(&mut self) {
        self.link = None;
        self.held_as_of = None;
        self.lease.disconnected();
        self.connect_at = Instant::now();
        self.spool_overdue(Instant::now() + SPOOL_AFTER);
    }

    // ---- ending ------------------------------------------------------------------------------

    fn is_draining(&self) -> bool {
        self.drain_until.is_some()
    }

    fn drain(&mut self, reason: &str) {
        info!(reason, running = self.book.all_running().count(), "draining");
        self.drain_until = Some(Instant::now() + self.config.drain);
        self.send_draining();
    }

    /// Nothing runs, and every report is answered or has waited long enough.
    fn is_over(&mut self) -> bool {
        if !self.is_draining() || self.book.all_running().next().is_some() {
            return false;
        }
        let now = Instant::now();
        let end = *self.end_at.get_or_insert(now + LAST_ANSWERS);
        let is_done = self.book.waiting_count() == 0 && self.book.logs().next().is_none();
        is_done || end <= now || !self.was_welcomed
    }

    fn lose_lease(&mut self) {
        self.lease_lost = true;
        let running = self.book.all_running().count();
        if running > 0 {
            warn!(running, "no server renewed the lease: ending what runs");
            self.stop_all(&StopCause::LeaseLost, Some(self.lease.grace()));
        }
    }

    fn stop_all(&self, cause: &StopCause, within: Option<Duration>) {
        for running in self.book.all_running() {
            running.stop.give(cause.clone(), within);
        }
    }

    fn stop_unknown(&self, try_ref: TryRef) {
        if let Some(running) = self.book.running(try_ref.token) {
            running.stop.give(StopCause::Server("superseded".to_owned()), None);
        }
    }

    // ---- what waits on disk ------------------------------------------------------------------

    fn spool_overdue(&mut self, now: Instant) {
        let mut next: Option<Instant> = None;
        for waiting in self.book.all_waiting().filter(|waiting| !waiting.is_spooled) {
            let due = waiting.since + SPOOL_AFTER;
            if due <= now {
                write_soon(&self.spool, waiting, &self.letters);
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        self.spool_at = next;
    }

    fn spool_waiting(&mut self) {
        for waiting in self.book.all_waiting().filter(|waiting| !waiting.is_spooled) {
            write_soon(&self.spool, waiting, &self.letters);
        }
    }
}

fn write_soon(spool: &Spool, waiting: &mut Waiting, letters: &HashMap<i64, Vec<Arc<DeadLetters>>>) {
    spool.write_soon(Spooled {
        report: waiting.report.clone(),
        chunks: waiting.chunks.clone(),
        letters: letters.get(&waiting.token()).cloned().unwrap_or_default(),
    });
    waiting.is_spooled = true;
}
