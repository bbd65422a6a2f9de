//! Connecting to a server, and being welcomed by it.

use std::time::{Duration, Instant};

use anyhow::Context;
use rand::Rng;
use subak_proto::Hello;
use tonic::Code;
use tracing::{info, warn};

use super::connect::{ConnectError, Welcomed};
use super::{SPOOL_AFTER, Session};
use crate::tries::StopCause;

/// How long a former session's reports may delay the word that this session has ended.
const FORMER_PATIENCE: Duration = Duration::from_secs(2);

impl Session {
    pub(super) fn connect(&mut self) {
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
            queues: self.book.queue_slots(self.is_draining),
            held: self.book.held(),
            state_folder: self.folder.id().to_owned(),
        }
    }

    pub(super) fn take_connection(
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
    pub(super) fn is_former_settled(&self, now: Instant) -> bool {
        !self.book.has_former() || self.former_at.is_some_and(|at| at <= now)
    }

    /// Says that the former session has ended, which only a Hello can.
    pub(super) fn settle_former(&mut self, now: Instant) {
        if self.former.is_some() && self.is_former_settled(now) {
            self.disconnect();
            self.connect();
        }
    }

    pub(super) fn disconnect(&mut self) {
        self.link = None;
        self.held_as_of = None;
        self.lease.disconnected();
        self.connect_at = Instant::now();
        self.spool_overdue(Instant::now() + SPOOL_AFTER);
    }
}
