//! Parts of pages that live: an open page is sent what has changed of what it shows.

use std::convert::Infallible;
use std::fmt::{self, Debug, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::sse::{Event, KeepAlive, Sse};
use chrono::{DateTime, Utc};
use futures::Stream;
use futures::stream::unfold;
use subak_web::pieces::Pieces;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::drawn::{Drawn, Kept};
use super::viewer::{Eyes, Viewer};
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
    pub(super) drawn: Arc<Drawn>,
}

impl Part {
    /// Markup that tells itself whether it shows something else.
    pub(super) fn of(pieces: Pieces) -> Self {
        Self { print: print_of(pieces.whole()), drawn: Arc::new(Drawn::new(pieces)) }
    }
}

/// The number of some markup.
pub(super) fn print_of(markup: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    markup.hash(&mut hasher);
    hasher.finish()
}

/// What a page that is open has in the address of its stream: the number of what it was loaded with.
const PRINT: &str = "print";

/// The address of a stream for a page that is loaded with the part of this number.
pub(super) fn address(events: &str, eyes: &Eyes, print: u64) -> String {
    let and = if events.contains('?') { '&' } else { '?' };
    format!("{events}{and}{PRINT}={}", eyes.number(print))
}

/// What a page shows that is open, as far as it is known: whatever page it is, its browser tells the
/// number of what it was loaded with, or was sent last.
pub(super) struct Shown {
    eyes: Eyes,
    number: Option<u64>,
    /// The part itself, once it is known.
    drawn: Option<Arc<Drawn>>,
}

impl<S: Send + Sync> FromRequestParts<S> for Shown {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let viewer = Viewer::from_request_parts(parts, state).await?;
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self::new(viewer.eyes(), loaded(query), &parts.headers))
    }
}

/// The number in an address.
fn loaded(query: &str) -> Option<u64> {
    let mut pairs = ::url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == PRINT)?.1.parse().ok()
}

impl Shown {
    /// A page that was loaded with the part of this number, or was sent another one by a stream before.
    fn new(eyes: Eyes, loaded: Option<u64>, headers: &HeaderMap) -> Self {
        let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
        // A task's has more in front: how far its log is.
        let last = last.and_then(|id| id.rsplit('-').next()?.parse().ok());
        Self { eyes, number: last.or(loaded), drawn: None }
    }

    /// The page shows the part of this number from now on. Returns the number that it is told, and
    /// whether it showed something else before.
    pub(super) fn now_shows(&mut self, print: u64) -> (u64, bool) {
        let number = self.eyes.number(print);
        (number, self.number.replace(number) != Some(number))
    }

    /// Returns what is to be sent so that the page shows the part of this number. `None`: nothing.
    pub(super) fn turn(
        &mut self,
        print: u64,
        draw: impl FnOnce() -> Arc<Drawn>,
    ) -> Option<(Event, usize)> {
        let number = self.eyes.number(print);
        let before = self.number.replace(number);
        if before == Some(number) {
            self.drawn.get_or_insert_with(draw);
            return None;
        }
        let drawn = draw();
        let shown = self.drawn.replace(Arc::clone(&drawn));
        drawn.since(before.zip(shown.as_deref()), number)
    }
}

