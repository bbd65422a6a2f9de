//! The threads that data is read and computed on.
//!
//! They are not the caller's: a query that keeps every core busy must not delay the worker's
//! heartbeats.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::error::DataError;
use subak_task::TaskError;

/// Number of threads: one for each core.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Returns the runtime, started at its first use.
pub(crate) fn runtime() -> Result<&'static Runtime, DataError> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            Builder::new_multi_thread()
                .worker_threads(threads())
                .thread_name("subak-data")
                .enable_all()
                .build()
        })
        .as_ref()
        .map_err(|error| DataError::permanent(format!("starting threads for data: {error}")))
}

/// Runs `work` on those threads until it ends or `cancel` is.
pub(crate) async fn run<T: Send + 'static>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, DataError>> + Send + 'static,
) -> Result<T, TaskError> {
    let task = AbortOnDropHandle::new(runtime()?.spawn(work));
    tokio::select! {
        () = cancel.cancelled() => Err(TaskError::cancelled()),
        ended = task => match ended {
            Ok(result) => result.map_err(TaskError::from),
            Err(error) => Err(TaskError::permanent(format!("computing failed: {error}"))),
        },
    }
}
