//! Dead letters: the list, and one of them.

use axum::extract::State;
use axum::response::{Html, Redirect};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use subak_store::access::Role;
use subak_store::read::{LetterFilter, LetterRecord, Page};
use subak_web::Badge;
use subak_web::format::{Stamp, bytes};
use subak_web::letters::{
    self, LetterPage, LetterRow, LettersLive, LettersPage, RecordView, place,
};
use subak_web::pager::Pager;
use subak_web::text::Text;
use subak_web::url::{self, encode};

use super::lists::{self, List, LooksAt};
use super::viewer::Viewer;
use super::watch::Look;
use crate::app::App;
use crate::audit::Trail;
use crate::clock;
use crate::dismiss;
use crate::extract::{Form, Path, Query};
use crate::problem::ApiError;
use crate::replay::Wanted;

/// Dead letters of one page.
const PAGE: i64 = 50;

#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    dag: String,
    #[serde(default)]
    run: String,
    #[serde(default)]
    task: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    offset: i64,
}

pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Html<String>, ApiError> {
    let look = lists::now::<Page<LetterRecord>>(&app, &viewer, &query).await?;
    let view = LettersPage {
        frame: viewer.frame(),
        events: viewer
            .events(&query.address("/live/dead-letters", query.offset.max(0)), look.print),
        live: live(&look, &query, &viewer),
        filter: query.filter(),
    };
    Ok(Html(view.page()))
}

impl List for Page<LetterRecord> {
    type Query = ListQuery;

    fn looks(app: &App) -> &LooksAt<Self> {
        &app.lists.letters
    }

    async fn find(app: &App, viewer: &Viewer, query: &ListQuery) -> Result<Self, ApiError> {
        let given = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let filter = LetterFilter {
            dag_id: given(&query.dag),
            run_id: given(&query.run),
            task_id: given(&query.task),
            reason: given(&query.reason),
            state: given(&query.state),
            ids: Vec::new(),
            within: viewer.sight(),
        };
        Ok(app.store.letter_list(&filter, PAGE, query.offset.max(0)).await?)
    }

    fn markup(look: &Look<Self>, query: &ListQuery, viewer: &Viewer) -> String {
        live(look, query, viewer).markup()
    }
}

fn live<'a>(
    look: &Look<Page<LetterRecord>>,
    query: &ListQuery,
    viewer: &'a Viewer,
) -> LettersLive<'a> {
    let page = &look.it;
    let has_open = page.items.iter().any(|letter| letter.state == "open");
    LettersLive {
        frame: viewer.frame(),
        can_act: viewer.can_run() && has_open,
        rows: page.items.iter().map(|letter| row(letter.clone(), look.at, viewer.t)).collect(),
        pager: Pager::new(query.offset.max(0), page.items.len(), page.total, PAGE, |offset| {
            query.address("/dead-letters", offset)
        }),
        filter: query.filter(),
    }
}

impl ListQuery {
    /// The list at an offset, below an address.
    fn address(&self, at: &str, offset: i64) -> String {
        let [dag, run, task] = [&self.dag, &self.run, &self.task].map(|it| encode(it));
        let [reason, state] = [&self.reason, &self.state].map(|it| encode(it));
        format!(
            "{at}?dag={dag}&run={run}&task={task}&reason={reason}&state={state}&offset={offset}"
        )
    }

    fn filter(&self) -> letters::LetterFilter {
        let Self { dag, run, task, reason, state, .. } = self.clone();
        letters::LetterFilter { dag, run, task, reason, state }
    }
}

/// Which ones a form is about.
#[derive(Deserialize)]
pub(super) struct Chosen {
    #[serde(default)]
    dag: String,
    #[serde(default)]
    run: String,
    #[serde(default)]
    task: String,
    #[serde(default)]
    reason: String,
    /// One of them.
    id: Option<i64>,
}

/// Replays what a filter finds, and shows the run.
pub(super) async fn replay(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Form(chosen): Form<Chosen>,
) -> Result<Redirect, ApiError> {
    let wanted = Wanted {
        filter: chosen.filter(),
        triggered_by: "ui",
        user: Some(viewer.name().to_owned()),
        conf: serde_json::Map::new(),
    };
    let started = app.actions.replay(&app.store, &wanted).await?;
    trail.made_replays(&started);
    Ok(match &started[..] {
        [one] => Redirect::to(&url::run(&one.dag_id, &one.run_id)),
        _ => Redirect::to("/dead-letters"),
    })
}

