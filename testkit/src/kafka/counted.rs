//! Another way to a broker, which counts what its clients ask: whoever comes by it stays on it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Broker;

/// Requests that are known by name; the others by their number in Kafka's protocol.
const NAMES: [(u16, &str); 8] = [
    (0, "Produce"),
    (1, "Fetch"),
    (2, "ListOffsets"),
    (3, "Metadata"),
    (8, "OffsetCommit"),
    (9, "OffsetFetch"),
    (10, "FindCoordinator"),
    (18, "ApiVersions"),
];

/// See the module. Ends with its last connection when it is dropped.
#[derive(Debug)]
pub struct Counted {
    port: u16,
    asked: Asked,
    _all: JoinSet<io::Result<()>>,
}

type Asked = Arc<Mutex<Seen>>;

/// What has passed.
#[derive(Debug, Default)]
struct Seen {
    /// How often each request was made.
    requests: BTreeMap<u16, u64>,
    answers: u64,
}

/// Where the broker is, and where it is to be for its clients.
#[derive(Debug, Clone)]
struct Ports {
    host: String,
    broker: u16,
    own: u16,
}

impl Broker {
    /// Opens such a way.
    pub async fn counted(&self) -> anyhow::Result<Counted> {
        let (host, port) = self.bootstrap.rsplit_once(':').context("a broker has a port")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own = listener.local_addr()?.port();
        let ports = Ports { host: host.to_owned(), broker: port.parse()?, own };
        let asked = Asked::default();
        let mut all = JoinSet::new();
        let counted = Arc::clone(&asked);
        all.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await?;
                connections.spawn(pass(client, ports.clone(), Arc::clone(&counted)));
            }
        });
        Ok(Counted { port: own, asked, _all: all })
    }
}

impl Counted {
    /// `host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Requests so far, of all kinds.
    #[must_use]
    pub fn requests(&self) -> u64 {
        lock(&self.asked).requests.values().sum()
    }

    /// Requests that the broker has not answered yet: it waits for something to tell.
    #[must_use]
    pub fn open(&self) -> u64 {
        let seen = lock(&self.asked);
        seen.requests.values().sum::<u64>() - seen.answers
    }

    /// How often each was made since `before`, by name.
    #[must_use]
    pub fn since(&self, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let more = |(name, count): (String, u64)| {
            let more = count - before.get(&name).copied().unwrap_or_default();
            (more > 0).then_some((name, more))
        };
        self.by_name().into_iter().filter_map(more).collect()
    }

    /// How often each was made, by name.
    #[must_use]
    pub fn by_name(&self) -> BTreeMap<String, u64> {
        let name = |key: u16| match NAMES.iter().find(|(known, _)| *known == key) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("request {key}"),
        };
        let seen = lock(&self.asked);
        seen.requests.iter().map(|(key, count)| (name(*key), *count)).collect()
    }
}

async fn pass(client: TcpStream, ports: Ports, asked: Asked) -> io::Result<()> {
    let server = TcpStream::connect((ports.host.as_str(), ports.broker)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        ended = requests(from_client, to_server, Arc::clone(&asked)) => ended,
        ended = answers(from_server, to_client, ports, asked) => ended,
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: Asked) -> io::Result<()> {
    loop {
        let message = message(&mut from).await?;
        if let [_, _, _, _, high, low, ..] = message[..] {
            *lock(&asked).requests.entry(u16::from_be_bytes([high, low])).or_default() += 1;
        }
        to.write_all(&message).await?;
    }
}

/// Answers that name the broker name this way instead.
async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    ports: Ports,
    asked: Asked,
) -> io::Result<()> {
    let address = |port: u16| [ports.host.as_bytes(), &u32::from(port).to_be_bytes()].concat();
    let (theirs, own) = (address(ports.broker), address(ports.own));
    loop {
        let mut message = message(&mut from).await?;
        let mut at = 0;
        while at + theirs.len() <= message.len() {
            if message[at..].starts_with(&theirs) {
                message[at..at + own.len()].copy_from_slice(&own);
            }
            at += 1;
        }
        lock(&asked).answers += 1;
        to.write_all(&message).await?;
    }
}

/// One message, with the four bytes that say how long it is.
async fn message(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let size = from.read_u32().await?;
    let mut message = size.to_be_bytes().to_vec();
    // As much as there is, not as much as is said.
    let read = from.take(u64::from(size)).read_to_end(&mut message).await?;
    if read as u64 == u64::from(size) {
        Ok(message)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn lock(asked: &Asked) -> MutexGuard<'_, Seen> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}
