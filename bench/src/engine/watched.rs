//! The hop while people watch live pages and programs ask the API, against that of the same minutes
//! without them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::Client;
use subak_store::access::Role;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::Stack;

/// People who watch a live page each.
pub(super) const WATCHERS: usize = 200;

/// Requests to the API each second.
pub(super) const REQUESTS_A_SEC: u64 = 100;

/// What the API is asked for, in turns. `{run}`: the run that is watched.
const ASKED: &[&str] = &[
    "/api/v2/dags?limit=25",
    "/api/v2/dags/chain/dagRuns?limit=25&order_by=-run_after",
    "/api/v2/dags/map/dagRuns/{run}",
    "/api/v2/dags/map/dagRuns/{run}/taskInstances?limit=50",
    "/api/v2/dags/chain/details",
    "/api/v2/monitor/health",
];

/// Pages that are watched, in turns: the run's and others.
const WATCHED: &[&str] = &[
    "/dags/map/runs/{run}/events",
    "/home/events",
    "/dags/map/runs/{run}/events",
    "/dags/chain/grid/events",
    "/live/dags",
    "/live/runs",
];

/// Everybody who looks, until dropped.
pub(super) struct Crowd {
    tasks: JoinSet<anyhow::Result<()>>,
    seen: Arc<Seen>,
}

/// What they were answered.
#[derive(Default)]
struct Seen {
    /// Pages that are open.
    open: AtomicU64,
    /// Pieces of live pages.
    pieces: AtomicU64,
    answers: AtomicU64,
    slowest_ms: AtomicU64,
    is_over: AtomicBool,
}

impl Crowd {
    /// Opens the pages and begins to ask; returns once every page has shown something.
    pub(super) async fn gather(stack: &Stack, run_id: &str) -> anyhow::Result<Self> {
        let token = stack.token("watcher", Role::Viewer).await?;
        let client = client(&token)?;
        let url = stack.url()?;
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        for path in WATCHED.iter().cycle().take(WATCHERS) {
            let address = format!("{url}{}", path.replace("{run}", run_id));
            tasks.spawn(watch(client.clone(), address, Arc::clone(&seen)));
        }
        let began = Instant::now();
        while seen.open.load(Ordering::Relaxed) < WATCHERS as u64 {
            ensure!(began.elapsed() < Duration::from_secs(60), "not all pages have opened");
            if let Some(ended) = tasks.try_join_next() {
                ended??;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let asked: Vec<String> =
            ASKED.iter().map(|path| format!("{url}{}", path.replace("{run}", run_id))).collect();
        tasks.spawn(ask(client, asked, Arc::clone(&seen)));
        Ok(Self { tasks, seen })
    }

    /// Ends all of it. Returns how many pieces of pages and answers there were, and the slowest answer.
    pub(super) async fn leave(mut self) -> anyhow::Result<(u64, u64, f64)> {
        self.seen.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.try_join_next() {
            ended??;
        }
        self.tasks.shutdown().await;
        let Seen { pieces, answers, slowest_ms, .. } = &*self.seen;
        let load = |it: &AtomicU64| it.load(Ordering::Relaxed);
        Ok((load(pieces), load(answers), load(slowest_ms) as f64))
    }
}

pub(super) fn client(token: &str) -> anyhow::Result<Client> {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse()?);
    Ok(Client::builder().default_headers(headers).build()?)
}

/// Keeps a live page open, and reads what it sends.
async fn watch(client: Client, address: String, seen: Arc<Seen>) -> anyhow::Result<()> {
    let mut page = client.get(&address).send().await?.error_for_status()?;
    let mut is_open = false;
    while let Some(piece) = page.chunk().await.context("a page that is watched")? {
        if !is_open {
            is_open = true;
            seen.open.fetch_add(1, Ordering::Relaxed);
        }
        // Lines that begin with a colon keep the connection alive.
        let events = piece.windows(6).filter(|it| it == b"\ndata:").count() as u64;
        seen.pieces.fetch_add(events + u64::from(piece.starts_with(b"data:")), Ordering::Relaxed);
    }
    Ok(())
}

/// Asks at a steady pace, whatever the answers take.
async fn ask(client: Client, asked: Vec<String>, seen: Arc<Seen>) -> anyhow::Result<()> {
    let mut pace = interval(Duration::from_secs(1) / u32::try_from(REQUESTS_A_SEC)?);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut open = JoinSet::new();
    for address in asked.iter().cycle() {
        pace.tick().await;
        if seen.is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        while let Some(ended) = open.try_join_next() {
            let took: anyhow::Result<u64> = ended?;
            seen.answers.fetch_add(1, Ordering::Relaxed);
            seen.slowest_ms.fetch_max(took?, Ordering::Relaxed);
        }
        let (client, address) = (client.clone(), address.clone());
        open.spawn(async move {
            let began = Instant::now();
            client.get(&address).send().await?.error_for_status()?.bytes().await?;
            Ok(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
        });
    }
    Ok(())
}

impl Stack {
    /// A token of somebody with this role.
    pub(super) async fn token(&self, name: &str, role: Role) -> anyhow::Result<String> {
        let store = self.store();
        let user = match store.user_named(name).await? {
            Some(user) => user,
            None => store.user_create(name, None, role).await?,
        };
        let secret = store.api_token_create(&user, "bench", None, None).await?;
        Ok(secret.expose().to_owned())
    }
}