/// Dismisses what a filter finds, and shows that one, or the list without them.
pub(super) async fn dismiss(
    State(app): State<App>,
    trail: Trail,
    Form(chosen): Form<Chosen>,
) -> Result<Redirect, ApiError> {
    let to = match chosen.id {
        Some(id) => url::letter(id),
        None => chosen.href(),
    };
    let dismissed = dismiss::dismiss(&app.store, &chosen.filter()).await?;
    trail.after(json!({"dead_letters": dismissed}));
    Ok(Redirect::to(&to))
}

pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Html<String>, ApiError> {
    let (now, t) = (clock::now(), viewer.t);
    let not_found = || ApiError::NotFound(format!("dead-letters/{id}"));
    let number = id.parse().map_err(|_| not_found())?;
    let found = app.store.letter_get(number).await?;
    let seen = found.filter(|(letter, _)| viewer.may_with(&letter.dag_id, Role::Viewer));
    let (letter, record) = seen.ok_or_else(not_found)?;
    let reasons = letter.reasons().map(str::to_owned).collect();
    let page = LetterPage {
        frame: viewer.frame(),
        place: place_of(&letter, t),
        badge: Badge::letter(&letter.state, t),
        dag_href: url::dag(&letter.dag_id),
        run: letter.run_id.as_ref().map(|run| (run.clone(), url::run(&letter.dag_id, run))),
        task: task_of(&letter),
        task_href: task_href(&letter),
        try_number: letter.try_number.map_or_else(String::new, |number| number.to_string()),
        size: bytes(u64::try_from(letter.size_bytes).unwrap_or(0)),
        when: Stamp::new(letter.created_at, now, t),
        replay_run: letter
            .replay_run_id
            .as_ref()
            .map(|run| (run.clone(), url::run(&letter.dag_id, run))),
        replay_of: letter.replay_of.map(|id| (id.to_string(), url::letter(id))),
        replayed_as: letter.replayed_as.map(|id| (id.to_string(), url::letter(id))),
        open_id: (viewer.can_run() && letter.state == "open").then_some(letter.id),
        reasons,
        record: RecordView::new(&record, t),
        dag_id: letter.dag_id,
    };
    Ok(Html(page.page()))
}

impl Chosen {
    fn filter(self) -> LetterFilter {
        let text = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        LetterFilter {
            dag_id: text(self.dag),
            run_id: text(self.run),
            task_id: text(self.task),
            reason: text(self.reason),
            state: None,
            ids: self.id.into_iter().collect(),
            within: None,
        }
    }

    /// The list of them.
    fn href(&self) -> String {
        let [dag, run, task, reason] =
            [&self.dag, &self.run, &self.task, &self.reason].map(|it| encode(it));
        format!("/dead-letters?dag={dag}&run={run}&task={task}&reason={reason}")
    }
}

fn row(letter: LetterRecord, now: DateTime<Utc>, t: &'static Text) -> LetterRow {
    let more = letter.reasons().count().saturating_sub(1);
    let reason = letter.reasons().next().unwrap_or_default().to_owned();
    LetterRow {
        href: url::letter(letter.id),
        place: place_of(&letter, t),
        task: task_of(&letter),
        task_href: task_href(&letter),
        reason,
        more: (more > 0).then(|| t.fill(t.more_reasons, more)),
        badge: Badge::letter(&letter.state, t),
        when: Stamp::new(letter.created_at, now, t),
        dag_id: letter.dag_id,
    }
}

fn place_of(letter: &LetterRecord, t: &Text) -> String {
    place(&letter.source, letter.partition, letter.position, letter.is_of_topic, t)
}

fn task_of(letter: &LetterRecord) -> String {
    match letter.map_index {
        ..0 => letter.task_id.clone(),
        index => format!("{} [{index}]", letter.task_id),
    }
}

fn task_href(letter: &LetterRecord) -> Option<String> {
    let run = letter.run_id.as_ref()?;
    Some(url::task(&letter.dag_id, run, &letter.task_id, letter.map_index))
}
