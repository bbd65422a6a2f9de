//! What is counted for whoever watches: requests in memory, and what the database tells, kept for some
//! seconds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::Method;
use subak_store::{Pool, Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::histogram::{Bounds, Durations, Histogram};

/// How long the database's counts are told again.
const FRESH: Duration = Duration::from_secs(10);

/// Classes of status codes.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Bounds of the histograms of durations, milliseconds.
const BOUNDS_MS: Bounds = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/// Requests that were answered, and how soon: by the routes that there are, so that no request can
/// make up another one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answered(Arc<OnceLock<Routes>>);

#[derive(Debug)]
struct Routes {
    known: HashMap<(Method, &'static str), Answers>,
    /// Of requests that no route is for.
    none: Answers,
}

#[derive(Debug)]
struct Answers {
    classes: [AtomicU64; CLASSES.len()],
    durations: Histogram,
}

/// Requests of one route.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RouteCount {
    /// Empty, as `method`: no route is for them.
    pub(crate) route: &'static str,
    pub(crate) method: String,
    /// By class of status.
    pub(crate) classes: Vec<(&'static str, u64)>,
    pub(crate) durations: Durations,
}

/// What the database tells.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    /// Running and queued.
    pub(crate) runs: (i64, i64),
    /// State, queue and number of live task instances.
    pub(crate) live: Vec<(String, String, i64)>,
    pub(crate) pools: Vec<Pool>,
}

/// What was counted, and when.
type Last = Option<(Instant, Arc<Counted>)>;

/// The last counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(Arc<Mutex<Last>>);

impl Answered {
    /// Counts requests of these routes from now on; those that were named first stay.
    pub(crate) fn know<'r>(&self, routes: impl Iterator<Item = &'r (Method, &'static str)>) {
        self.0.get_or_init(|| Routes {
            known: routes.map(|route| (route.clone(), Answers::default())).collect(),
            none: Answers::default(),
        });
    }

    /// Counts a request, by its method and its route as the router has it.
    pub(crate) fn add(&self, method: &Method, route: Option<&str>, status: u16, took: Duration) {
        let Some(routes) = self.0.get() else { return };
        let known: &HashMap<(Method, &str), Answers> = &routes.known;
        // axum answers HEAD by the route of GET.
        let method = if *method == Method::HEAD { Method::GET } else { method.clone() };
        let answers = route.and_then(|route| known.get(&(method, route))).unwrap_or(&routes.none);
        let Some(class) = answers.classes.get(usize::from(status / 100).wrapping_sub(1)) else {
            return;
        };
        class.fetch_add(1, Ordering::Relaxed);
        answers.durations.add(took);
    }

    /// What was asked for so far, by route.
    pub(crate) fn read(&self) -> Vec<RouteCount> {
        let Some(routes) = self.0.get() else { return Vec::new() };
        let read = |(&(ref method, route), it): (&(Method, &'static str), &Answers)| {
            it.read(method.as_str(), route)
        };
        let known = routes.known.iter().map(read);
        let all = known.chain([routes.none.read("", "")]);
        let mut all: Vec<RouteCount> = all.filter(|it| it.durations.count > 0).collect();
        all.sort_by(|a, b| (a.route, &a.method).cmp(&(b.route, &b.method)));
        all
    }
}

impl Default for Answers {
    fn default() -> Self {
        Self { classes: Default::default(), durations: Histogram::new(&BOUNDS_MS) }
    }
}

impl Answers {
    fn read(&self, method: &str, route: &'static str) -> RouteCount {
        let counts = self.classes.iter().map(|count| count.load(Ordering::Relaxed));
        let classes = CLASSES.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect();
        RouteCount { route, method: method.to_owned(), classes, durations: self.durations.read() }
    }
}

impl Counts {
    pub(crate) async fn get(&self, store: &Store) -> Result<Arc<Counted>, StoreError> {
        let mut last = self.0.lock().await;
        if let Some((at, counted)) = &*last
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(counted));
        }
        let (runs, live, pools) =
            tokio::try_join!(store.runs_count(), store.live_count(), store.pools())?;
        let counted = Arc::new(Counted { runs, live, pools });
        *last = Some((Instant::now(), Arc::clone(&counted)));
        Ok(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_route_and_class() {
        let answered = Answered::default();
        let dags = (Method::GET, "/dags/{dag_id}");
        answered.know([dags.clone(), (Method::POST, "/dags/{dag_id}")].iter());
        // Whoever makes another router of the same server counts on.
        answered.know([].iter());
        let add = |method, route, status| {
            answered.add(&method, route, status, Duration::from_millis(30));
        };
        add(Method::GET, Some(dags.1), 200);
        add(Method::HEAD, Some(dags.1), 204);
        add(Method::GET, Some(dags.1), 503);
        add(Method::DELETE, Some(dags.1), 405);
        add(Method::GET, None, 404);
        add(Method::GET, Some(dags.1), 999);
        add(Method::GET, Some(dags.1), 0);
        let read = answered.read();
        let counts: Vec<_> = read.iter().map(|it| (it.route, &*it.method, &*it.classes)).collect();
        assert_eq!(counts[0], ("", "", [("4xx", 2)].as_slice()));
        assert_eq!(counts[1..], [(dags.1, "GET", [("2xx", 2), ("5xx", 1)].as_slice())]);
        assert_eq!((read[1].durations.within[3], read[1].durations.count), ((0.05, 3), 3));
    }
}
