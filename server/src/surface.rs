//! Where browsers and API clients are served: on threads of their own, which step back for the engine.
//!
//! A page that is drawn takes a thread for milliseconds. A hop that waited for that thread would be late by
//! as much, and the more people look, the later; so the engine and the workers' connections share no
//! threads with pages, and the operating system lets theirs go first.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::App;
use crate::router::router;

/// How far the threads step back: as `nice` has it, of 19. Of a core that the engine wants, too, they get a
/// quarter, and all of one that it does not want.
const NICE: i32 = 5;

/// API and pages, being served.
pub(crate) struct Surface {
    /// `None`: shut down.
    runtime: Option<Runtime>,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Surface {
    /// Serves API and pages until `stop`; answers that were begun are finished.
    pub(crate) fn start(
        listener: TcpListener,
        app: App,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        listener.set_nonblocking(true).context("listening for browsers")?;
        let runtime = threads().context("starting the threads of API and pages")?;
        let served = runtime.spawn(serve(listener, app, stop));
        Ok(Self { runtime: Some(runtime), served })
    }

    /// Waits until everything was served, or serving has failed.
    pub(crate) async fn ended(mut self) -> anyhow::Result<()> {
        (&mut self.served).await.context("serving browsers")?
    }
}

impl Drop for Surface {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Without waiting: it is dropped on a thread that must not be blocked.
            runtime.shutdown_background();
        }
    }
}

fn threads() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().thread_name("pages").on_thread_start(step_back).enable_all().build()
}

async fn serve(listener: TcpListener, app: App, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
}

/// Lowers the priority of this thread. Where the system does not have it, it goes on as it is.
fn step_back() {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "the threads of pages keep their priority");
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn its_threads_step_back_and_no_others_do() {
        let before = getpriority_process(None).unwrap();
        let threads = threads().unwrap();
        let theirs = threads.spawn(async { getpriority_process(None) });
        let blocking = threads.spawn_blocking(|| getpriority_process(None));
        let stepped = (before + NICE).min(19);
        assert_eq!(threads.block_on(theirs).unwrap(), Ok(stepped));
        assert_eq!(threads.block_on(blocking).unwrap(), Ok(stepped));
        assert_eq!(getpriority_process(None), Ok(before));
    }
}
