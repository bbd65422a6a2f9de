//! How often somebody may fail to sign in, and how many passwords are checked at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::problem::ApiError;

/// Failures of one user name, and of one address, within the window.
const FAILURES_PER_NAME: u32 = 10;
const FAILURES_PER_ADDRESS: u32 = 50;
const WINDOW: Duration = Duration::from_secs(300);
/// Names and addresses remembered; beyond it, all begin anew.
const REMEMBERED_MOST: usize = 20_000;
/// A check takes 19 MiB and a core for a moment.
const CHECKS_AT_ONCE: usize = 2;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Name(String),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    since: Instant,
    count: u32,
}

/// Failed sign-ins of late, in this server's memory.
#[derive(Debug)]
pub(crate) struct LoginLimits {
    failures: Mutex<HashMap<Key, Failures>>,
    window: Duration,
    checks: Semaphore,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self { failures: Mutex::default(), window: WINDOW, checks: Semaphore::new(CHECKS_AT_ONCE) }
    }
}

impl LoginLimits {
    /// Whether somebody may try; waits for its turn to check a password.
    pub(crate) async fn admit(
        &self,
        name: &str,
        address: Option<IpAddr>,
    ) -> Result<tokio::sync::SemaphorePermit<'_>, ApiError> {
        if let Some(wait) = keys(name, address).filter_map(|key| self.wait(&key)).max() {
            return Err(ApiError::TooManySignIns(wait.as_secs() + 1));
        }
        self.checks.acquire().await.map_err(|_| ApiError::Internal)
    }

    /// Remembers a failure.
    pub(crate) fn failed(&self, name: &str, address: Option<IpAddr>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED_MOST {
            failures.clear();
        }
        for key in keys(name, address) {
            let entry = failures.entry(key).or_insert(Failures { since: Instant::now(), count: 0 });
            if entry.since.elapsed() > self.window {
                *entry = Failures { since: Instant::now(), count: 0 };
            }
            entry.count += 1;
        }
    }

    /// Forgets a name's failures: its owner has signed in.
    pub(crate) fn succeeded(&self, name: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&Key::Name(name.to_lowercase()));
    }

    fn wait(&self, key: &Key) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = failures.get(key)?;
        let most = match key {
            Key::Name(_) => FAILURES_PER_NAME,
            Key::Address(_) => FAILURES_PER_ADDRESS,
        };
        (entry.count >= most).then(|| self.window.checked_sub(entry.since.elapsed())).flatten()
    }
}

fn keys(name: &str, address: Option<IpAddr>) -> impl Iterator<Item = Key> {
    let name = Key::Name(name.chars().take(100).collect::<String>().to_lowercase());
    std::iter::once(name).chain(address.map(Key::Address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_fails_too_often_waits_and_then_may_again() {
        let mut limits = LoginLimits::default();
        for _ in 0..FAILURES_PER_NAME {
            assert!(limits.admit("made", None).await.is_ok());
            limits.failed("made", None);
        }
        assert!(matches!(limits.admit("MADE", None).await, Err(ApiError::TooManySignIns(300..))));
        assert!(limits.admit("wayan", None).await.is_ok());
        // Its window is over.
        limits.window = Duration::ZERO;
        assert!(limits.admit("made", None).await.is_ok());
    }

    #[tokio::test]
    async fn an_address_is_limited_whatever_names_it_tries() {
        let limits = LoginLimits::default();
        let address = Some(IpAddr::from([192, 0, 2, 1]));
        for at in 0..FAILURES_PER_ADDRESS {
            limits.failed(&format!("user{at}"), address);
        }
        assert!(limits.admit("another", address).await.is_err());
        assert!(limits.admit("another", Some(IpAddr::from([192, 0, 2, 2]))).await.is_ok());
    }
}
