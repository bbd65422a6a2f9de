//! The parts of a long-lived process: started together, ended together.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Everything a process runs until a signal, or until the first part ends.
pub(crate) struct Services {
    parts: JoinSet<(&'static str, anyhow::Result<()>)>,
    stop: CancellationToken,
    signals: Signals,
}

impl Services {
    /// No part yet; from now on a signal asks the process to end. `stop` is cancelled when it is to.
    pub(crate) fn new(stop: CancellationToken) -> anyhow::Result<Self> {
        Ok(Self { parts: JoinSet::new(), stop, signals: Signals::new()? })
    }

    /// Starts a part. It ends soon after `stop` is cancelled.
    pub(crate) fn spawn(
        &mut self,
        name: &'static str,
        part: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.parts.spawn(async move { (name, part.await) });
    }

    /// Waits for SIGINT, SIGTERM, `stop` or the first part to end, stops the others and waits for
    /// them, at most `grace`. A second signal ends the wait.
    pub(crate) async fn run(mut self, grace: Duration) -> anyhow::Result<()> {
        let first = tokio::select! {
            () = self.stop.cancelled() => Ok(()),
            name = self.signals.next() => {
                info!(signal = name, "stopping");
                Ok(())
            }
            Some(ended) = self.parts.join_next() => outcome(ended),
        };
        self.stop.cancel();
        let drained = tokio::select! {
            drained = tokio::time::timeout(grace, drain(&mut self.parts)) => drained.unwrap_or_else(|_| {
                warn!(grace_secs = grace.as_secs(), "some parts did not stop in time, ending anyway");
                Ok(())
            }),
            name = self.signals.next() => {
                warn!(signal = name, "second signal, ending at once");
                Ok(())
            }
        };
        first.and(drained)
    }
}

async fn drain(parts: &mut JoinSet<(&'static str, anyhow::Result<()>)>) -> anyhow::Result<()> {
    let mut first_error = Ok(());
    while let Some(ended) = parts.join_next().await {
        first_error = first_error.and(outcome(ended));
    }
    first_error
}

type Joined = Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>;

fn outcome(ended: Joined) -> anyhow::Result<()> {
    let (name, result) = ended.context("a part of the process panicked")?;
    result.with_context(|| format!("{name} ended"))
}

/// The two signals by which a process is asked to end.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listening for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_part_that_fails_ends_the_others() {
        let stop = CancellationToken::new();
        let mut services = Services::new(stop.clone()).unwrap();
        let other = stop.clone();
        services.spawn("patient", async move {
            other.cancelled().await;
            Ok(())
        });
        services.spawn("broken", async { anyhow::bail!("no room") });

        let error = services.run(Duration::from_secs(60)).await.unwrap_err();

        assert_eq!(format!("{error:#}"), "broken ended: no room");
        assert!(stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_part_that_does_not_stop_is_left_behind() {
        let stop = CancellationToken::new();
        let mut services = Services::new(stop.clone()).unwrap();
        services.spawn("stubborn", std::future::pending());
        stop.cancel();

        services.run(Duration::from_millis(10)).await.unwrap();
    }
}
