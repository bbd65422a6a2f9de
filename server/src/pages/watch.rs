//! Parts of pages that live: an open page is sent what has changed of what it shows.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream::unfold;
use subak_web::pieces::Pieces;
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
    pub(super) pieces: Arc<Pieces>,
}

/// What a page shows that is open.
pub(super) struct Shown {
    /// Its number, as far as it is known.
    print: Option<u64>,
    /// The part itself, once it is known.
    part: Option<Part>,
}

impl Shown {
    /// A page that was loaded with the part of this number, or was sent another one by a stream before.
    pub(super) fn new(loaded: Option<u64>, headers: &HeaderMap) -> Self {
        let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
        Self { print: last.or(loaded), part: None }
    }

    /// Returns what is to be sent so that the page shows a part: what has changed, or all of it, where
    /// nobody knows what it shows or hardly anything stays. `None`: nothing.
    pub(super) fn turn(&mut self, part: Part) -> Option<(Event, usize)> {
        let print = part.print;
        if self.print.replace(print) == Some(print) {
            self.part.get_or_insert(part);
            return None;
        }
        let before = self.part.replace(part.clone());
        let changes = before.and_then(|before| part.pieces.since(&before.pieces));
        let markup = changes.as_deref().unwrap_or(part.pieces.whole());
        if markup.is_empty() {
            return None;
        }
        Some((Event::default().id(print.to_string()).data(markup), markup.len()))
    }
}

/// How long a page rests that was sent so much.
pub(super) fn rest(bytes: usize) -> Duration {
    Duration::from_millis(u64::try_from(bytes * 1_000 / RATE).unwrap_or(u64::MAX))
}

/// Looks again and again, and sends what differs; ends at `stop`.
pub(super) fn watch<L, F>(
    stop: CancellationToken,
    shown: Shown,
    look: L,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>>
where
    L: Fn() -> F + Send + 'static,
    F: Future<Output = Result<Part, ApiError>> + Send,
{
    let ends = Instant::now() + LIFE;
    let stream = unfold((look, shown, Duration::ZERO), move |(look, mut shown, rests)| {
        let stop = stop.clone();
        async move {
            stop.run_until_cancelled(sleep(rests)).await?;
            loop {
                // A database that is away for a moment: the next look may see it.
                if let Ok(part) = look().await
                    && let Some((event, bytes)) = shown.turn(part)
                {
                    return Some((Ok(event), (look, shown, rest(bytes))));
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

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn part(print: u64) -> Part {
        let long = "as it was ".repeat(20);
        let text = format!("<p>{long}</p><!--now--><b id=\"now\">{print}</b><!---->");
        Part { print, pieces: Arc::new(Pieces::cut(&text)) }
    }

    #[test]
    fn a_page_is_sent_what_it_does_not_show() {
        let bytes = |shown: &mut Shown, print| shown.turn(part(print)).map(|it| it.1);
        let whole = part(1).pieces.whole().len();
        let mut fresh = Shown::new(None, &HeaderMap::new());
        assert_eq!(bytes(&mut fresh, 1), Some(whole));
        assert_eq!(bytes(&mut fresh, 1), None);
        assert!(bytes(&mut fresh, 2).unwrap() < whole / 2);
        // It was loaded with this.
        let mut loaded = Shown::new(Some(1), &HeaderMap::new());
        assert_eq!(bytes(&mut loaded, 1), None);
        assert!(bytes(&mut loaded, 2).unwrap() < whole / 2);
        // What it was loaded with is gone: it was sent the second meanwhile.
        let mut headers = HeaderMap::new();
        headers.insert("last-event-id", HeaderValue::from_static("2"));
        let mut back = Shown::new(Some(1), &headers);
        assert_eq!(bytes(&mut back, 2), None);
        let mut behind = Shown::new(Some(1), &headers);
        assert_eq!(bytes(&mut behind, 3), Some(whole));
    }
}
