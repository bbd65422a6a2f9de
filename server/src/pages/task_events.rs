//! The stream of a task instance's page: new lines of its log, and its state.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream::unfold;
use serde::Deserialize;
use subak_store::read::{InstanceRecord, LogCursor};
use subak_web::task::{TaskLive, update};

use super::pulse::Pulse;
use super::run::Look;
use super::task::{Names, Which, instance};
use super::task_live::{called, label, old_live, old_try, task_live};
use super::viewer::Viewer;
use super::watch::{Shown, print_of};
use crate::app::App;
use crate::clock;
use crate::explain::explain;
use crate::extract::{Path, Query};
use crate::problem::ApiError;

#[derive(Deserialize)]
pub(super) struct EventsQuery {
    map_index: Option<i32>,
    #[serde(rename = "try")]
    try_number: Option<i32>,
    /// The newest try that the page has seen; it follows newer ones.
    #[serde(default)]
    seen: i32,
    /// Where the page's log ends.
    #[serde(default)]
    after: String,
    #[serde(default = "one")]
    number: u64,
}

fn one() -> u64 {
    1
}

/// What the stream carries from look to look.
struct Watch {
    app: App,
    viewer: Viewer,
    names: Names,
    which: Which,
    /// What the instance is called among the others.
    label: Option<String>,
    pulse: Pulse,
    place: Place,
    shown: Shown,
}

/// How far the page's log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    try_number: i32,
    cursor: LogCursor,
    number: u64,
}

pub(super) async fn events(
    State(app): State<App>,
    viewer: Viewer,
    Path(names): Path<Names>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
    shown: Shown,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let look = Look::at(&app, &names.0, &names.1).await?;
    let which = Which { map_index: query.map_index, try_number: query.try_number };
    let it = instance(&app, &look, &names.2, which).await?;
    let label = label(&app, &look, &it).await?;
    let asked = Place {
        try_number: query.try_number.unwrap_or(query.seen),
        cursor: LogCursor::parse(&query.after).unwrap_or_default(),
        number: query.number,
    };
    // A browser that comes back says how far it was.
    let last = headers.get("last-event-id").and_then(|it| it.to_str().ok());
    let place = last.and_then(Place::parse).unwrap_or(asked);
    let pulse = Pulse::of(&app, look.run.run_key);
    let watch = Watch { app, viewer, names, which, label, pulse, place, shown };
    let stream = unfold(watch, |mut watch| async move {
        loop {
            match watch.look().await {
                Ok(Some(event)) => return Some((Ok(event), watch)),
                // It was deleted: whoever opens the stream again learns that.
                Err(ApiError::RunNotFound { .. }) => return None,
                // A database that is away for a moment: the next look may see it.
                Ok(None) | Err(_) => {}
            }
            watch.pulse.beat(Duration::ZERO).await?;
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

impl Watch {
    /// Returns what is new, if anything is.
    async fn look(&mut self) -> Result<Option<Event>, ApiError> {
        let look = Look::at(&self.app, &self.names.0, &self.names.1).await?;
        let it = &instance(&self.app, &look, &self.names.2, self.which).await?;
        let follows = self.which.try_number.is_none() && it.try_number > self.place.try_number;
        if follows {
            self.place =
                Place { try_number: it.try_number, cursor: LogCursor::default(), number: 1 };
        }
        let part = self
            .app
            .store
            .log_read(
                look.run.run_key,
                it.task,
                it.map_index,
                self.place.try_number,
                self.place.cursor,
            )
            .await?;
        let lines = subak_web::log::markup(&part.lines, self.place.number);
        self.place.number += part.lines.len() as u64;
        self.place.cursor = part.next;
        let live = called(self.live(&look, it).await?, it, self.label.as_deref());
        // Times that tick by themselves are no news.
        let (number, is_news) = self.shown.now_shows(print_of(&live.timeless()));
        if lines.is_empty() && !follows && !is_news {
            return Ok(None);
        }
        let message = update(&lines, follows, &live);
        Ok(Some(Event::default().id(format!("{}-{number}", self.place)).data(message)))
    }

    /// The part of the page that changes; of a try that was chosen its own, also once there is a newer.
    async fn live(&self, look: &Look, it: &InstanceRecord) -> Result<TaskLive, ApiError> {
        let (store, now, t) = (&self.app.store, clock::now(), self.viewer.t);
        if let Some(chosen) = self.which.try_number.filter(|chosen| *chosen != it.try_number) {
            let tries = store.try_list(&look.run, it.task, it.map_index).await?;
            if let Some(old) = old_try(it, &tries, chosen)? {
                return Ok(old_live(look, it, &old, now, t));
            }
        }
        let progress = self.app.actions.progress(look.run.run_key, it);
        let why = explain(store, &look.run, &look.version, &self.names.2, it.map_index).await?;
        Ok(task_live(look, it, why.as_ref(), progress, self.viewer.can_run(), now, t))
    }
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let try_number = parts.next()?.parse().ok()?;
        let number = parts.next()?.parse().ok()?;
        let cursor = LogCursor::parse(parts.next()?)?;
        Some(Self { try_number, cursor, number })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.try_number, self.number, self.cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_comes_back_knows_its_place() {
        let cursor = LogCursor { token: 81, line: 12 };
        let place = Place { try_number: 2, cursor, number: 13 };
        assert_eq!(Place::parse(&place.to_string()), Some(place));
        assert_eq!(Place::parse("rubbish"), None);
    }
}
