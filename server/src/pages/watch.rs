//! Parts of pages that live: an open page is sent what has changed of what it shows.

use std::convert::Infallible;
use std::fmt::{self, Debug, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use chrono::{DateTime, Utc};
use futures::Stream;
use futures::stream::unfold;
use subak_web::pieces::Pieces;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::fresh::Fresh;
use crate::problem::ApiError;

/// Between two looks of a page that is open.
pub(super) const APART: Duration = Duration::from_secs(2);
/// The same, where others than the database are asked.
pub(super) const FAR_APART: Duration = Duration::from_secs(15);
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

impl Part {
    /// Markup that tells itself whether it shows something else.
    pub(super) fn of(pieces: Pieces) -> Self {
        let mut hasher = DefaultHasher::new();
        pieces.whole().hash(&mut hasher);
        Self { print: hasher.finish(), pieces: Arc::new(pieces) }
    }
}

/// What a page shows that is open; by default nobody knows.
#[derive(Default)]
pub(super) struct Shown {
    /// Its number, as far as it is known.
    print: Option<u64>,
    /// The part itself, once it is known, if it is in pieces.
    pieces: Option<Arc<Pieces>>,
}

impl Shown {
    /// A page that was loaded with the part of this number, or was sent another one by a stream before.
    pub(super) fn new(loaded: Option<u64>, headers: &HeaderMap) -> Self {
        let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
        Self { print: last.or(loaded), pieces: None }
    }

    /// Returns what is to be sent so that the page shows the part of this number: what has changed, or
    /// all of it, where nobody knows what the page shows or hardly anything stays. `None`: nothing.
    pub(super) fn turn(
        &mut self,
        print: u64,
        draw: impl FnOnce() -> Arc<Pieces>,
    ) -> Option<(Event, usize)> {
        if self.print.replace(print) == Some(print) {
            self.pieces.get_or_insert_with(|| kept(draw()));
            return None;
        }
        let pieces = draw();
        let before = self.pieces.replace(kept(Arc::clone(&pieces)));
        let changes = before.and_then(|before| pieces.since(&before));
        let markup = changes.as_deref().unwrap_or(pieces.whole());
        if markup.is_empty() {
            return None;
        }
        Some((Event::default().id(print.to_string()).data(markup), markup.len()))
    }
}

/// What is not cut is sent whole: nobody needs to know what it was before.
fn kept(pieces: Arc<Pieces>) -> Arc<Pieces> {
    if pieces.is_cut() { pieces } else { Arc::default() }
}

/// What was seen, before it is drawn for somebody.
pub(crate) struct Look<T> {
    pub(super) at: DateTime<Utc>,
    /// Differs when something differs that is shown.
    pub(super) print: u64,
    pub(super) it: T,
}

/// Looks by what was asked for: one serves all who see the same. `None`: it failed; whoever asked knows
/// why.
pub(crate) type Looks<K, T> = Fresh<K, Option<Arc<Look<T>>>>;

impl<T: Debug> Look<T> {
    /// "5 min ago" is made anew each minute.
    fn new(it: T) -> Self {
        let at = clock::now();
        let mut print = Print(DefaultHasher::new());
        // Writing into it cannot fail.
        let _infallible = write!(print, "{} {it:?}", at.timestamp() / 60);
        Self { at, print: print.0.finish(), it }
    }

    /// Looks for a page that is asked for: what was seen before does not count.
    pub(super) async fn now<K, F>(
        looks: &Looks<K, T>,
        key: K,
        ask: impl FnOnce() -> F,
    ) -> Result<Arc<Self>, ApiError>
    where
        K: Eq + Hash,
        F: Future<Output = Result<T, ApiError>>,
    {
        Self::take(looks, Some(Instant::now()), key, ask).await
    }

    /// Looks for a page that is open: what another one saw a moment ago serves it, too.
    pub(super) async fn again<K, F>(
        looks: &Looks<K, T>,
        key: K,
        ask: impl FnOnce() -> F,
    ) -> Result<Arc<Self>, ApiError>
    where
        K: Eq + Hash,
        F: Future<Output = Result<T, ApiError>>,
    {
        Self::take(looks, None, key, ask).await
    }

    async fn take<K, F>(
        looks: &Looks<K, T>,
        since: Option<Instant>,
        key: K,
        ask: impl FnOnce() -> F,
    ) -> Result<Arc<Self>, ApiError>
    where
        K: Eq + Hash,
        F: Future<Output = Result<T, ApiError>>,
    {
        let mut failed = None;
        let why = &mut failed;
        let asked = move || async move {
            let answer = ask().await.map_err(|error| *why = Some(error));
            answer.ok().map(|it| Arc::new(Self::new(it)))
        };
        let seen = match since {
            Some(since) => looks.get_since(since, key, asked).await,
            None => looks.get(key, asked).await,
        };
        seen.ok_or_else(|| failed.unwrap_or_else(unavailable))
    }
}

fn unavailable() -> ApiError {
    ApiError::Unavailable("the database does not answer".to_owned())
}

/// What is written into it makes a number.
struct Print(DefaultHasher);

impl fmt::Write for Print {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// How long a page rests that was sent so much.
pub(super) fn rest(bytes: usize) -> Duration {
    Duration::from_millis(u64::try_from(bytes * 1_000 / RATE).unwrap_or(u64::MAX))
}

/// Looks again and again, and draws and sends what differs; ends at `stop`.
pub(super) fn watch<L, F, D>(
    stop: CancellationToken,
    apart: Duration,
    shown: Shown,
    look: L,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>>
where
    L: Fn() -> F + Send + 'static,
    F: Future<Output = Result<(u64, D), ApiError>> + Send,
    D: FnOnce() -> Arc<Pieces> + Send,
{
    let ends = Instant::now() + LIFE;
    let stream = unfold((look, shown, Duration::ZERO), move |(look, mut shown, rests)| {
        let stop = stop.clone();
        async move {
            stop.run_until_cancelled(sleep(rests)).await?;
            loop {
                // A database that is away for a moment: the next look may see it.
                if let Ok((print, draw)) = look().await
                    && let Some((event, bytes)) = shown.turn(print, draw)
                {
                    return Some((Ok(event), (look, shown, rest(bytes))));
                }
                let stopped = stop.run_until_cancelled(sleep(apart)).await.is_none();
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
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::http::HeaderValue;

    use super::*;

    fn pieces(print: u64) -> Arc<Pieces> {
        let long = "as it was ".repeat(20);
        let text = format!("<p>{long}</p><!--now--><b id=\"now\">{print}</b><!---->");
        Arc::new(Pieces::cut(&text))
    }

    #[test]
    fn a_page_is_sent_what_it_does_not_show() {
        let bytes = |shown: &mut Shown, print| shown.turn(print, || pieces(print)).map(|it| it.1);
        let whole = pieces(1).whole().len();
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

    #[tokio::test]
    async fn who_is_open_looks_once_for_all_and_who_comes_sees_what_is() {
        let (looks, asked) = (Looks::new(Duration::from_secs(1000)), AtomicU32::new(0));
        let ask = || async { Ok(asked.fetch_add(1, Ordering::Relaxed)) };
        let (one, other) =
            tokio::join!(Look::again(&looks, "all", ask), Look::again(&looks, "all", ask));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!((one.it, other.it), (0, 0));
        let came = Look::now(&looks, "all", ask).await.unwrap();
        assert_eq!(came.it, 1);
        assert_ne!(came.print, one.print);
        assert_eq!(Look::again(&looks, "all", ask).await.unwrap().it, 1);
    }

    #[tokio::test]
    async fn a_page_that_shows_the_same_is_not_sent_again() {
        let stop = CancellationToken::new();
        let looks = Arc::new(AtomicU32::new(0));
        let (seen, ends) = (Arc::clone(&looks), stop.clone());
        let stream = watch(stop, Duration::from_millis(1), Shown::default(), move || {
            let (look, ends) = (seen.fetch_add(1, Ordering::Relaxed), ends.clone());
            async move {
                if look == 9 {
                    ends.cancel();
                }
                let draw = move || Arc::new(Pieces::cut(&format!("look {look}")));
                Ok((u64::from(look / 5), draw))
            }
        });
        let body = axum::response::IntoResponse::into_response(stream).into_body();
        let sent = axum::body::to_bytes(body, 1 << 10).await.unwrap();
        assert_eq!(sent, "id: 0\ndata: look 0\n\nid: 1\ndata: look 5\n\n");
        assert_eq!(looks.load(Ordering::Relaxed), 10);
    }
}
