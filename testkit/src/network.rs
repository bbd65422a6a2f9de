//! The network between a program and PostgreSQL, to be cut without a word: nothing is closed, and
//! nothing arrives.

use std::path::PathBuf;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// See the module. Ends with its last connection when it is dropped.
pub struct Network {
    port: u16,
    state: watch::Sender<State>,
    _all: JoinSet<std::io::Result<()>>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// How often it was cut: connections from before a cut are silent.
    cuts: u32,
    /// New connections are silent as well.
    is_down: bool,
}

impl Network {
    /// Listens before a socket of PostgreSQL's.
    pub(crate) async fn before(socket: PathBuf) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (state, seen) = watch::channel(State::default());
        let mut all = JoinSet::new();
        all.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await?;
                connections.spawn(pass(client, socket.clone(), seen.clone()));
            }
        });
        Ok(Self { port, state, _all: all })
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection that is there; new ones pass.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Cuts everything until it is mended.
    pub fn down(&self) {
        self.state.send_modify(|state| *state = State { cuts: state.cuts + 1, is_down: true });
    }

    /// New connections pass again; those that were cut stay silent.
    pub fn mend(&self) {
        self.state.send_modify(|state| state.is_down = false);
    }
}

async fn pass(
    mut client: TcpStream,
    socket: PathBuf,
    mut state: watch::Receiver<State>,
) -> std::io::Result<()> {
    let born = *state.borrow_and_update();
    let mut server = UnixStream::connect(socket).await?;
    if !born.is_down {
        tokio::select! {
            passed = copy_bidirectional(&mut client, &mut server) => return passed.map(drop),
            _ = state.wait_for(|state| state.cuts != born.cuts) => {}
        }
    }
    // Both ends stay open.
    std::future::pending().await
}
