//! A TCP proxy before PostgreSQL that cuts connections where a test wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The message `COMMIT` of PostgreSQL's simple protocol.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// What the proxy does, changed while it runs.
#[derive(Default)]
pub(crate) struct Plan {
    /// Hand COMMIT on, wait for its answer, and cut instead of passing it.
    pub(crate) lose_commit_reply: AtomicBool,
    /// Cut instead of handing COMMIT on.
    pub(crate) lose_commit: AtomicBool,
    /// Refuse connections.
    pub(crate) away: AtomicBool,
    /// Go away after the next cut.
    pub(crate) away_after_cut: AtomicBool,
    pub(crate) cuts: AtomicU32,
}

impl Plan {
    fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
        if self.away_after_cut.load(Ordering::SeqCst) {
            self.away.store(true, Ordering::SeqCst);
        }
    }
}

/// Listens on a free port before PostgreSQL's; ends with the test's runtime.
pub(crate) async fn start(to: u16) -> Result<(u16, Arc<Plan>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let plan = Arc::new(Plan::default());
    let plan_of_proxy = Arc::clone(&plan);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let plan = Arc::clone(&plan_of_proxy);
            if !plan.away.load(Ordering::SeqCst) {
                tokio::spawn(async move { pass(client, to, &plan).await });
            }
        }
    });
    Ok((port, plan))
}

async fn pass(mut client: TcpStream, to: u16, plan: &Plan) -> Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
    let (mut from_client, mut from_server) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let bytes = &from_client[..read?];
                let commits = bytes == COMMIT;
                if bytes.is_empty() {
                    return Ok(());
                }
                if commits && plan.lose_commit.swap(false, Ordering::SeqCst) {
                    plan.cut();
                    return Ok(());
                }
                server.write_all(bytes).await?;
                if commits && plan.lose_commit_reply.swap(false, Ordering::SeqCst) {
                    // The answer comes after the commit: when it is read, the rows are there.
                    let _ = server.read(&mut from_server).await?;
                    plan.cut();
                    return Ok(());
                }
            }
            read = server.read(&mut from_server) => {
                let bytes = &from_server[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                client.write_all(bytes).await?;
            }
        }
    }
}
