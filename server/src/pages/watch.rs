//! Parts of pages that are sent anew whenever what they show has changed.

use std::convert::Infallible;
use std::fmt::{self, Debug, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use chrono::{DateTime, Utc};
use futures::Stream;
use futures::stream::unfold;
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
    pub(super) markup: Arc<str>,
}

impl Part {
    /// Markup that tells itself whether it shows something else.
    pub(super) fn of(markup: String) -> Self {
        let mut hasher = DefaultHasher::new();
        markup.hash(&mut hasher);
        Self { print: hasher.finish(), markup: markup.into() }
    }
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
        let mut failed = None;
        let why = &mut failed;
        let asked = move || async move {
            let answer = ask().await.map_err(|error| *why = Some(error));
            answer.ok().map(|it| Arc::new(Self::new(it)))
        };
        let seen = looks.get_since(Instant::now(), key, asked).await;
        seen.ok_or_else(|| failed.unwrap_or_else(unavailable))
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
        let mut failed = None;
        let why = &mut failed;
        let asked = move || async move {
            let answer = ask().await.map_err(|error| *why = Some(error));
            answer.ok().map(|it| Arc::new(Self::new(it)))
        };
        let seen = looks.get(key, asked).await;
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
    look: L,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>>
where
    L: Fn() -> F + Send + 'static,
    F: Future<Output = Result<(u64, D), ApiError>> + Send,
    D: FnOnce() -> Arc<str> + Send,
{
    let ends = Instant::now() + LIFE;
    let stream = unfold((look, None, Duration::ZERO), move |(look, mut last, rests)| {
        let stop = stop.clone();
        async move {
            stop.run_until_cancelled(sleep(rests)).await?;
            loop {
                // A database that is away for a moment: the next look may see it.
                if let Ok((print, draw)) = look().await
                    && last.replace(print) != Some(print)
                {
                    let markup = draw();
                    let rests = rest(markup.len());
                    return Some((Ok(Event::default().data(markup)), (look, last, rests)));
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

    use super::*;

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
        let stream = watch(stop, Duration::from_millis(1), move || {
            let (look, ends) = (seen.fetch_add(1, Ordering::Relaxed), ends.clone());
            async move {
                if look == 9 {
                    ends.cancel();
                }
                Ok((u64::from(look / 5), move || Arc::<str>::from(format!("look {look}"))))
            }
        });
        let body = axum::response::IntoResponse::into_response(stream).into_body();
        let sent = axum::body::to_bytes(body, 1 << 10).await.unwrap();
        assert_eq!(sent, "data: look 0\n\ndata: look 5\n\n");
        assert_eq!(looks.load(Ordering::Relaxed), 10);
    }
}
