//! The first page: what runs, what failed, what is late, and whether all is well.

use std::fmt::{self, Debug};

use axum::extract::State;
use axum::response::Html;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use subak_store::read::{LateDag, LetterFilter, Overview, OverviewRun};
use subak_web::Badge;
use subak_web::format::{Stamp, count};
use subak_web::home::{Health, Home, HomePage, HomeRun, LateRow, Tile};
use subak_web::text::Text;
use subak_web::url;

use super::lists::{self, List, LooksAt};
use super::run_live::{since, took};
use super::viewer::Viewer;
use super::watch::Look;
use crate::actions::is_recent;
use crate::app::App;
use crate::clock;
use crate::problem::ApiError;

/// Rows of each list.
const ROWS: i64 = 8;
/// What ended longer ago is not counted.
const LATELY: TimeDelta = TimeDelta::days(1);
/// What begins within this is on time.
const GRACE: TimeDelta = TimeDelta::seconds(60);

/// What the page is made of.
#[derive(Debug)]
pub(crate) struct Seen {
    overview: Overview,
    /// Of what belongs to no DAG; `None`: the viewer may not see it.
    whole: Option<Whole>,
    /// When this server last read its folder of DAG files.
    folder: Beat,
}

/// An instant that comes again and again, and is no news: the page is not sent anew for it. `None`: never.
struct Beat(Option<DateTime<Utc>>);

impl Debug for Beat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("beats")
    }
}

/// Its address asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct Nothing {}

/// The state of the installation.
#[derive(Debug)]
struct Whole {
    database: bool,
    scheduler: bool,
    upkeep: bool,
    workers: usize,
    /// Whether the folder is read; `None`: this server has none.
    is_read: Option<bool>,
    broken_files: i64,
    letters: i64,
}

pub(super) async fn show(State(app): State<App>, viewer: Viewer) -> Result<Html<String>, ApiError> {
    let look = lists::now::<Seen>(&app, &viewer, &Nothing {}).await?;
    let events = viewer.events("/home/events", look.print);
    let live = home(&look, viewer.t);
    Ok(Html(HomePage { frame: viewer.frame(), events, live }.page()))
}

impl List for Seen {
    type Query = Nothing;

    fn looks(app: &App) -> &LooksAt<Self> {
        &app.lists.home
    }

    async fn find(app: &App, viewer: &Viewer, _: &Nothing) -> Result<Self, ApiError> {
        let (now, only) = (clock::now(), viewer.sight());
        let folder = app.actions.folder_beat();
        let overview = app.store.overview(only.as_deref(), now, LATELY, GRACE, ROWS).await?;
        let whole = match only {
            Some(_) => None,
            None => Some(whole(app, folder, now).await?),
        };
        Ok(Self { overview, whole, folder: Beat(folder) })
    }

    fn markup(look: &Look<Self>, _: &Nothing, viewer: &Viewer) -> String {
        home(look, viewer.t).markup()
    }
}

async fn whole(
    app: &App,
    folder: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Whole, ApiError> {
    let open = LetterFilter { state: Some("open".to_owned()), ..LetterFilter::default() };
    Ok(Whole {
        database: app.store.answers().await,
        scheduler: app.actions.is_progressing(now),
        upkeep: !app.actions.is_strained(),
        workers: app.store.workers().await?.len(),
        is_read: folder.map(|beat| is_recent(beat, now)),
        broken_files: app.store.import_error_list(0, 0).await?.total,
        letters: app.store.letter_count(&open).await?,
    })
}

fn home(look: &Look<Seen>, t: &'static Text) -> Home {
    let (at, Seen { overview, whole, folder }) = (look.at, &look.it);
    let read = folder.0.map(|beat| Stamp::new(beat, at, t));
    Home {
        t,
        tiles: tiles(overview, whole.as_ref(), t),
        health: whole.as_ref().map(|whole| health(whole, read, t)).unwrap_or_default(),
        goes_on: overview.goes_on.iter().map(|run| home_run(run, at, t)).collect(),
        has_failed: overview.has_failed.iter().map(|run| home_run(run, at, t)).collect(),
        late: overview.late.iter().map(|late| late_row(late, at, t)).collect(),
        late_more: late_more(overview, t),
    }
}

/// How many are late that are not listed.
fn late_more(it: &Overview, t: &Text) -> Option<String> {
    let listed = i64::try_from(it.late.len()).unwrap_or(ROWS);
    let more = it.late_total.saturating_sub(listed);
    (more > 0).then(|| t.fill(t.more_reasons, more))
}

fn tiles(it: &Overview, whole: Option<&Whole>, t: &'static Text) -> Vec<Tile> {
    let tile = |number: i64, label, class, href: &str| Tile {
        count: count(u64::try_from(number).unwrap_or(0)),
        label,
        class: if number > 0 { class } else { "" },
        href: href.to_owned(),
    };
    let mut tiles = vec![
        tile(it.failed, t.count_failed, "s-failed", "/runs?state=failed"),
        tile(it.late_total, t.count_late, "s-retry", "#home-late"),
        tile(it.running, t.count_running, "s-running", "/runs?state=running"),
        tile(it.queued, t.count_waiting, "s-waiting", "/runs?state=queued"),
        tile(it.success, t.count_success, "s-success", "/runs?state=success"),
    ];
    if let Some(whole) = whole {
        let href = "/dead-letters?state=open";
        tiles.push(tile(whole.letters, t.count_rejected, "s-upstream", href));
    }
    tiles
}

fn health(whole: &Whole, read: Option<Stamp>, t: &'static Text) -> Vec<Health> {
    let part = |label, is_well: bool, well: &str, amiss: &str| {
        let detail = if is_well { well } else { amiss }.to_owned();
        Health { label, is_well, detail, when: None }
    };
    let workers = t.fill(t.workers_joined, whole.workers);
    let files = match whole.broken_files {
        0 => t.files_parse.to_owned(),
        broken => t.fill(t.files_broken, broken),
    };
    let folder = match whole.is_read {
        None => t.folder_none,
        Some(true) => t.folder_read,
        Some(false) => t.folder_not_read,
    };
    let is_well = whole.broken_files == 0 && whole.is_read != Some(false);
    vec![
        part(t.database, whole.database, t.answers, t.answers_not),
        part(t.scheduler, whole.scheduler, t.makes_progress, t.makes_no_progress),
        part(t.workers, whole.workers > 0, &workers, t.no_workers),
        Health { label: t.dag_files, is_well, detail: format!("{files} · {folder}"), when: read },
        part(t.upkeep, whole.upkeep, t.keeps_up, t.strained),
    ]
}

fn home_run(run: &OverviewRun, now: DateTime<Utc>, t: &'static Text) -> HomeRun {
    HomeRun {
        dag_href: url::dag(&run.dag_id),
        href: url::run(&run.dag_id, &run.run_id),
        badge: Badge::run(run.state, t),
        ended: run.ended_at.map(|at| Stamp::new(at, now, t)),
        took: took(run.started_at, run.ended_at, now),
        since: since(run.started_at, run.ended_at),
        dag_id: run.dag_id.clone(),
        run_id: run.run_id.clone(),
    }
}

fn late_row(late: &LateDag, now: DateTime<Utc>, t: &'static Text) -> LateRow {
    let runs = t.fill(t.runs_wait, late.queued);
    LateRow {
        href: url::dag(&late.dag_id),
        due: late.due_at.map(|at| Stamp::new(at, now, t)),
        waits: late.waits_since.map(|at| (runs, Stamp::new(at, now, t))),
        dag_id: late.dag_id.clone(),
    }
}