/// What was seen, before it is drawn for somebody.
pub(crate) struct Look<T> {
    pub(super) at: DateTime<Utc>,
    /// Differs when something differs that is shown.
    pub(super) print: u64,
    pub(super) it: T,
    /// As it is drawn, by whose eyes see it, and what of it is chosen.
    drawn: Kept<(Eyes, String), Arc<Drawn>>,
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
        Self { at, print: print.0.finish(), it, drawn: Kept::default() }
    }

    /// It as these eyes see it, or what is chosen of it: who sees the same draws it once.
    pub(super) fn drawn(
        &self,
        eyes: Eyes,
        chosen: String,
        draw: impl FnOnce() -> Pieces,
    ) -> Arc<Drawn> {
        self.drawn.get((eyes, chosen), || Arc::new(Drawn::new(draw())))
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
    D: FnOnce() -> Arc<Drawn> + Send,
{
    let ends = Instant::now() + LIFE;
    let stream = unfold((look, shown, Duration::ZERO), move |(look, mut shown, rests)| {
        let stop = stop.clone();
        async move {
            stop.run_until_cancelled(sleep(rests)).await?;
            loop {
                match look().await {
                    Ok((print, draw)) => {
                        if let Some((event, bytes)) = shown.turn(print, draw) {
                            return Some((Ok(event), (look, shown, rest(bytes))));
                        }
                    }
                    // It was deleted: whoever opens the stream again learns that.
                    Err(ApiError::RunNotFound { .. }) => return None,
                    // A database that is away for a moment: the next look may see it.
                    Err(_) => {}
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
    use subak_store::access::Role;

    use super::*;

    fn drawn(text: &str) -> Arc<Drawn> {
        Arc::new(Drawn::new(Pieces::cut(text)))
    }

    fn part(print: u64) -> Arc<Drawn> {
        let long = "as it was ".repeat(20);
        drawn(&format!("<p>{long}</p><!--now--><b id=\"now\">{print}</b><!---->"))
    }

    fn eyes(role: Role) -> Eyes {
        Eyes::of("en", role)
    }

    /// What a page was loaded with whose stream has this address.
    fn opened(address: &str, role: Role, headers: &HeaderMap) -> Shown {
        let query = address.split_once('?').map_or("", |it| it.1);
        Shown::new(eyes(role), loaded(query), headers)
    }

    #[test]
    fn a_page_is_sent_what_it_does_not_show() {
        let bytes = |shown: &mut Shown, print| shown.turn(print, || part(print)).map(|it| it.1);
        let whole = part(1).pieces.whole().len();
        let none = HeaderMap::new();
        let mut fresh = opened("/live/dags?shown=active", Role::User, &none);
        assert_eq!(bytes(&mut fresh, 1), Some(whole));
        assert_eq!(bytes(&mut fresh, 1), None);
        assert!(bytes(&mut fresh, 2).unwrap() < whole / 2);
        // It was loaded with this.
        let at = address("/live/dags?shown=active", &eyes(Role::User), 1);
        let mut loaded = opened(&at, Role::User, &none);
        assert_eq!(bytes(&mut loaded, 1), None);
        assert!(bytes(&mut loaded, 2).unwrap() < whole / 2);
        // Something has changed before its stream was open, or what its reader may do.
        assert_eq!(bytes(&mut opened(&at, Role::User, &none), 2), Some(whole));
        assert_eq!(bytes(&mut opened(&at, Role::Op, &none), 1), Some(whole));
        // What it was loaded with is gone: it was sent the second meanwhile.
        let mut headers = HeaderMap::new();
        let second = eyes(Role::User).number(2).to_string();
        headers.insert("last-event-id", HeaderValue::try_from(second).unwrap());
        assert_eq!(bytes(&mut opened(&at, Role::User, &headers), 2), None);
        assert_eq!(bytes(&mut opened(&at, Role::User, &headers), 3), Some(whole));
    }

    #[test]
    fn who_sees_the_same_draws_and_compares_once() {
        let (first, second) = (Look::new("first"), Look::new("second"));
        let drawn = AtomicU32::new(0);
        let see = |look: &Look<&str>, shown: &mut Shown| {
            let draw = || {
                drawn.fetch_add(1, Ordering::Relaxed);
                let long = "as it was ".repeat(20);
                Pieces::cut(&format!("<p>{long}</p><!--now--><b id=\"now\">{}</b><!---->", look.it))
            };
            let eyes = shown.eyes.clone();
            shown.turn(look.print, || look.drawn(eyes, String::new(), draw)).map(|it| it.1)
        };
        let none = HeaderMap::new();
        let mut open: Vec<Shown> = [Role::User, Role::User, Role::Op, Role::User]
            .map(|role| Shown::new(eyes(role), None, &none))
            .into();
        let whole: Vec<_> = open.iter_mut().map(|shown| see(&first, shown)).collect();
        assert_eq!(drawn.load(Ordering::Relaxed), 2, "one for each role");
        let less: Vec<_> = open.iter_mut().map(|shown| see(&second, shown)).collect();
        assert_eq!(drawn.load(Ordering::Relaxed), 4);
        assert!(whole.iter().all(|it| *it == whole[0]) && less.iter().all(|it| *it == less[0]));
        assert!(less[0] < whole[0] && less[0] > Some(0), "{less:?}");
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
        let shown = Shown::new(eyes(Role::User), None, &HeaderMap::new());
        let stream = watch(stop, Duration::from_millis(1), shown, move || {
            let (look, ends) = (seen.fetch_add(1, Ordering::Relaxed), ends.clone());
            async move {
                if look == 9 {
                    ends.cancel();
                }
                let draw = move || drawn(&format!("look {look}"));
                Ok((u64::from(look / 5), draw))
            }
        });
        let body = axum::response::IntoResponse::into_response(stream).into_body();
        let sent = axum::body::to_bytes(body, 1 << 10).await.unwrap();
        let [first, second] = [0, 1].map(|print| eyes(Role::User).number(print));
        let expected = format!("id: {first}\ndata: look 0\n\nid: {second}\ndata: look 5\n\n");
        assert_eq!(sent, expected);
        assert_eq!(looks.load(Ordering::Relaxed), 10);
    }
}
