//! How often somebody may fail to sign in, and how many passwords are checked at once.
//!
//! An attempt counts from its admission, so that many at once are no way around the limits; a success
//! takes it back. The tight limit is on a name *from one address*: a stranger who guesses somebody's
//! password elsewhere does not shut its owner out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::problem::ApiError;

const WINDOW: Duration = Duration::from_secs(300);
/// Keys remembered. Beyond it the ended windows go, then those with the fewest attempts.
const REMEMBERED_MOST: usize = 20_000;
/// A check takes 19 MiB and a core for a moment.
const CHECKS_AT_ONCE: usize = 2;
/// Attempts that wait for a check; more are told to come back.
const WAITING_MOST: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    NameFrom(String, Option<IpAddr>),
    Name(String),
    Address(IpAddr),
}

impl Key {
    /// Attempts within the window.
    fn most(&self) -> u32 {
        match self {
            Self::NameFrom(..) => 10,
            Self::Address(_) => 50,
            Self::Name(_) => 200,
        }
    }

    fn of(name: &str, address: Option<IpAddr>) -> Vec<Self> {
        let name = name.chars().take(100).collect::<String>().to_lowercase();
        let from = Self::NameFrom(name.clone(), address);
        [from, Self::Name(name)].into_iter().chain(address.map(Self::Address)).collect()
    }
}

#[derive(Debug, Clone, Copy)]
struct Attempts {
    since: Instant,
    count: u32,
}

/// Attempts to sign in of late, in this server's memory.
#[derive(Debug)]
pub(crate) struct LoginLimits {
    attempts: Mutex<HashMap<Key, Attempts>>,
    window: Duration,
    checks: Semaphore,
    waiting: Semaphore,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self {
            attempts: Mutex::default(),
            window: WINDOW,
            checks: Semaphore::new(CHECKS_AT_ONCE),
            waiting: Semaphore::new(WAITING_MOST),
        }
    }
}

/// An admitted attempt, with its turn to check a password. Dropped, it stays counted.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    limits: &'a LoginLimits,
    keys: Vec<Key>,
    _turn: SemaphorePermit<'a>,
}

impl Attempt<'_> {
    /// The password was right: the attempt no longer counts, nor do earlier ones from there.
    pub(crate) fn succeeded(self) {
        let mut attempts = self.limits.lock();
        for key in &self.keys {
            if matches!(key, Key::NameFrom(..)) {
                attempts.remove(key);
            } else if let Some(entry) = attempts.get_mut(key) {
                entry.count = entry.count.saturating_sub(1);
            }
        }
    }
}

impl LoginLimits {
    /// Counts an attempt, or refuses it; waits for its turn to check a password.
    pub(crate) async fn admit(
        &self,
        name: &str,
        address: Option<IpAddr>,
    ) -> Result<Attempt<'_>, ApiError> {
        let keys = Key::of(name, address);
        let _waits = self.waiting.try_acquire().map_err(|_| ApiError::TooManySignIns(1))?;
        self.count(&keys).map_err(|wait| ApiError::TooManySignIns(wait.as_secs() + 1))?;
        let turn = self.checks.acquire().await.map_err(|_| ApiError::Internal)?;
        Ok(Attempt { limits: self, keys, _turn: turn })
    }

    /// Waits for its turn to make a new password's hash, which takes what a check takes. Who may do that
    /// does not guess: nothing is counted.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.checks.acquire().await.map_err(|_| ApiError::Internal)
    }

    /// Counts one attempt under all of its keys, unless one has had its number: then how long to wait.
    fn count(&self, keys: &[Key]) -> Result<(), Duration> {
        let mut attempts = self.lock();
        let full = keys.iter().filter_map(|key| {
            let entry = attempts.get(key).filter(|entry| entry.count >= key.most())?;
            self.left(entry)
        });
        if let Some(wait) = full.max() {
            return Err(wait);
        }
        if attempts.len() >= REMEMBERED_MOST {
            attempts.retain(|_, entry| self.left(entry).is_some());
        }
        if attempts.len() >= REMEMBERED_MOST {
            let fewest = attempts.values().map(|entry| entry.count).min().unwrap_or(0);
            attempts.retain(|_, entry| entry.count > fewest);
        }
        for key in keys {
            let new = Attempts { since: Instant::now(), count: 0 };
            let entry = attempts.entry(key.clone()).or_insert(new);
            if self.left(entry).is_none() {
                *entry = new;
            }
            entry.count += 1;
        }
        Ok(())
    }

    /// What is left of the window of these attempts.
    fn left(&self, attempts: &Attempts) -> Option<Duration> {
        self.window.checked_sub(attempts.since.elapsed()).filter(|left| !left.is_zero())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Attempts>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test]
    async fn a_name_that_fails_too_often_from_one_address_waits_there_alone() {
        let mut limits = LoginLimits::default();
        for _ in 0..10 {
            drop(limits.admit("made", address(1)).await.unwrap());
        }
        let refused = limits.admit("MADE", address(1)).await;
        assert!(matches!(refused, Err(ApiError::TooManySignIns(299..))), "{refused:?}");
        drop(refused);
        assert!(limits.admit("wayan", address(1)).await.is_ok());
        assert!(limits.admit("made", address(2)).await.is_ok(), "its owner, elsewhere");
        limits.window = Duration::ZERO;
        assert!(limits.admit("made", address(1)).await.is_ok(), "the window is over");
    }

    #[tokio::test]
    async fn attempts_count_before_they_are_decided() {
        let limits = LoginLimits::default();
        let tries = (0..30).map(|_| async {
            let admitted = limits.admit("made", address(1)).await;
            tokio::task::yield_now().await;
            admitted.is_ok()
        });
        let admitted = futures::future::join_all(tries).await;
        assert_eq!(admitted.into_iter().filter(|ok| *ok).count(), 10);
    }

    #[tokio::test]
    async fn a_success_is_not_counted() {
        let limits = LoginLimits::default();
        for _ in 0..100 {
            limits.admit("made", address(1)).await.unwrap().succeeded();
        }
        assert!(limits.admit("made", address(1)).await.is_ok());
    }

    #[tokio::test]
    async fn an_address_is_limited_whatever_names_it_tries() {
        let limits = LoginLimits::default();
        for at in 0..50 {
            drop(limits.admit(&format!("user{at}"), address(1)).await.unwrap());
        }
        assert!(limits.admit("another", address(1)).await.is_err());
        assert!(limits.admit("another", address(2)).await.is_ok());
    }

    #[tokio::test]
    async fn guessers_who_are_many_do_not_make_it_forget() {
        let limits = LoginLimits::default();
        for _ in 0..10 {
            drop(limits.admit("made", address(1)).await.unwrap());
        }
        for at in 0..REMEMBERED_MOST {
            drop(limits.admit(&format!("user{at}"), None).await.unwrap());
        }
        assert!(limits.admit("made", address(1)).await.is_err());
    }
}
