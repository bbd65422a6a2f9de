//! Clients that are kept between tries: the next run of a pipeline need not connect anew.

use std::ops::Deref;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::target::Heard;

/// How long a client is kept that nobody uses: brokers close connections after ten minutes.
const KEEP: Duration = Duration::from_secs(300);
/// Clients of a kind that are kept: each has threads, and a connection to every broker.
const KEPT_MOST: usize = 16;
/// Events that a kept client may have waiting; one with more is no good.
const EVENTS_MOST: usize = 100;

static CONSUMERS: Pool<BaseConsumer<Heard>> = Pool(Mutex::new(Vec::new()));
static PRODUCERS: Pool<BaseProducer<Heard>> = Pool(Mutex::new(Vec::new()));

/// Clients that nobody uses, the longest-kept first.
pub(crate) struct Pool<C>(Mutex<Vec<Idle<C>>>);

struct Idle<C> {
    properties: Properties,
    client: C,
    since: Instant,
}

/// Everything that a client was made with, in order.
type Properties = Vec<(String, String)>;

/// A client of librdkafka that can be used again.
pub(crate) trait Reusable: Sized + Send + 'static {
    /// Where such clients are kept.
    fn pool() -> &'static Pool<Self>;

    fn create(config: &ClientConfig) -> Result<Self, KafkaError>;

    /// Hears what was said while nobody used it; false if it cannot be used again.
    fn is_sound(&self) -> bool;

    /// Leaves what it was used for; false if that failed.
    fn rest(&self) -> bool;
}

/// A client in use by one try.
pub(crate) struct Lent<C: Reusable> {
    properties: Properties,
    /// Always there but while it is given back.
    client: Option<C>,
    /// It has served an earlier try.
    pub(crate) is_kept: bool,
    /// It may serve a later one.
    keep: bool,
}

impl<C: Reusable> Lent<C> {
    /// A client that was kept with the same properties, or a new one.
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, KafkaError> {
        // The map shows no passwords: who gives another one has another client.
        let names = config.config_map().into_keys();
        let property =
            |name: &str| (name.to_owned(), config.get(name).unwrap_or_default().to_owned());
        let properties: Properties = names.map(property).collect();
        while let Some(client) = C::pool().take(&properties) {
            if client.is_sound() {
                return Ok(Self { properties, client: Some(client), is_kept: true, keep: false });
            }
            beside(move || drop(client));
        }
        let client = Some(C::create(config)?);
        Ok(Self { properties, client, is_kept: false, keep: false })
    }

    /// Keeps it for a later try, unless something goes wrong yet.
    pub(crate) fn keeping(mut self) -> Self {
        self.keep = true;
        self
    }

    /// The same, of one in use.
    pub(crate) fn keep(&mut self) {
        self.keep = true;
    }
}

impl<C: Reusable> Deref for Lent<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.client.as_ref().unwrap_or_else(|| unreachable!("it is there until it is dropped"))
    }
}

impl<C: Reusable> Drop for Lent<C> {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let (properties, keep) = (std::mem::take(&mut self.properties), self.keep);
        beside(move || give_back(properties, client, keep));
    }
}

/// Keeps a client, or closes it.
fn give_back<C: Reusable>(properties: Properties, client: C, keep: bool) {
    // Without a runtime nobody would close it in the end.
    let Ok(runtime) = Handle::try_current() else { return };
    if keep && client.rest() && client.is_sound() {
        C::pool().put(properties, client);
        runtime.spawn(async {
            sleep(KEEP).await;
            beside(|| C::pool().close_old());
        });
    }
}

/// Does what waits for brokers, as closing a client does, where that holds up nobody: on a thread of the
/// runtime it would keep other tasks, and the lease of their worker, waiting.
fn beside(work: impl FnOnce() + Send + 'static) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

impl<C> Pool<C> {
    /// The one that was used last.
    fn take(&self, properties: &Properties) -> Option<C> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = idle.iter().rposition(|idle| idle.properties == *properties)?;
        Some(idle.remove(place).client)
    }

    fn put(&self, properties: Properties, client: C) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle { properties, client, since: Instant::now() });
        let oldest = (idle.len() > KEPT_MOST).then(|| idle.remove(0));
        // Not under the lock: closing takes a moment.
        drop(idle);
        drop(oldest);
    }

    fn close_old(&self) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let young = idle.iter().position(|idle| idle.since.elapsed() < KEEP).unwrap_or(idle.len());
        let old: Vec<Idle<C>> = idle.drain(..young).collect();
        drop(idle);
        drop(old);
    }
}

impl Reusable for BaseConsumer<Heard> {
    fn pool() -> &'static Pool<Self> {
        &CONSUMERS
    }

    fn create(config: &ClientConfig) -> Result<Self, KafkaError> {
        config.create_with_context(Heard::default())
    }

    fn is_sound(&self) -> bool {
        let mut events = std::iter::from_fn(|| self.poll(Duration::ZERO)).take(EVENTS_MOST);
        events.all(|event| event.is_ok()) && self.context().last().is_none()
    }

    fn rest(&self) -> bool {
        // What was paused stays so when it is assigned again.
        let resumed = self.assignment().and_then(|assigned| match assigned.count() {
            0 => Ok(()),
            _ => self.resume(&assigned),
        });
        resumed.and_then(|()| self.unassign()).is_ok()
    }
}

impl Reusable for BaseProducer<Heard> {
    fn pool() -> &'static Pool<Self> {
        &PRODUCERS
    }

    fn create(config: &ClientConfig) -> Result<Self, KafkaError> {
        config.create_with_context(Heard::default())
    }

    fn is_sound(&self) -> bool {
        self.poll(Duration::ZERO);
        self.context().last().is_none() && self.client().fatal_error().is_none()
    }

    fn rest(&self) -> bool {
        self.in_flight_count() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{ThreadId, current};

    use super::*;

    static TOLD: Pool<Tells> = Pool(Mutex::new(Vec::new()));

    /// Tells where it is given back.
    struct Tells(mpsc::Sender<ThreadId>);

    impl Reusable for Tells {
        fn pool() -> &'static Pool<Self> {
            &TOLD
        }

        fn create(_: &ClientConfig) -> Result<Self, KafkaError> {
            Err(KafkaError::Canceled)
        }

        fn is_sound(&self) -> bool {
            true
        }

        fn rest(&self) -> bool {
            self.0.send(current().id()).is_ok()
        }
    }

    #[tokio::test]
    async fn what_waits_for_brokers_keeps_no_thread_of_the_runtime() {
        let (tells, told) = mpsc::channel();
        let (properties, client) = (Vec::new(), Some(Tells(tells)));
        drop(Lent { properties, client, is_kept: false, keep: true });
        let thread = tokio::task::spawn_blocking(move || told.recv()).await.unwrap().unwrap();
        assert_ne!(thread, current().id());
    }
}
