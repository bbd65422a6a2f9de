//! Parts of pages that are sent anew whenever what they show has changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream::unfold;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::problem::ApiError;

/// Between two looks of a page that is open.
const APART: Duration = Duration::from_secs(2);
/// A page takes no more of anybody's line, in bytes a second; before they are compressed.
const RATE: usize = 128 << 10;
/// A stream ends after this: the browser comes again, and shows who it is again.
const LIFE: Duration = Duration::from_secs(600);

/// A part of a page, and a number that differs when it shows something else.
#[derive(Clone)]
pub(crate) struct Part {
    pub(super) print: u64,
    pub(super) markup: Arc<str>,
}

/// How long a page rests that was sent so much.
pub(super) fn rest(bytes: usize) -> Duration {
    Duration::from_millis(u64::try_from(bytes * 1_000 / RATE).unwrap_or(u64::MAX))
}

/// Looks again and again, and sends what differs; ends at `stop`.
pub(super) fn watch<L, F>(
    stop: CancellationToken,
    look: L,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>>
where
    L: Fn() -> F + Send + 'static,
    F: Future<Output = Result<Part, ApiError>> + Send,
{
    let ends = Instant::now() + LIFE;
    let stream = unfold((look, None, Duration::ZERO), move |(look, mut print, rests)| {
        let stop = stop.clone();
        async move {
            stop.run_until_cancelled(sleep(rests)).await?;
            loop {
                // A database that is away for a moment: the next look may see it.
                if let Ok(part) = look().await
                    && print.replace(part.print) != Some(part.print)
                {
                    let rests = rest(part.markup.len());
                    return Some((Ok(Event::default().data(part.markup)), (look, print, rests)));
                }
                let stopped = stop.run_until_cancelled(sleep(APART)).await.is_none();
                if stopped || Instant::now() >= ends {
                    return None;
                }
            }
        }
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}
