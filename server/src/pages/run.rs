//! One run: its page, its stream, its buttons.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, Redirect};
use futures::Stream;
use futures::stream::unfold;
use serde::Deserialize;
use serde_json::{Value, json};
use subak_store::read::{InstanceRecord, MapRecord, RunRecord};
use subak_web::graph::Sight;
use subak_web::run::RunPage;
use subak_web::url;
use tokio::time::Instant;

use super::drawn::Drawn;
use super::gantt::gantt_live;
use super::pulse::Pulse;
use super::run_actions::RunAction;
use super::run_live::run_live;
use super::run_rows::{Chosen, RowsQuery};
use super::viewer::Viewer;
use super::watch::{Part, Shown, rest};
use crate::api::checked;
use crate::app::App;
use crate::audit::Trail;
use crate::clock;
use crate::engine::Mark;
use crate::extract::{Form, Path, Query};
use crate::problem::ApiError;
use crate::versions::Version;

/// A run as it stands.
pub(super) struct Look {
    pub(super) run: RunRecord,
    pub(super) version: Arc<Version>,
    /// But for those of mapped tasks that are expanded.
    pub(super) instances: Vec<InstanceRecord>,
    pub(super) maps: Vec<MapRecord>,
    /// Its DAG is paused, and it has not ended.
    pub(super) is_held: bool,
}

impl Look {
    /// Looks at a run.
    pub(super) async fn at(app: &App, dag_id: &str, run_id: &str) -> Result<Self, ApiError> {
        let found = app.store.run_get(dag_id, run_id).await?;
        let run = found.ok_or_else(|| ApiError::RunNotFound {
            dag_id: dag_id.to_owned(),
            run_id: run_id.to_owned(),
        })?;
        let version = app.versions.of_run(&run).await?;
        let instances = app.store.single_list(&run, &version.record).await?;
        let maps = app.store.map_list(&run, &version.record).await?;
        let goes_on = !run.state.is_final() && run.cancelled_at.is_none();
        let is_held = goes_on && app.store.dag_paused(run.dag).await?;
        Ok(Self { run, version, instances, maps, is_held })
    }

    /// A number that differs when something differs that is shown.
    pub(super) fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let run = &self.run;
        (run.state, run.started_at, run.ended_at, run.cancelled_at).hash(&mut hasher);
        self.is_held.hash(&mut hasher);
        for it in &self.instances {
            (it.task, it.map_index, it.state, it.try_number).hash(&mut hasher);
            (it.started_at, it.ended_at, &it.error).hash(&mut hasher);
        }
        for map in &self.maps {
            (map.task, map.instances, &map.states).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn part(&self, view: View, chosen: Chosen, sight: &Sight, viewer: &Viewer) -> Part {
        let (now, t) = (clock::now(), viewer.t);
        let pieces = match view {
            View::Page => run_live(self, chosen, sight, viewer, now).pieces(),
            View::Gantt => gantt_live(self, chosen, now, t).pieces(),
        };
        Part { print: self.print(), drawn: Arc::new(Drawn::new(pieces)) }
    }
}

pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path((dag_id, run_id)): Path<(String, String)>,
    Query(query): Query<RowsQuery>,
) -> Result<Html<String>, ApiError> {
    let look = Look::at(&app, &dag_id, &run_id).await?;
    let now = clock::now();
    let conf = match &look.run.conf {
        Value::Object(conf) if conf.is_empty() => String::new(),
        conf => serde_json::to_string_pretty(conf).unwrap_or_default(),
    };
    let (sight, chosen) = (query.sight(), Chosen::from(query));
    let href = url::run(&dag_id, &run_id);
    let events = url::with(&format!("{href}/events"), &[&chosen.query(), &sight.query()]);
    let events = viewer.events(&events, look.print());
    let live = run_live(&look, chosen, &sight, &viewer, now);
    let note = look.run.note.unwrap_or_default();
    let note_action = viewer.can_run().then(|| format!("{href}/note"));
    Ok(Html(RunPage { frame: viewer.frame(), events, live, note, note_action, conf }.page()))
}

/// Where a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum View {
    /// On its own page.
    Page,
    /// On its DAG's.
    Gantt,
}

/// What the stream of a run's page carries from look to look.
struct Watch {
    app: App,
    viewer: Viewer,
    run: RunRecord,
    view: View,
    chosen: Chosen,
    sight: Sight,
    pulse: Pulse,
    /// What was seen before does not count.
    since: Instant,
    shown: Shown,
    /// Bytes of what was sent last.
    sent: usize,
}

impl Watch {
    /// The part as it stands; one look serves all who watch the run.
    async fn part(&self) -> Option<Part> {
        let may = (self.viewer.can_run(), self.viewer.can_pause());
        let (sight, t) = (self.sight.clone(), self.viewer.t);
        let key = (self.run.run_key.0, self.view, self.chosen, sight, may, t.language);
        let ask = async || {
            // A database that is away for a moment: the next look may see it.
            let look = Look::at(&self.app, &self.run.dag_id, &self.run.run_id).await.ok()?;
            Some(look.part(self.view, self.chosen, &self.sight, &self.viewer))
        };
        self.app.run_parts.get_since(self.since, key, ask).await
    }

    /// Whether the run was deleted: the stream is over, and whoever opens it again learns that.
    async fn is_gone(&self) -> bool {
        let found = self.app.store.run_get(&self.run.dag_id, &self.run.run_id).await;
        matches!(found, Ok(None))
    }
}

pub(super) async fn events(
    State(app): State<App>,
    viewer: Viewer,
    Path(run): Path<(String, String)>,
    Query(query): Query<RowsQuery>,
    shown: Shown,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let sight = query.sight();
    stream(app, viewer, run, View::Page, (query.into(), sight), shown).await
}

/// Sends what has changed of a view of a run.
pub(super) async fn stream(
    app: App,
    viewer: Viewer,
    (dag_id, run_id): (String, String),
    view: View,
    (chosen, sight): (Chosen, Sight),
    shown: Shown,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let run = app.store.run_get(&dag_id, &run_id).await?;
    let run = run.ok_or(ApiError::RunNotFound { dag_id, run_id })?;
    // Listens before it looks again, so that no change is missed.
    let pulse = Pulse::of(&app, run.run_key);
    let (since, sent) = (Instant::now(), 0);
    let watch = Watch { app, viewer, run, view, chosen, sight, pulse, since, shown, sent };
    let stream = unfold(watch, |mut watch| async move {
        if watch.sent > 0 {
            watch.since = watch.pulse.beat(rest(watch.sent)).await?;
        }
        loop {
            let part = watch.part().await;
            if part.is_none() && watch.is_gone().await {
                return None;
            }
            if let Some(part) = part
                && let Some((event, bytes)) = watch.shown.turn(part.print, || part.drawn)
            {
                watch.sent = bytes;
                return Some((Ok(event), watch));
            }
            watch.since = watch.pulse.beat(Duration::ZERO).await?;
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

pub(super) async fn cancel(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> Result<Redirect, ApiError> {
    let look = Look::at(&app, &dag_id, &run_id).await?;
    act(&app, &viewer, &trail, &look.run, RunAction::Cancel).await?;
    Ok(Redirect::to(&url::run(&dag_id, &run_id)))
}

/// Does something with a run; how it was, and is, goes on record.
async fn act(
    app: &App,
    viewer: &Viewer,
    trail: &Trail,
    run: &RunRecord,
    action: RunAction,
) -> Result<(), ApiError> {
    trail.before(json!({"state": run.state}));
    action.run(app, viewer, run).await?;
    if let Some(run) = app.store.run_get(&run.dag_id, &run.run_id).await? {
        trail.after(json!({"state": run.state}));
    }
    Ok(())
}

#[derive(Deserialize)]
pub(super) struct Clear {
    #[serde(default)]
    only_failed: bool,
}

pub(super) async fn clear(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path((dag_id, run_id)): Path<(String, String)>,
    Form(Clear { only_failed }): Form<Clear>,
) -> Result<Redirect, ApiError> {
    let look = Look::at(&app, &dag_id, &run_id).await?;
    let action = if only_failed { RunAction::ClearFailed } else { RunAction::Clear };
    act(&app, &viewer, &trail, &look.run, action).await?;
    Ok(Redirect::to(&url::run(&dag_id, &run_id)))
}

/// What a button marks as.
#[derive(Deserialize)]
pub(super) struct MarkForm {
    pub(super) state: String,
}

/// A note, as a form sends it.
#[derive(Deserialize)]
pub(super) struct NoteForm {
    pub(super) note: String,
}

/// Marks a run: its tasks as successful, or itself as failed.
pub(super) async fn mark(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path((dag_id, run_id)): Path<(String, String)>,
    Form(MarkForm { state }): Form<MarkForm>,
) -> Result<Redirect, ApiError> {
    let look = Look::at(&app, &dag_id, &run_id).await?;
    let action = match Mark::parse(&state) {
        Some(Mark::Success) => RunAction::MarkSuccess,
        Some(Mark::Failed) => RunAction::MarkFailed,
        _ => return Err(ApiError::BadRequest("a run is marked as success or failed".to_owned())),
    };
    act(&app, &viewer, &trail, &look.run, action).await?;
    Ok(Redirect::to(&url::run(&dag_id, &run_id)))
}

pub(super) async fn delete(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> Result<Redirect, ApiError> {
    let look = Look::at(&app, &dag_id, &run_id).await?;
    act(&app, &viewer, &trail, &look.run, RunAction::Delete).await?;
    Ok(Redirect::to(&url::dag(&dag_id)))
}

pub(super) async fn note(
    State(app): State<App>,
    trail: Trail,
    Path((dag_id, run_id)): Path<(String, String)>,
    Form(NoteForm { note }): Form<NoteForm>,
) -> Result<Redirect, ApiError> {
    let look = Look::at(&app, &dag_id, &run_id).await?;
    trail.before(json!({"note": look.run.note}));
    trail.after(json!({"note": note}));
    app.store.run_note_set(look.run.run_key, checked(&note)?).await?;
    Ok(Redirect::to(&url::run(&dag_id, &run_id)))
}
